#include "model/config/config_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "model/checkpoint/quantization.h"
#include "model/config/config_fields.h"

namespace switchyard {
namespace {

constexpr std::string_view kNotImplemented = " (anything else is not implemented)";

bool is_in_range(const Json& value, int64_t min, int64_t max) {
  if (value.is_number_unsigned())
    return std::cmp_less_equal(min, value.get<uint64_t>()) && std::cmp_less_equal(value.get<uint64_t>(), max);
  return value.is_number_integer() && min <= value.get<int64_t>() && value.get<int64_t>() <= max;
}

std::string any_of(const std::vector<Json>& values) {
  std::vector<std::string> texts;
  for (const Json& value : values) texts.push_back(value.dump());
  return fmt::format("{}{}", fmt::join(texts, " or "), kNotImplemented);
}

}  // namespace

ConfigReader::ConfigReader(const Json& object, std::string subject, std::set<std::string> allowed)
    : ConfigReader(object, std::make_shared<Report>(Report{std::move(subject), std::move(allowed)}), "", "") {
  if (!object.is_object())
    fail(ExitCode::input, "{}: expected a JSON object, found {}", this->subject(), brief(object));
}

ConfigReader::ConfigReader(const Json& object, std::shared_ptr<Report> report, std::string prefix, std::string known_as)
    : object_(object), report_(std::move(report)), prefix_(std::move(prefix)), known_as_(std::move(known_as)) {}

ConfigReader& ConfigReader::inside(std::string_view field, std::string_view known_as) {
  static const Json kNothing = Json::object();
  const Json* object = take(field);
  if (object == nullptr)
    refuse_missing({field});
  else if (!object->is_object())
    refuse(field, "an object", *object);
  const bool is_there = object != nullptr && object->is_object();
  inner_.push_back(ConfigReader(is_there ? *object : kNothing, report_, full(field) + ".", std::string(known_as)));
  return inner_.back();
}

const Json* ConfigReader::find(std::string_view name) const {
  if (object_.contains(name)) return find_field(object_, name);
  const auto assumed = std::ranges::find(assumed_, name, &std::pair<std::string, Json>::first);
  return assumed == assumed_.end() || assumed->second.is_null() ? nullptr : &assumed->second;
}

const Json* ConfigReader::take(std::string_view name) {
  taken_.emplace(name);
  return find(name);
}

void ConfigReader::take_all() {
  for (const auto& [name, value] : object_.items()) taken_.insert(name);
}

bool ConfigReader::has(std::string_view name) const {
  return find(name) != nullptr;
}

bool ConfigReader::is_null(std::string_view name) const {
  const auto found = object_.find(name);
  return found != object_.end() && found->is_null();
}

bool ConfigReader::is_sound(std::string_view name) const {
  return !report_->unsound.contains(full(name));
}

bool ConfigReader::is_allowed(std::string_view name) {
  if (!report_->allowed.contains(full(name))) return false;
  report_->ignored.push_back(full(name));
  return true;
}

void ConfigReader::refuse(std::string_view field, std::string_view expected, const Json& found) {
  report_->unsound.insert(full(field));
  report_->problems.push_back(fmt::format("field \"{}\": expected {}, found {}", full(field), expected, brief(found)));
}

void ConfigReader::refuse_missing(std::initializer_list<std::string_view> names) {
  std::vector<std::string> all;
  for (const std::string_view name : names) all.push_back(full(name));
  report_->unsound.insert(all.begin(), all.end());
  report_->problems.push_back(fmt::format("field \"{}\" is missing", fmt::join(all, "\" or \"")));
}

bool ConfigReader::is_integer(std::string_view name, const Json& value, int64_t min, int64_t max) {
  if (is_in_range(value, min, max)) return true;
  refuse(name, fmt::format("an integer in {} … {}", min, max), value);
  return false;
}

bool ConfigReader::is_number(std::string_view name, const Json& value, bool may_be_zero) {
  const double x = value.is_number() ? value.get<double>() : -1;
  if (std::isfinite(x) && (x > 0 || (x == 0 && may_be_zero))) return true;
  refuse(name, may_be_zero ? "a number, 0 or more" : "a positive number", value);
  return false;
}

int64_t ConfigReader::integer(std::initializer_list<std::string_view> names, int64_t min, int64_t max) {
  std::string_view first;
  int64_t value = min;
  for (const std::string_view name : names) {
    const Json* found = take(name);
    if (found == nullptr) continue;
    if (first.empty()) {
      first = name;
      if (is_integer(name, *found, min, max)) value = found->get<int64_t>();
    } else if (*found != *find(first)) {
      refuse(name, fmt::format("the same as \"{}\", which is {}", full(first), brief(*find(first))), *found);
    }
  }
  if (first.empty()) refuse_missing(names);
  return value;
}

int64_t ConfigReader::integer_or(std::string_view name, int64_t fallback, int64_t min, int64_t max) {
  const Json* value = take(name);
  if (value == nullptr) return fallback;
  return is_integer(name, *value, min, max) ? value->get<int64_t>() : min;
}

double ConfigReader::positive_number(std::string_view name) {
  if (!has(name)) refuse_missing({name});
  return positive_number_or(name, 1);
}

double ConfigReader::positive_number_or(std::string_view name, double fallback) {
  const Json* value = take(name);
  return value != nullptr && is_number(name, *value, false) ? value->get<double>() : fallback;
}

double ConfigReader::number_or(std::string_view name, double fallback) {
  const Json* value = take(name);
  return value != nullptr && is_number(name, *value, true) ? value->get<double>() : fallback;
}

bool ConfigReader::flag_or(std::string_view name, bool fallback) {
  const Json* value = take(name);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  refuse(name, "true or false", *value);
  return fallback;
}

std::string ConfigReader::text(std::string_view name) {
  if (!has(name)) refuse_missing({name});
  return text_or(name, "");
}

std::string ConfigReader::text_or(std::string_view name, std::string_view fallback) {
  const Json* value = take(name);
  if (value == nullptr) return std::string(fallback);
  if (value->is_string()) return value->get<std::string>();
  refuse(name, "a string", *value);
  return std::string(fallback);
}

std::vector<int64_t> ConfigReader::integers_or_empty(std::string_view name) {
  const Json* values = take(name);
  std::vector<int64_t> out;
  if (values == nullptr) return out;
  if (!values->is_array()) {
    refuse(name, "an array of integers", *values);
    return out;
  }
  for (const Json& value : *values) {
    if (!is_integer(name, value, INT64_MIN, INT64_MAX)) return {};
    out.push_back(value.get<int64_t>());
  }
  return out;
}

std::vector<std::string> ConfigReader::texts_or_empty(std::string_view name) {
  const Json* values = take(name);
  if (values == nullptr) return {};
  const auto is_text = [](const Json& value) { return value.is_string(); };
  if (values->is_array() && std::ranges::all_of(*values, is_text)) return values->get<std::vector<std::string>>();
  refuse(name, "an array of strings", *values);
  return {};
}

void ConfigReader::only(std::string_view name, const Json& value) {
  const Json* found = take(name);
  if (found == nullptr || *found == value || is_allowed(name)) return;
  refuse(name, fmt::format("{}{}", value.dump(), kNotImplemented), *found);
}

void ConfigReader::require(std::initializer_list<std::string_view> fields, bool holds, std::string_view expected) {
  if (holds || !std::all_of(fields.begin(), fields.end(), [&](std::string_view f) { return is_sound(f); })) return;
  std::vector<std::string> values;
  for (const std::string_view field : fields)
    if (const Json* value = find(field)) values.push_back(fmt::format("\"{}\" {}", full(field), brief(*value)));
  refuse(fmt::format("{}{}expected {}", fmt::join(values, ", "), values.empty() ? "" : ": ", expected));
}

WeightStorage ConfigReader::storage(const std::vector<std::string>& files) {
  WeightStorage storage;
  std::vector<std::string> found = files;
  for (const auto& [name, value] : object_.items()) {
    if (!tells_storage(name) || is_harmless_field(name)) continue;
    take(name);
    std::string what = quantization_of(value);
    if (what.empty()) continue;
    if (name == "quantization_config") what = read_quantization(value, storage.emplace<QuantisedWeights>());
    if (!what.empty()) found.push_back(fmt::format("field \"{}\" says {}", full(name), what));
  }
  if (!found.empty())
    refuse(
        fmt::format("the tensors are quantised ({}), which nothing can ignore: expected a checkpoint in BF16, F16, "
                    "F32, FP8 with a scale for each block, or MXFP4",
                    fmt::join(found, ", ")));
  return storage;
}

void ConfigReader::check_leftovers() {
  for (const auto& [name, value] : object_.items())
    if (!taken_.contains(name)) check_leftover(name, value);
  for (ConfigReader& inner : inner_) inner.check_leftovers();
}

void ConfigReader::check_leftover(std::string_view name, const Json& value) {
  const std::string known_as = known_as_ + std::string(name);
  if (value.is_null() || is_harmless_field(known_as)) return;
  const std::vector<Json> neutral = neutral_values(known_as);
  if (std::find(neutral.begin(), neutral.end(), value) != neutral.end() || is_allowed(name)) return;
  if (!neutral.empty()) return refuse(name, any_of(neutral), value);
  report_->unknown.push_back(full(name));
  refuse(fmt::format("unknown field \"{}\" = {}, which may change the mathematics", full(name), brief(value)));
}

void ConfigReader::fail_if_wrong() const {
  const auto& [subject, allowed, unsound, problems, unknown, ignored] = *report_;
  if (problems.empty()) return;
  const std::string hint =
      unknown.empty() ? "" : fmt::format(" (--allow-config-field {} ignores what is unknown)", fmt::join(unknown, ","));
  const std::string count = problems.size() == 1 ? "" : fmt::format("{} problems: ", problems.size());
  fail(ExitCode::input, "{}: {}{}{}", subject, count, fmt::join(problems, "; "), hint);
}

void ConfigReader::finish() {
  check_leftovers();
  fail_if_wrong();
  const auto& ignored = report_->ignored;
  std::set<std::string> unused = report_->allowed;
  if (!ignored.empty()) log::info("{}: ignored by --allow-config-field: {}", subject(), fmt::join(ignored, ", "));
  for (const std::string& name : ignored) unused.erase(name);
  if (!unused.empty())
    log::info("{}: --allow-config-field {} changes nothing: not there, or known and looked at", subject(),
              fmt::join(unused, ", "));
}

}  // namespace switchyard
