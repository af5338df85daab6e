#include "run/run_directory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <regex>
#include <set>

#include "base/hash.h"
#include "base/log.h"
#include "io/file.h"

namespace switchyard {
namespace {

constexpr int64_t kFormat = 4;
constexpr uint64_t kMaxManifestBytes = 1 << 20;
constexpr std::array kStatuses = {RunStatus::running, RunStatus::merging, RunStatus::interrupted, RunStatus::complete,
                                  RunStatus::failed};

/// Whether an entry may be there before the manifest is: an attempt can be killed at any moment.
bool is_ours(const std::string& name, std::string_view unit_folder) {
  if (name == unit_folder) return true;
  static const std::set<std::string, std::less<>> kNames = {
      "attempts",   "batch.sh",      "config.resolved.cfg", "fisher.h5",     "input.h5",    "jobs.jsonl", "lease.json",
      "ranks.json", "manifest.json", "metrics.jsonl",       "rejects.jsonl", "report.html", "results.h5", "state.json",
      "model",      "tensorboard",   "timing.jsonl"};
  static const std::regex kData("(eval-)?data-[0-9]+\\.h5(\\..*)?");  // inputs that the run made, one for each file
  return std::regex_match(name, kData) || std::any_of(kNames.begin(), kNames.end(), [&](const std::string& known) {
           return name == known || name.starts_with(known + ".");  // a temporary name
         });
}

/// Fails (mismatch) naming every field whose values differ. A field only one side has differs too, unless the
/// manifest's side may have more.
void compare_fields(const Json& manifest, const Fingerprint& expected, bool all, const std::string& path) {
  std::vector<std::string> differences;
  for (const auto& [name, value] : expected) {
    const Json* found = find_field(manifest, name);
    if (found == nullptr || *found != value)
      differences.push_back(fmt::format("{}: the run has {}, this command {}", name,
                                        found == nullptr ? "none" : brief(*found), brief(value)));
  }
  for (const auto& [name, value] : manifest.items())
    if (all && !expected.contains(name))
      differences.push_back(fmt::format("{}: the run has {}, this command none", name, brief(value)));
  if (!differences.empty())
    fail(ExitCode::mismatch, "{}: the run directory belongs to other work: {}", path, fmt::join(differences, "; "));
}

const Json& object_of(const Json& manifest, std::string_view name, const std::string& path) {
  const Json* object = find_field(manifest, name);
  if (object == nullptr || !object->is_object())
    fail(ExitCode::input, "{}: field \"{}\": expected an object", path, name);
  return *object;
}

const Json& fields_of(const Json& manifest, const std::string& path) {
  return object_of(manifest, "fingerprint", path);
}

}  // namespace

void require_disk_space(const std::filesystem::path& directory, uint64_t bytes) {
  if (const uint64_t free = free_disk_bytes(directory); free < bytes)
    fail(ExitCode::output, "disk of {}: {} bytes are free, but the run may need {}", directory.string(), free, bytes);
}

Fingerprint recorded_fingerprint(const Json& manifest, std::string_view subject) {
  Fingerprint fingerprint;
  const Json* fields = find_field(manifest, "fingerprint");
  if (fields == nullptr) return fingerprint;
  for (const auto& [name, value] : fields->items()) fingerprint[name] = require_string(*fields, name, subject);
  return fingerprint;
}

std::string fingerprint_hash(const Fingerprint& fingerprint) {
  Hasher hasher;
  for (const auto& [name, value] : fingerprint)
    for (const std::string_view text : {std::string_view(name), std::string_view(value)}) {
      const uint64_t size = text.size();  // so that no two fingerprints are the same bytes
      hasher.update(&size, sizeof size);
      hasher.update(text);
    }
  return hasher.digest().hex();
}

std::string recorded_job(const Json& manifest) {
  const Json* info = find_field(manifest, "info");
  const Json* job = info == nullptr ? nullptr : find_field(*info, "job");
  return job != nullptr && job->is_string() ? job->get<std::string>() : "";
}

Json recorded_deltas(const std::vector<std::string>& paths) {
  Json all = Json::array();
  for (const std::string& path : paths) all.push_back(path_to_json(absolute_path(path, ExitCode::input)));
  return all;
}

std::vector<std::string> recorded_deltas(const Json& info, std::string_view subject) {
  std::vector<std::string> paths;
  const Json* all = find_field(info, "deltas");
  for (size_t i = 0; all != nullptr && i < all->size(); ++i)
    paths.push_back(require_path(Json{{"deltas", (*all)[i]}}, "deltas", subject));
  return paths;
}

std::string_view name_of(RunStatus status) {
  switch (status) {
    case RunStatus::running:
      return "running";
    case RunStatus::merging:
      return "merging";
    case RunStatus::interrupted:
      return "interrupted";
    case RunStatus::complete:
      return "complete";
    case RunStatus::failed:
      return "failed";
  }
  return "?";
}

void RunDirectory::create(std::string_view unit_folder) const {
  create_root(unit_folder);
  make_directories(root_ / "attempts");
}

void RunDirectory::create_root(std::string_view unit_folder) const {
  make_directories(root_);
  if (!has_manifest()) {
    for (const std::filesystem::path& entry : list_directory(root_, ExitCode::output))
      if (const std::string name = entry.filename().native(); !is_ours(name, unit_folder))
        fail(ExitCode::output, "{}: expected a new, empty or run directory, but it holds {}", root_.native(), name);
  }
  if (::access(root_.c_str(), R_OK | W_OK | X_OK) != 0) fail_errno(ExitCode::output, "cannot write in", root_.native());
}

bool RunDirectory::has_manifest() const {
  return file_exists(manifest_path());
}

Json RunDirectory::read_manifest() const {
  const std::string path = manifest_path().native();
  Json manifest;
  try {
    manifest = parse_json(read_text_file(manifest_path(), kMaxManifestBytes), path);
  } catch (const Error& error) {
    fail(error.code(), "{}; if what is beside it is this command's own work, remove the file: it is looked at",
         error.what());
  }
  const int64_t format = require_int(manifest, "format", path, 0, std::numeric_limits<int64_t>::max());
  if (format != kFormat)
    fail(ExitCode::mismatch, "{}: written by another version: expected format {}, found {}", path, kFormat, format);
  fields_of(manifest, path);
  object_of(manifest, "units", path);
  object_of(manifest, "info", path);
  return manifest;
}

std::optional<WorkUnits> RunDirectory::find_units() const {
  if (!has_manifest()) return std::nullopt;
  return parse_work_units(read_manifest()["units"], manifest_path().native());
}

UnitCounts RunDirectory::units_present() const {
  const std::optional<WorkUnits> units = find_units();
  return units ? count_done(*units, root_) : UnitCounts{};
}

void RunDirectory::check_or_write_manifest(const Fingerprint& fixed, const WorkUnits& units, const Json& info) const {
  if (has_manifest())
    return compare_fields(fields_of(read_manifest(), manifest_path().native()), fixed, true, manifest_path().native());
  Json fields = Json::object();
  for (const auto& [name, value] : fixed) fields[name] = value;
  const Json manifest = {{"format", kFormat}, {"fingerprint", fields}, {"units", to_json(units)}, {"info", info}};
  write_file_atomically(manifest_path(), to_text(manifest, 2) + "\n");
}

void RunDirectory::check_manifest(const Fingerprint& known) const {
  compare_fields(fields_of(read_manifest(), manifest_path().native()), known, false, manifest_path().native());
}

void RunDirectory::write_state(const RunState& state) const {
  Json json = {{"status", name_of(state.status)}, {"units", state.units}, {"items", state.items}};
  json[state.units + "_total"] = state.units_total;
  json[state.units + "_done"] = state.units_done;
  json[state.items + "_total"] = state.items_total;
  json[state.items + "_done"] = state.items_done;
  json["rejects"] = state.rejects;
  json["exit_code"] = state.exit_code;
  json["attempt"] = state.attempt;
  json["message"] = state.message;
  if (state.as_planned) json["as_planned"] = true;
  write_file_atomically(state_path(), to_text(json, 2) + "\n");
}

std::optional<RunState> RunDirectory::find_state() const {
  if (!file_exists(state_path())) return std::nullopt;
  try {
    return read_state();
  } catch (const Error& error) {
    log::warning("{}; going by what else is in the run directory", error.what());
    return std::nullopt;
  }
}

RunState RunDirectory::read_state() const {
  const std::string path = state_path().native();
  const Json json = parse_json(read_text_file(state_path(), kMaxManifestBytes), path);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const std::string status = require_string(json, "status", path);
  const auto known =
      std::find_if(kStatuses.begin(), kStatuses.end(), [&](RunStatus s) { return name_of(s) == status; });
  if (known == kStatuses.end()) fail(ExitCode::input, "{}: field \"status\": unknown status {}", path, brief(status));
  RunState state;
  state.status = *known;
  state.units = require_string(json, "units", path);
  state.items = require_string(json, "items", path);
  state.units_total = require_int(json, state.units + "_total", path, 0, kMost);
  state.units_done = require_int(json, state.units + "_done", path, 0, kMost);
  state.items_total = require_int(json, state.items + "_total", path, 0, kMost);
  state.items_done = require_int(json, state.items + "_done", path, 0, kMost);
  state.rejects = require_int(json, "rejects", path, 0, kMost);
  state.exit_code = static_cast<int>(require_int(json, "exit_code", path, 0, 255));
  state.attempt = require_string(json, "attempt", path);
  state.message = require_string(json, "message", path);
  state.as_planned = find_field(json, "as_planned") != nullptr && require_bool(json, "as_planned", path);
  return state;
}

}  // namespace switchyard
