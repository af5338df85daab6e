#include <algorithm>
#include <iostream>
#include <optional>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"
#include "io/file.h"
#include "jobs/delta/actions.h"
#include "jobs/train/export_log.h"
#include "model/delta/delta_cut.h"
#include "run/run_directory.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// The two models, and what a run knows of them.
struct CutModels {
  fs::path base, trained;
  std::vector<fs::path> deltas = {};  ///< of the base
  std::set<std::string> allowed_fields = {};
  std::string base_hash = {};  ///< as the run recorded it; empty: there is no run
  std::string name = {};       ///< of the trained model, for people
  std::optional<ChangeCounts> counts = {};
};

std::vector<fs::path> paths_of(const std::vector<std::string>& words) {
  return {words.begin(), words.end()};
}

CutModels models_of_run(const DeltaOptions& options, const std::string& path) {
  const RunDirectory run(path);
  const std::string subject = run.manifest_path().native();
  if (!run.has_manifest()) fail(ExitCode::input, "{}: is missing; expected the directory of a training run", subject);
  const Json manifest = run.read_manifest();
  if (const std::string job = recorded_job(manifest); job != "train")
    fail(ExitCode::input, "{}: expected a training run, found one of {}", subject, job.empty() ? "another job" : job);
  const Fingerprint fingerprint = recorded_fingerprint(manifest, subject);
  const Json& info = manifest["info"];
  if (const RunState state = run.read_state(); state.status != RunStatus::complete)
    fail(ExitCode::input, "run {} is {}, expected complete", path, name_of(state.status));
  CutModels models{.base = options.model.empty() ? require_path(info, "model", subject) : options.model,
                   .trained = run.root() / "model",
                   .deltas = paths_of(options.delta.empty() ? recorded_deltas(info, subject) : options.delta),
                   .allowed_fields = options.allowed_fields(),
                   .base_hash = fingerprint.contains("model") ? fingerprint.at("model") : "",
                   .name = fs::path(absolute_path(path, ExitCode::input)).filename(),
                   .counts = read_changes(run)};
  if (models.base_hash.starts_with("new:"))
    fail(ExitCode::input, "{}: the run began with new weights ({}), expected one that began with a model", subject,
         models.base_hash);
  if (const Json* names = find_field(info, "allow_config_field"); names != nullptr && names->is_array())
    for (const Json& name : *names)
      if (name.is_string()) models.allowed_fields.insert(name.get<std::string>());
  return models;
}

CutModels models_of(const DeltaOptions& options, std::span<const std::string> operands) {
  if (operands.empty() == options.trained.empty())
    fail(ExitCode::usage, "delta cut: expected a RUN or --trained DIR, found {}",
         operands.empty() ? "neither" : "both");
  if (!operands.empty()) return models_of_run(options, operands.front());
  if (options.model.empty()) fail(ExitCode::usage, "delta cut: --trained {}: --model BASE is missing", options.trained);
  return {.base = options.model,
          .trained = options.trained,
          .deltas = paths_of(options.delta),
          .allowed_fields = options.allowed_fields(),
          .name = fs::path(absolute_path(options.trained, ExitCode::input)).filename()};
}

/// A name that nothing has yet: f32 values that an earlier delta keeps may be nowhere else.
void check_output(const DeltaOptions& options, const CutModels& models) {
  if (options.output.empty()) fail(ExitCode::usage, "delta cut: --output FILE is missing");
  if (directory_exists(options.output, ExitCode::output))
    fail(ExitCode::usage, "--output {}: is a directory, expected a file's name", options.output);
  for (const fs::path& delta : models.deltas) {
    std::error_code ignored;  // files that do not exist are not the same file
    if (fs::equivalent(delta, options.output, ignored))
      fail(ExitCode::usage, "--output {}: is a delta of the base, which would be overwritten", options.output);
  }
  if (file_exists(options.output, ExitCode::output) && !options.dry_run)
    fail(ExitCode::output, "--output {}: is there already, expected a new file's name", options.output);
}

