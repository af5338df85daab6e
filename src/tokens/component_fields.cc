#include "tokens/component_fields.h"

#include <algorithm>

#include "base/error.h"

namespace switchyard {

ComponentFields::ComponentFields(const Json& component, std::string subject)
    : object_(component), subject_(std::move(subject)) {
  if (!component.is_object()) fail(ExitCode::input, "{}: expected an object, found {}", subject_, brief(component));
}

const Json* ComponentFields::value(std::string_view field) {
  if (std::ranges::find(taken_, field) == taken_.end()) taken_.push_back(field);
  return find_field(object_, field);
}

std::string ComponentFields::text(std::string_view field) {
  const Json* found = value(field);
  if (found == nullptr || !found->is_string()) refuse(field, "a string");
  return found->get<std::string>();
}

std::optional<std::string> ComponentFields::text_if_any(std::string_view field) {
  if (value(field) == nullptr) return std::nullopt;
  return text(field);
}

bool ComponentFields::flag(std::string_view field) {
  const Json* found = value(field);
  if (found == nullptr || !found->is_boolean()) refuse(field, "true or false");
  return found->get<bool>();
}

bool ComponentFields::flag_or(std::string_view field, bool otherwise) {
  return value(field) == nullptr ? otherwise : flag(field);
}

int64_t ComponentFields::count(std::string_view field) {
  const Json* found = value(field);
  if (found == nullptr || !found->is_number_unsigned() || !std::in_range<int32_t>(found->get<uint64_t>()))
    refuse(field, "an integer of 0 or more");
  return found->get<int64_t>();
}

const std::vector<Json>& ComponentFields::list(std::string_view field) {
  const Json* found = value(field);
  if (found == nullptr || !found->is_array()) refuse(field, "an array");
  return found->get_ref<const Json::array_t&>();
}

size_t ComponentFields::one_of(std::string_view field, std::initializer_list<std::string_view> names) {
  const Json* found = value(field);
  if (found != nullptr && found->is_string()) {
    const auto at = std::find(names.begin(), names.end(), found->get_ref<const std::string&>());
    if (at != names.end()) return static_cast<size_t>(at - names.begin());
  }
  refuse(field, fmt::format("one of {}", fmt::join(names, ", ")));
}

void ComponentFields::done() const {
  for (const auto& [field, found] : object_.get_ref<const Json::object_t&>())
    if (std::find(taken_.begin(), taken_.end(), field) == taken_.end())
      fail(ExitCode::input, "{}: field {} ({}) is not known here, and may change the ids: known are {}", subject_,
           brief(Json(field)), brief(found), fmt::join(taken_, ", "));
}

void ComponentFields::refuse(std::string_view field, std::string_view expected) const {
  const Json* found = find_field(object_, field);
  fail(ExitCode::input, "{}: field \"{}\": expected {}, found {}", subject_, field, expected,
       found == nullptr ? "none" : brief(*found));
}

PatternField read_pattern(ComponentFields& fields, std::string_view field) {
  const Json* found = fields.value(field);
  for (const bool is_regex : {false, true}) {
    const Json* text =
        found == nullptr || found->size() != 1 ? nullptr : find_field(*found, is_regex ? "Regex" : "String");
    if (text != nullptr && text->is_string() && !text->get_ref<const std::string&>().empty())
      return {text->get<std::string>(), is_regex};
  }
  fields.refuse(field, R"({"String": text} or {"Regex": text}, of a text that is not empty)");
}

}  // namespace switchyard
