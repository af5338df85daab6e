// Takes a config.json apart field by field. What is wrong with a field is remembered and something in range given in
// its place, so that the rest is looked at too; finish() names everything at once, and whatever was left over.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/json.h"
#include "model/config/model_config.h"

namespace switchyard {

class ConfigReader {
 public:
  /// `allowed`: fields that the user says may be ignored where they are not known, or not implemented at their value.
  ConfigReader(const Json& object, std::string subject, std::set<std::string> allowed);

  /// The object that a field holds, read alike; its fields are called FIELD.NAME, and `known_as` + NAME in the tables
  /// of fields that no family reads. Where there is none the field is wrong, and an empty object is read.
  ConfigReader& inside(std::string_view field, std::string_view known_as = "");

  /// What fields are taken as where the file does not have them at all (null is no absence): a class's defaults.
  void assume(std::vector<std::pair<std::string, Json>> absent) { assumed_ = std::move(absent); }

  /// One value under any of several spellings; where more than one is given they must agree. One must be given.
  int64_t integer(std::initializer_list<std::string_view> names, int64_t min, int64_t max);
  int64_t integer_or(std::string_view name, int64_t fallback, int64_t min, int64_t max);
  double positive_number(std::string_view name);
  double positive_number_or(std::string_view name, double fallback);
  /// At least 0.
  double number_or(std::string_view name, double fallback);
  bool flag_or(std::string_view name, bool fallback);
  std::string text(std::string_view name);
  std::string text_or(std::string_view name, std::string_view fallback);
  std::vector<int64_t> integers_or_empty(std::string_view name);
  std::vector<std::string> texts_or_empty(std::string_view name);
  const Json* value(std::string_view name) { return take(name); }  ///< as it is; null when absent or JSON null
  void take_all();                        ///< of an object whose fields mean what nobody here knows
  bool has(std::string_view name) const;  ///< present, or assumed, and not null
  bool is_assumed(std::string_view name) const { return has(name) && !object_.contains(name); }
  bool is_null(std::string_view name) const;   ///< present and null: some say so what is not there
  bool is_sound(std::string_view name) const;  ///< nothing was wrong with it so far

  /// The field may be absent, null or this value; anything else would change the mathematics.
  void only(std::string_view name, const Json& value);

  /// A condition on several fields, looked at where each is sound by itself.
  void require(std::initializer_list<std::string_view> fields, bool holds, std::string_view expected);
  /// Something wrong with a field, or with the model.
  void refuse(std::string_view field, std::string_view expected, const Json& found);
  void refuse_missing(std::initializer_list<std::string_view> names);
  void refuse(std::string problem) { report_->problems.push_back(std::move(problem)); }
  /// How weights are stored. Refuses other ways of quantising them, by the fields that name them and by `files`, a line
  /// for each beside config.json.
  WeightStorage storage(const std::vector<std::string>& files);

  /// Fails (input) if anything was wrong, with all of it.
  void fail_if_wrong() const;
  /// The same, and refuses every field not taken, not known to be harmless, and not allowed by the user; those of
  /// objects that were read too.
  void finish();

  const std::string& subject() const { return report_->subject; }

 private:
  /// What is known of the whole file.
  struct Report {
    std::string subject;
    std::set<std::string> allowed;
    std::set<std::string, std::less<>> unsound = {};
    std::vector<std::string> problems = {}, unknown = {}, ignored = {};
  };

  ConfigReader(const Json& object, std::shared_ptr<Report> report, std::string prefix, std::string known_as);
  const Json* find(std::string_view name) const;
  const Json* take(std::string_view name);
  std::string full(std::string_view name) const { return prefix_ + std::string(name); }
  bool is_allowed(std::string_view name);
  bool is_integer(std::string_view name, const Json& value, int64_t min, int64_t max);
  bool is_number(std::string_view name, const Json& value, bool may_be_zero);
  void check_leftovers();
  void check_leftover(std::string_view name, const Json& value);

  const Json& object_;
  std::shared_ptr<Report> report_;
  std::string prefix_, known_as_;
  std::vector<std::pair<std::string, Json>> assumed_;
  std::set<std::string, std::less<>> taken_;
  std::deque<ConfigReader> inner_;
};

}  // namespace switchyard