void require_bases(const DeltaCut& cut, const CutModels& models, const Checkpoint& base) {
  if (!models.base_hash.empty() && cut.base != models.base_hash)
    fail(ExitCode::input, "{}: wrong base: the run began with the model {}, {} is {}", models.trained.native(),
         models.base_hash, models.base.native(), cut.base);
  if (!base.deltas().empty() && cut.base != base.deltas().back()->result())
    fail(ExitCode::input, "{}: with its deltas the base is {}, expected {}: another base, or a damaged delta",
         models.base.native(), cut.base, base.deltas().back()->result());
}

/// Whether comparing the files has shown what rounding took: not if the trained model was rounded when it was written.
bool is_wide(const Checkpoint& trained) {
  return std::ranges::all_of(trained.tensors(), [](const auto& each) { return each.second.dtype_name == "F32"; });
}

Json summary_of(const DeltaCut& cut, const CutModels& models, std::optional<int64_t> vanished) {
  Json json{{"base", cut.base}, {"result", cut.result}, {"elements", cut.elements}};
  json["trained"] = models.counts ? Json(models.counts->trained) : Json();
  json["changed"] = cut.changed;
  json["vanished"] = vanished ? Json(*vanished) : Json();
  json["masters"] = cut.masters;
  json["tensors"] = cut.parts.size();
  json["bytes"] = cut.bytes();
  json["model_bytes"] = cut.base_bytes;
  return json;
}

void tell(const std::string& output, const DeltaCut& cut, const CutModels& models, std::optional<int64_t> vanished) {
  std::string counts;
  if (models.counts) counts += fmt::format(", {} were trained", models.counts->trained);
  if (vanished) counts += fmt::format(", {} vanished in rounding", *vanished);
  if (cut.masters > 0) counts += fmt::format(", {} are kept in f32", cut.masters);
  const uint64_t bytes = cut.bytes();
  log::info("of {} elements {} changed{}; the delta takes {}, {:.1f} % of the model's {}", cut.elements, cut.changed,
            counts, bytes_text(bytes), 100.0 * static_cast<double>(bytes) / static_cast<double>(cut.base_bytes),
            bytes_text(cut.base_bytes));
  if (cut.changed == 0) log::info("the trained model is its base: the delta changes nothing");
  if (bytes > cut.base_bytes)
    log::warning("{}: larger than the model, {} against {} bytes: the model itself would be the smaller file", output,
                 bytes, cut.base_bytes);
}

}  // namespace

void cut_delta(const DeltaOptions& options, std::span<const std::string> operands, const std::function<void()>& poll) {
  const CutModels models = models_of(options, operands);
  check_output(options, models);
  const ModelConfig config = read_model_config(models.base, models.allowed_fields),
                    trained_config = read_model_config(models.trained, models.allowed_fields);
  const Checkpoint base(models.base, models.deltas), trained(models.trained);
  const TensorTable base_table(base, config, models.base.native()),
      trained_table(trained, trained_config, models.trained.native());
  const DeltaCut cut = plan_cut(base_table, trained_table, options.keep_master, poll);
  require_bases(cut, models, base);
  std::optional<int64_t> vanished;
  if (is_wide(trained))
    vanished = static_cast<int64_t>(cut.vanished);
  else if (models.counts)
    vanished = models.counts->vanished;
  tell(options.output, cut, models, vanished);
  if (!options.dry_run) {
    SafetensorsMetadata more{
        {delta_field::kBaseName, fs::path(absolute_path(models.base.native(), ExitCode::input)).filename()},
        {delta_field::kResultName, models.name},
        {delta_field::kVersion, SWITCHYARD_VERSION}};
    if (models.counts) more[delta_field::kTrained] = std::to_string(models.counts->trained);
    if (vanished) more[delta_field::kVanished] = std::to_string(*vanished);
    write_cut(options.output, cut, base_table, trained_table, std::move(more), poll);
    log::info("{}: {} with its header", options.output, bytes_text(fs::file_size(options.output)));
  }
  std::cout << to_text(summary_of(cut, models, vanished)) << '\n';
}

}  // namespace switchyard
