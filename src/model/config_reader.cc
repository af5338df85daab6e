#include "model/config_reader.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace switchyard {
namespace {

// Fields of released checkpoints that say nothing about the forward pass: names, token ids, training and generation
// settings.
constexpr std::array<std::string_view, 33> kHarmless = {"_name_or_path",
                                                        "architectures",
                                                        "attention_dropout",
                                                        "auto_map",
                                                        "bos_token_id",
                                                        "chunk_size_feed_forward",
                                                        "classifier_dropout",
                                                        "dtype",
                                                        "eos_token_id",
                                                        "finetuning_task",
                                                        "gradient_checkpointing",
                                                        "id2label",
                                                        "initializer_range",
                                                        "is_decoder",
                                                        "is_encoder_decoder",
                                                        "label2id",
                                                        "max_window_layers",
                                                        "model_type",
                                                        "output_attentions",
                                                        "output_hidden_states",
                                                        "output_router_logits",
                                                        "pad_token_id",
                                                        "prefix",
                                                        "problem_type",
                                                        "return_dict",
                                                        "router_aux_loss_coef",
                                                        "router_jitter_noise",
                                                        "sep_token_id",
                                                        "task_specific_params",
                                                        "tokenizer_class",
                                                        "torch_dtype",
                                                        "transformers_version",
                                                        "use_cache"};

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

void ConfigReader::refuse(std::string_view field, std::string_view expected, const Json& actual) const {
  fail(ExitCode::input, "{}: field \"{}\" is {}, expected {}", subject_, field, brief(actual), expected);
}

int64_t ConfigReader::integer(std::initializer_list<std::string_view> names, int64_t min, int64_t max) {
  std::string_view found;
  int64_t value = 0;
  for (const std::string_view name : names) {
    if (take(name) == nullptr) continue;
    const int64_t v = require_int(object_, name, subject_, min, max);
    if (!found.empty() && v != value)
      fail(ExitCode::input, "{}: \"{}\" is {} but \"{}\" is {}", subject_, found, value, name, v);
    found = name;
    value = v;
  }
  if (found.empty()) fail(ExitCode::input, "{}: field \"{}\" is missing", subject_, fmt::join(names, "\" or \""));
  return value;
}

int64_t ConfigReader::integer_or(std::string_view name, int64_t fallback, int64_t min, int64_t max) {
  return take(name) == nullptr ? fallback : require_int(object_, name, subject_, min, max);
}

double ConfigReader::positive_number(std::string_view name) {
  const Json* value = take(name);
  if (value == nullptr) fail(ExitCode::input, "{}: field \"{}\" is missing", subject_, name);
  const double number = require_number(object_, name, subject_);
  if (!std::isfinite(number) || number <= 0) refuse(name, "a positive number", *value);
  return number;
}

bool ConfigReader::flag(std::string_view name) {
  if (take(name) == nullptr) fail(ExitCode::input, "{}: field \"{}\" is missing", subject_, name);
  return require_bool(object_, name, subject_);
}

bool ConfigReader::flag_or(std::string_view name, bool fallback) {
  return take(name) == nullptr ? fallback : require_bool(object_, name, subject_);
}

std::vector<int64_t> ConfigReader::integers_or_empty(std::string_view name) {
  if (take(name) == nullptr) return {};
  return require_int_array(object_, name, subject_);
}

void ConfigReader::only(std::string_view name, const Json& value) {
  const Json* found = take(name);
  if (found == nullptr || *found == value || allowed_.contains(std::string(name))) return;
  refuse(name, fmt::format("{} (anything else is not implemented)", value.dump()), *found);
}

void ConfigReader::only_full_attention() {
  const Json* types = take("layer_types");
  if (types == nullptr || allowed_.contains("layer_types")) return;
  if (!types->is_array()) refuse("layer_types", "an array", *types);
  for (const Json& type : *types)
    if (type != "full_attention")
      refuse("layer_types", "\"full_attention\" throughout (nothing else is implemented)", type);
}

void ConfigReader::check_plain_rope(const Json& object, std::string_view field) {
  if (!object.is_object()) refuse(field, "an object or null", object);
  for (const auto& [key, value] : object.items()) {
    const std::string name = fmt::format("{}.{}", field, key);
    if (value.is_null() || allowed_.contains(name)) continue;
    if (key == "rope_type" || key == "type") {
      if (value != "default") refuse(name, "\"default\" (no other rotary embedding is implemented)", value);
    } else if (key == "partial_rotary_factor") {
      if (!value.is_number() || value.get<double>() != 1.0)
        refuse(name, "1.0 (partial rotation is not implemented)", value);
    } else if (key != "rope_theta") {
      fail(ExitCode::input, "{}: field \"{}\" = {} is not implemented (--allow-config-field {} ignores it)", subject_,
           name, brief(value), name);
    }
  }
}

double ConfigReader::rope_theta() {
  const auto positive = [&](const Json& object, std::string_view subject) {
    const double theta = require_number(object, "rope_theta", subject);
    if (!std::isfinite(theta) || theta <= 0)
      refuse("rope_theta", "a positive number", *find_field(object, "rope_theta"));
    return theta;
  };
  if (const Json* scaling = take("rope_scaling")) check_plain_rope(*scaling, "rope_scaling");
  const Json* parameters = take("rope_parameters");
  const Json* plain = take("rope_theta");
  if (parameters == nullptr) {
    if (plain == nullptr) fail(ExitCode::input, "{}: field \"rope_theta\" or \"rope_parameters\" is missing", subject_);
    return positive(object_, subject_);
  }
  check_plain_rope(*parameters, "rope_parameters");
  const double theta = positive(*parameters, subject_ + ": rope_parameters");
  if (plain != nullptr && positive(object_, subject_) != theta)
    fail(ExitCode::input, "{}: \"rope_theta\" is {} but \"rope_parameters.rope_theta\" is {}", subject_, brief(*plain),
         theta);
  return theta;
}

void ConfigReader::finish() const {
  for (const auto& [key, value] : object_.items()) {
    if (value.is_null() || taken_.contains(key) || allowed_.contains(key)) continue;
    if (std::find(kHarmless.begin(), kHarmless.end(), key) != kHarmless.end()) continue;
    fail(ExitCode::input,
         "{}: unknown field \"{}\" = {}: it may change the mathematics (--allow-config-field {} ignores it)", subject_,
         key, brief(value), key);
  }
}

}  // namespace switchyard
