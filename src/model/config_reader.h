// Takes a config.json apart field by field and remembers what was taken, so that nothing is left over unseen.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace switchyard {

class ConfigReader {
 public:
  ConfigReader(const Json& object, std::string subject, std::set<std::string> allowed);

  /// One value under any of several spellings; where more than one is given they must agree. Fails when there is none.
  int64_t integer(std::initializer_list<std::string_view> names, int64_t min, int64_t max);
  int64_t integer_or(std::string_view name, int64_t fallback, int64_t min, int64_t max);
  double positive_number(std::string_view name);
  bool flag(std::string_view name);
  bool flag_or(std::string_view name, bool fallback);
  std::vector<int64_t> integers_or_empty(std::string_view name);
  bool has(std::string_view name) const;  ///< present and not null

  /// The field may be absent, null or this value; anything else would change the mathematics and is refused.
  void only(std::string_view name, const Json& value);
  /// layer_types, where given: full attention in every layer, else refused.
  void only_full_attention();
  /// rope_theta with rope_scaling, or rope_parameters: plain rotary embedding over the whole head, else refused.
  double rope_theta();

  /// Refuses every field not taken, not known to be harmless, and not allowed by the user.
  void finish() const;

  const std::string& subject() const { return subject_; }

 private:
  const Json* take(std::string_view name);
  [[noreturn]] void refuse(std::string_view field, std::string_view expected, const Json& actual) const;
  void check_plain_rope(const Json& object, std::string_view field);

  const Json& object_;
  std::string subject_;
  std::set<std::string> allowed_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace switchyard
