#include "model/config_reader.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/log.h"
#include "model/config_fields.h"
#include "model/quantization.h"

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
    : object_(object), subject_(std::move(subject)), allowed_(std::move(allowed)) {
  if (!object.is_object()) fail(ExitCode::input, "{}: expected a JSON object, found {}", subject_, brief(object));
}

const Json* ConfigReader::take(std::string_view name) {
  taken_.emplace(name);
  return find_field(object_, name);
}

bool ConfigReader::has(std::string_view name) const {
  return find_field(object_, name) != nullptr;
}

bool ConfigReader::is_sound(std::string_view name) const {
  return !unsound_.contains(name);
}

bool ConfigReader::is_allowed(std::string_view name) {
  if (!allowed_.contains(std::string(name))) return false;
  ignored_.emplace_back(name);
  return true;
}

void ConfigReader::refuse(std::string_view field, std::string_view expected, const Json& found) {
  unsound_.emplace(field);
  problems_.push_back(fmt::format("field \"{}\": expected {}, found {}", field, expected, brief(found)));
}

void ConfigReader::refuse_missing(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) unsound_.emplace(name);
  problems_.push_back(fmt::format("field \"{}\" is missing", fmt::join(names, "\" or \"")));
}

bool ConfigReader::is_integer(std::string_view name, const Json& value, int64_t min, int64_t max) {
  if (is_in_range(value, min, max)) return true;
  refuse(name, fmt::format("an integer in {} … {}", min, max), value);
  return false;
}

bool ConfigReader::is_positive(std::string_view name, const Json& value) {
  if (value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0) return true;
  refuse(name, "a positive number", value);
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
    } else if (*found != *find_field(object_, first)) {
      refuse(name, fmt::format("the same as \"{}\", which is {}", first, brief(*find_field(object_, first))), *found);
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
  const Json* value = take(name);
  if (value == nullptr) refuse_missing({name});
  return value != nullptr && is_positive(name, *value) ? value->get<double>() : 1.0;
}

bool ConfigReader::flag_or(std::string_view name, bool fallback) {
  const Json* value = take(name);
  if (value == nullptr) return fallback;
  if (value->is_boolean()) return value->get<bool>();
  refuse(name, "true or false", *value);
  return fallback;
}

std::string ConfigReader::text(std::string_view name) {
  const Json* value = take(name);
  if (value != nullptr && value->is_string()) return value->get<std::string>();
  if (value == nullptr)
    refuse_missing({name});
  else
    refuse(name, "a string", *value);
  return {};
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

void ConfigReader::only(std::string_view name, const Json& value) {
  const Json* found = take(name);
  if (found == nullptr || *found == value || is_allowed(name)) return;
  refuse(name, fmt::format("{}{}", value.dump(), kNotImplemented), *found);
}

void ConfigReader::only_full_attention() {
  const Json* types = take("layer_types");
  if (types == nullptr || is_allowed("layer_types")) return;
  if (!types->is_array()) return refuse("layer_types", "an array", *types);
  const auto other = std::find_if(types->begin(), types->end(), [](const Json& t) { return t != "full_attention"; });
  if (other != types->end())
    refuse("layer_types", fmt::format("\"full_attention\" throughout{}", kNotImplemented), *other);
}

void ConfigReader::only_full_window(int64_t max_positions, bool by_default) {
  const bool slides = flag_or("use_sliding_window", by_default);
  const Json* window = take("sliding_window");
  if (!slides) return;
  if (window == nullptr) return only("use_sliding_window", false);  // true alone means a default of transformers
  if (is_in_range(*window, max_positions, INT64_MAX) || is_allowed("sliding_window")) return;
  refuse(
      "sliding_window",
      fmt::format("null, all of the {} positions, or \"use_sliding_window\": false{}", max_positions, kNotImplemented),
      *window);
}

double ConfigReader::rope_theta() {
  struct Given {
    std::string name;
    const Json* value;
  };
  std::vector<Given> given;
  if (const Json* theta = take("rope_theta")) given.push_back({"rope_theta", theta});
  for (const std::string_view name : {"rope_parameters", "rope_scaling"}) {
    const Json* object = take(name);
    if (object == nullptr) continue;
    if (!object->is_object()) {
      refuse(name, "an object or null", *object);
      continue;
    }
    for (const auto& [key, value] : object->items())
      check_leftover(fmt::format("{}.{}", name, key), fmt::format("rope.{}", key), value);
    if (const Json* theta = find_field(*object, "rope_theta"))
      given.push_back({fmt::format("{}.rope_theta", name), theta});
  }
  if (given.empty()) refuse_missing({"rope_theta", "rope_parameters.rope_theta"});
  for (const Given& theta : given)
    if (is_positive(theta.name, *theta.value) && *theta.value != *given.front().value)
      refuse(theta.name,
             fmt::format("the same as \"{}\", which is {}", given.front().name, brief(*given.front().value)),
             *theta.value);
  return problems_.empty() ? given.front().value->get<double>() : 1.0;  // a number unless it was refused
}

void ConfigReader::require(std::initializer_list<std::string_view> fields, bool holds, std::string_view expected) {
  if (holds || !std::all_of(fields.begin(), fields.end(), [&](std::string_view f) { return is_sound(f); })) return;
  std::vector<std::string> values;
  for (const std::string_view field : fields)
    if (const Json* value = find_field(object_, field))
      values.push_back(fmt::format("\"{}\" {}", field, brief(*value)));
  problems_.push_back(fmt::format("{}: expected {}", fmt::join(values, ", "), expected));
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
    if (!what.empty()) found.push_back(fmt::format("field \"{}\" says {}", name, what));
  }
  if (!found.empty())
    problems_.push_back(fmt::format(
        "the tensors are quantised ({}), which nothing can ignore: expected a checkpoint in BF16, F16, F32, "
        "FP8 with a scale for each block, or MXFP4",
        fmt::join(found, ", ")));
  return storage;
}

/// `known_as`: the name in the tables of known fields.
void ConfigReader::check_leftover(std::string_view name, std::string_view known_as, const Json& value) {
  if (value.is_null() || is_harmless_field(known_as)) return;
  const std::vector<Json> neutral = neutral_values(known_as);
  if (std::find(neutral.begin(), neutral.end(), value) != neutral.end() || is_allowed(name)) return;
  if (!neutral.empty()) return refuse(name, any_of(neutral), value);
  unknown_.emplace_back(name);
  problems_.push_back(fmt::format("unknown field \"{}\" = {}, which may change the mathematics", name, brief(value)));
}

void ConfigReader::fail_if_wrong() const {
  if (problems_.empty()) return;
  const std::string hint =
      unknown_.empty() ? ""
                       : fmt::format(" (--allow-config-field {} ignores what is unknown)", fmt::join(unknown_, ","));
  const std::string count = problems_.size() == 1 ? "" : fmt::format("{} problems: ", problems_.size());
  fail(ExitCode::input, "{}: {}{}{}", subject_, count, fmt::join(problems_, "; "), hint);
}

void ConfigReader::finish() {
  for (const auto& [name, value] : object_.items())
    if (!taken_.contains(name)) check_leftover(name, name, value);
  fail_if_wrong();
  if (!ignored_.empty()) log::info("{}: ignored by --allow-config-field: {}", subject_, fmt::join(ignored_, ", "));
  for (const std::string& name : ignored_) allowed_.erase(name);
  if (!allowed_.empty())
    log::info("{}: --allow-config-field {} changes nothing: not there, or known and looked at", subject_,
              fmt::join(allowed_, ", "));
}

}  // namespace switchyard
