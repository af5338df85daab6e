#include "jobs/records/provenance.h"

#include "base/version.h"
#include "io/file.h"
#include "kernels/cpu_isa.h"
#include "run/run_directory.h"

namespace switchyard {

Json provenance(std::string_view job) {
  return {{"job", job}, {"switchyard", SWITCHYARD_VERSION}, {"git_revision", SWITCHYARD_GIT_REVISION}};
}

Json provenance(std::string_view job, const ModelOptions& options, const std::string& model, DType operand,
                Device device) {
  Json info = provenance(job);
  info["dtype"] = name_of(operand);
  info["cpu_isa"] = current_cpu_isa();
  info["device"] = name_of(device);
  info["model"] = path_to_json(absolute_path(model, ExitCode::input));
  info["deltas"] = recorded_deltas(options.delta);
  info["allow_config_field"] = options.allow_config_field;
  return info;
}

}  // namespace switchyard
