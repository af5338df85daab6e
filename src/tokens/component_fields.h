// The fields of a component of a tokenizer's file: each is taken by name, and whatever is left over is refused.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace switchyard {

class ComponentFields {
 public:
  /// Fails (input) if `component` is no object. `subject`: the file and the component's place in it.
  ComponentFields(const Json& component, std::string subject);

  const std::string& subject() const { return subject_; }
  const Json* value(std::string_view field);  ///< null: absent, or JSON null
  std::string text(std::string_view field);
  std::optional<std::string> text_if_any(std::string_view field);
  bool flag(std::string_view field);
  bool flag_or(std::string_view field, bool otherwise);
  int64_t count(std::string_view field);  ///< 0 or more
  const std::vector<Json>& list(std::string_view field);
  /// The place of the value among `names`; fails (input), naming them.
  size_t one_of(std::string_view field, std::initializer_list<std::string_view> names);
  void ignore(std::string_view field) { taken_.push_back(field); }

  /// Fails (input) for the first field that was not asked for.
  void done() const;
  [[noreturn]] void refuse(std::string_view field, std::string_view expected) const;

 private:
  const Json& object_;
  std::string subject_;
  std::vector<std::string_view> taken_;
};

/// One or the other of {"String": …} and {"Regex": …}.
struct PatternField {
  std::string text;  ///< not empty
  bool is_regex;
};
PatternField read_pattern(ComponentFields& fields, std::string_view field);

}  // namespace switchyard
