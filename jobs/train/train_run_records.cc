// What a training run says of itself.
#include "base/version.h"
#include "io/file.h"
#include "jobs/train/train_run.h"
#include "kernels/cpu_isa.h"

namespace switchyard {

/// All that the weights after a step depend on, as far as it is known yet.
Fingerprint TrainRun::fingerprint() const {
  Fingerprint f;
  const auto number = [](double x) { return fmt::format("{}", x); };
  f["config"] = config_hash(config_).hex();
  f["data"] = data_->hash().hex();
  if (eval_) f["eval_data"] = eval_->hash().hex();
  if (!model_hash_.empty()) f["model"] = model_hash_;
  f["numerics"] = plan_.numerics;
  f["slices"] = std::to_string(plan_.slices);
  f["steps"] = std::to_string(plan_.steps);
  f["step_records"] = std::to_string(options_.step_records);
  f["weights"] = fmt::format("{}", fmt::join(options_.weights, " "));
  f["data_order"] = options_.data_order;
  f["seed"] = std::to_string(options_.seed);
  f["learning_rate"] = number(options_.learning_rate);
  f["lr_scheduler"] = options_.lr_scheduler;
  f["min_lr_ratio"] = number(options_.min_lr_ratio);
  f["warmup_steps"] = std::to_string(options_.warmup_steps);
  f["adam_beta1"] = number(options_.adam_beta1);
  f["adam_beta2"] = number(options_.adam_beta2);
  f["adam_epsilon"] = number(options_.adam_epsilon);
  f["weight_decay"] = number(options_.weight_decay);
  f["max_grad_norm"] = number(options_.max_grad_norm);
  f["balance"] = number(options_.balance);
  f["train_router"] = options_.train_router ? "true" : "false";
  f["eval_steps"] = eval_ ? std::to_string(options_.eval_steps) : "0";
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
