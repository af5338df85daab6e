#include <iostream>

#include "base/log.h"
#include "base/text.h"
#include "io/delta_file.h"
#include "io/file.h"
#include "jobs/delta/actions.h"
#include "model/checkpoint/tensor_table.h"
#include "model/delta/delta_apply.h"

namespace switchyard {
namespace {

void run(const DeltaOptions& options, DeltaDirection direction, const std::function<void()>& poll) {
  const std::string_view name = direction == DeltaDirection::forward ? "apply" : "revert";
  for (const auto& [option, is_missing] : {std::pair("model", options.model.empty()),
                                           {"delta", options.delta.empty()},
                                           {"output", options.output.empty()}})
    if (is_missing) fail(ExitCode::usage, "delta {}: --{} is missing", name, option);
  const std::vector<std::filesystem::path> deltas(options.delta.begin(), options.delta.end());
  const ModelConfig config = read_model_config(options.model, options.allowed_fields());
  Json json;
  if (options.dry_run) {
    const Checkpoint checkpoint(options.model, deltas);
    const TensorTable table(checkpoint, config, options.model);  // or it fails
    const bool forward = direction == DeltaDirection::forward;
    const std::string &base = checkpoint.deltas().front()->base(), &result = checkpoint.deltas().back()->result();
    json = {{"from", forward ? base : result}, {"to", forward ? result : base}};
    log::info("{} would be written; hashes are not proven: no weights were read", options.output);
  } else {
    const AppliedDeltas applied =
        apply_deltas(options.model, config, deltas, direction, absolute_path(options.output, ExitCode::output), poll);
    json = {{"from", applied.from}, {"to", applied.to}, {"bytes", applied.bytes}};
    log::info("{}: {}, the model {}", options.output, bytes_text(applied.bytes), applied.to);
  }
  std::cout << to_text(json) << '\n';
}

}  // namespace

void apply_delta(const DeltaOptions& options, std::span<const std::string>, const std::function<void()>& poll) {
  run(options, DeltaDirection::forward, poll);
}

void revert_delta(const DeltaOptions& options, std::span<const std::string>, const std::function<void()>& poll) {
  run(options, DeltaDirection::back, poll);
}

}  // namespace switchyard
