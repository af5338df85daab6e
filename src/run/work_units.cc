#include "run/work_units.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.h"
#include "io/file.h"

namespace switchyard {
namespace {

/// A file's name around the unit's number.
struct FileName {
  std::string_view folder, before, after;
};

FileName parts_of(const std::string& files) {
  const std::string_view text = files;
  const size_t slash = text.find('/'), star = text.find('*', slash == std::string_view::npos ? 0 : slash);
  SWITCHYARD_CHECK(slash != std::string_view::npos && star != std::string_view::npos, "unit files \"{}\"", files);
  return {text.substr(0, slash), text.substr(slash + 1, star - slash - 1), text.substr(star + 1)};
}

/// "chunk-000017.h5" → 17; -1 for any other name.
int64_t unit_of(std::string_view name, const FileName& form) {
  if (!name.starts_with(form.before) || !name.ends_with(form.after)) return -1;
  if (name.size() < form.before.size() + form.after.size()) return -1;
  name.remove_prefix(form.before.size());
  name.remove_suffix(form.after.size());
  const bool digits = std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || name.size() < 6 || name.size() > 15 || (name.size() > 6 && name[0] == '0')) return -1;
  return std::stoll(std::string(name));
}

/// Of a file, or of those in a folder; 0 where there is none: an orphan may replace it this moment.
uint64_t bytes_of(const std::filesystem::path& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (!error) return size;
  uint64_t bytes = 0;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code gone;
    const auto part = entry->file_size(gone);
    if (!gone) bytes += part;
  }
  return bytes;
}

}  // namespace

WorkUnits WorkUnits::of_items(int64_t items_total, int64_t items_per_unit) {
  WorkUnits units;
  units.items_total = items_total;
  units.items_per_unit = items_per_unit;
  units.total = items_total / items_per_unit + (items_total % items_per_unit != 0 ? 1 : 0);
  return units;
}

int64_t WorkUnits::items_in(int64_t unit) const {
  return std::clamp<int64_t>(items_total - first_item(unit), 0, items_per_unit);
}

std::filesystem::path WorkUnits::folder(const std::filesystem::path& run) const {
  return run / parts_of(files).folder;
}

std::filesystem::path WorkUnits::file(const std::filesystem::path& run, int64_t unit) const {
  const FileName form = parts_of(files);
  return run / form.folder / fmt::format("{}{:06d}{}", form.before, unit + first, form.after);
}

std::vector<int64_t> WorkUnits::present(const std::filesystem::path& run) const {
  const FileName form = parts_of(files);
  std::vector<int64_t> found;
  for (const std::filesystem::path& entry : list_directory(folder(run)))  // none when they were dropped
    if (const int64_t unit = unit_of(entry.filename().native(), form) - first; unit >= 0) found.push_back(unit);
  std::ranges::sort(found);
  if (!in_order || found.empty()) return found;
  std::vector<int64_t> all(static_cast<size_t>(found.back()) + 1);
  std::iota(all.begin(), all.end(), int64_t{0});
  return all;
}

uint64_t WorkUnits::bytes_present(const std::filesystem::path& run) const {
  uint64_t bytes = 0;
  for (const int64_t unit : present(run)) {
    bytes += bytes_of(file(run, unit));
  }
  return bytes;
}

UnitCounts count_done(const WorkUnits& units, const std::filesystem::path& run) {
  UnitCounts counts;
  for (const int64_t unit : units.present(run)) {
    if (unit >= units.total) continue;
    ++counts.units;
    counts.items += units.items_in(unit);
  }
  return counts;
}

Json to_json(const WorkUnits& u) {
  return {{"name", u.name},
          {"items", u.items},
          {"total", u.total},
          {"items_total", u.items_total},
          {"items_per_unit", u.items_per_unit},
          {"files", u.files},
          {"first", u.first},
          {"in_order", u.in_order},
          {"results", u.results}};
}

WorkUnits parse_work_units(const Json& json, const std::string& subject) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  WorkUnits u;
  u.name = require_string(json, "name", subject);
  u.items = require_string(json, "items", subject);
  u.total = require_int(json, "total", subject, 0, kMost);
  u.items_total = require_int(json, "items_total", subject, 0, kMost);
  u.items_per_unit = require_int(json, "items_per_unit", subject, 1, kMost);
  u.files = require_string(json, "files", subject);
  u.first = find_field(json, "first") == nullptr ? 0 : require_int(json, "first", subject, 0, kMost);
  u.in_order = require_bool(json, "in_order", subject);
  u.results = require_string(json, "results", subject);
  const size_t slash = u.files.find('/'), star = u.files.find('*');
  if (slash == 0 || slash == std::string::npos || star == std::string::npos || star < slash ||
      u.files.find('/', slash + 1) != std::string::npos || u.files.starts_with(".."))
    fail(ExitCode::input, "{}: field \"files\": expected FOLDER/NAME with a * in NAME, found {}", subject,
         brief(u.files));
  return u;
}

}  // namespace switchyard
