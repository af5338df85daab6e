// Takes a config.json apart field by field. What is wrong with a field is remembered and something in range given in
// its place, so that the rest is looked at too; finish() names everything at once, and whatever was left over.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "model/config.h"

namespace switchyard {

class ConfigReader {
 public:
  /// `allowed`: fields that the user says may be ignored where they are not known, or not implemented at their value.
  ConfigReader(const Json& object, std::string subject, std::set<std::string> allowed);

  /// One value under any of several spellings; where more than one is given they must agree. One must be given.
  int64_t integer(std::initializer_list<std::string_view> names, int64_t min, int64_t max);
  int64_t integer_or(std::string_view name, int64_t fallback, int64_t min, int64_t max);
  double positive_number(std::string_view name);
  bool flag_or(std::string_view name, bool fallback);
  std::string text(std::string_view name);
  std::vector<int64_t> integers_or_empty(std::string_view name);
  bool has(std::string_view name) const;       ///< present and not null
  bool is_sound(std::string_view name) const;  ///< nothing was wrong with it so far

  /// The field may be absent, null or this value; anything else would change the mathematics.
  void only(std::string_view name, const Json& value);
  /// layer_types, where given: full attention in every layer.
  void only_full_attention();
  /// No sliding window, or one no shorter than any record. use_sliding_window turns it off; `by_default` is what its
  /// absence means.
  void only_full_window(int64_t max_positions, bool by_default);
  /// rope_theta, beside rope_scaling or in rope_parameters: plain rotary embedding over the whole head.
  double rope_theta();

  /// A condition on several fields, looked at where each is sound by itself.
  void require(std::initializer_list<std::string_view> fields, bool holds, std::string_view expected);
  /// Something wrong with the model that is not one field's.
  void refuse(std::string problem) { problems_.push_back(std::move(problem)); }
  /// How weights are stored. Refuses other ways of quantising them, by the fields that name them and by `files`, a line
  /// for each beside config.json.
  WeightStorage storage(const std::vector<std::string>& files);

  /// Fails (input) if anything was wrong, with all of it.
  void fail_if_wrong() const;
  /// The same, and refuses every field not taken, not known to be harmless, and not allowed by the user.
  void finish();

  const std::string& subject() const { return subject_; }

 private:
  const Json* take(std::string_view name);
  bool is_allowed(std::string_view name);
  void refuse(std::string_view field, std::string_view expected, const Json& found);
  void refuse_missing(std::initializer_list<std::string_view> names);
  bool is_integer(std::string_view name, const Json& value, int64_t min, int64_t max);
  bool is_positive(std::string_view name, const Json& value);
  void check_leftover(std::string_view name, std::string_view known_as, const Json& value);

  const Json& object_;
  std::string subject_;
  std::set<std::string> allowed_;
  std::set<std::string, std::less<>> taken_, unsound_;
  std::vector<std::string> problems_, unknown_, ignored_;
};

}  // namespace switchyard
