#include "jobs/train/export_log.h"

#include "base/log.h"
#include "io/file.h"
#include "train/parameters/parameter_space.h"

namespace switchyard {
namespace {

std::filesystem::path changes_path(const RunDirectory& run) {
  return run.root() / "changes.json";
}

/// Parameters that the optimiser moves.
int64_t count_trained(const ModelConfig& config, const Selection& selection, bool train_router) {
  if (!selection.is_everything()) return selection.num_trained();
  const ParameterSpace space(config);
  int64_t trained = 0;
  for (const ParameterBlock& block : space.blocks())
    for (const BlockTensor& tensor : block.tensors)
      trained += train_router || !tensor.is_router ? tensor.elements() : 0;
  return trained;
}

}  // namespace

Json to_json(const ChangeCounts& c) {
  return {{"parameters", c.parameters}, {"trained", c.trained}, {"changed", c.changed}, {"vanished", c.vanished}};
}

std::optional<ChangeCounts> read_changes(const RunDirectory& run) {
  const std::string path = changes_path(run);
  if (!file_exists(path)) return {};
  const Json json = parse_json(read_text_file(path), path);
  const auto count = [&](std::string_view field) { return require_int(json, field, path, 0, INT64_MAX); };
  return ChangeCounts{count("parameters"), count("trained"), count("changed"), count("vanished")};
}

ExportLog::ExportLog(const TrainOptions& options, const ModelConfig& config, const Selection& selection)
    : trained_(count_trained(config, selection, options.train_router)) {
  if (!options.init.empty()) return;
  attempt([&] { changes_ = std::make_unique<ExportChanges>(options.model, options.deltas(), config); });
}

template <class Step>
void ExportLog::attempt(const Step& step) {
  try {
    step();
  } catch (const Error& error) {
    log::warning("how many parameters have changed is not known: {}", error.what());
    changes_.reset();
  }
}

void ExportLog::see(const ExportTensor& tensor, std::span<const ParameterRows> piece, std::span<const float> values) {
  if (!changes_) return;
  const std::string_view dtype = name_of(tensor.spec.dtype);
  if (dtypes_.find(dtype) == dtypes_.npos) dtypes_.append(dtypes_.empty() ? "" : ", ").append(dtype);
  attempt([&] { changes_->see(tensor, piece, values); });
}

void ExportLog::finish(const RunDirectory& run) {
  if (!changes_) return;
  const ExportChanges& c = *changes_;
  log::info("of {} parameters {} were trained, {} changed, {} vanished in rounding to {}", c.elements(), trained_,
            c.changed(), c.vanished(), dtypes_);
  Json json = to_json(ChangeCounts{c.elements(), trained_, c.changed(), c.vanished()});
  json["dtype"] = dtypes_;
  write_file_atomically(changes_path(run), to_text(json, 2) + "\n");
}

}  // namespace switchyard
