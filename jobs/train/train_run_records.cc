// What a training run says of itself.
#include "base/version.h"
#include "io/file.h"
#include "jobs/train/train_run.h"
#include "kernels/cpu_isa.h"

namespace switchyard {

/// All that the weights after a step depend on, as far as it is known yet.
Fingerprint TrainRun::fingerprint() const {
  Fingerprint f = options_.fingerprint();
  f["config"] = config_hash(config_).hex();
  f["data"] = data_->hash().hex();
  if (eval_) f["eval_data"] = eval_->hash().hex();
  if (!model_hash_.empty()) f["model"] = model_hash_;
  f["numerics"] = plan_.numerics;
  f["slices"] = std::to_string(plan_.slices);
  f["steps"] = std::to_string(plan_.steps);
  return f;
}

Json TrainRun::manifest_info() const {
  Json info;
  info["job"] = "train";
  info["switchyard"] = SWITCHYARD_VERSION;
  info["git_revision"] = SWITCHYARD_GIT_REVISION;
  info["dtype"] = std::string(name_of(plan_.shape.operand));
  info["cpu_isa"] = std::string(current_cpu_isa());
  info["device"] = "cpu";
  info["model"] = path_to_json(absolute_path(options_.config_path(), ExitCode::input));
  Json data = Json::array();
  for (const DataFile& file : files_->train()) data.push_back(path_to_json(absolute_path(file.path, ExitCode::input)));
  info["data"] = std::move(data);
  info["allow_config_field"] = options_.allow_config_field;
  info["num_records"] = plan_.units.items_total;
  return info;
}

}  // namespace switchyard
