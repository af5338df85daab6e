// Options of a job: one description names, documents, parses, prints and defaults every one of them.
//
// An options struct has   void describe(OptionSet& o) { o.group("Model"); o.add("model", model, "DIR", "what it is"); …
// } Precedence: command line > environment SWITCHYARD_* > --config FILE > the struct's own initial values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace switchyard {

class OptionSet {
 public:
  using Target = std::variant<std::string*, int64_t*, double*, bool*, std::vector<std::string>*>;

  void group(std::string title) { group_ = std::move(title); }
  /// `target` holds the default, and later the value. meta: what the help calls the value ("DIR", "N").
  void add(std::string name, Target target, std::string meta, std::string help);
  /// The option that bare words set (at most one).
  void positional(std::string name) { positional_ = std::move(name); }
  /// `name`, an option of this set, is a file of defaults that --config goes before; without it the first of `files`
  /// that exists is read.
  void defaults_from(std::string name, std::vector<std::string> files) {
    defaults_option_ = std::move(name);
    defaults_files_ = std::move(files);
  }
  void require(std::string name) { required_.push_back(std::move(name)); }

  struct Option {
    std::string name, meta, help, group;
    Target target;
  };
  const std::vector<Option>& options() const { return options_; }
  const std::string& positional_name() const { return positional_; }
  const std::vector<std::string>& required() const { return required_; }
  /// Names set by the user, by whatever way.
  const std::set<std::string>& given() const { return given_; }
  bool is_given(const std::string& name) const { return given_.contains(name); }

 private:
  friend bool parse_options(OptionSet&, std::string_view, std::span<const std::string>, const std::set<std::string>&);
  std::vector<Option> options_;
  std::vector<std::string> required_;
  std::string group_, positional_, defaults_option_;
  std::vector<std::string> defaults_files_;
  std::set<std::string> given_;
};

/// Fills the targets from all sources. Returns false when --help was asked for (and printed to stdout). Fails (usage)
/// on unknown options, bad values and missing required ones. `known_elsewhere`: option names of other jobs, whose
/// environment variables are none of ours; any other SWITCHYARD_* variable is a misspelling.
bool parse_options(OptionSet& set, std::string_view job, std::span<const std::string> args,
                   const std::set<std::string>& known_elsewhere);

/// An option's value as --config reads it.
std::string option_text(const OptionSet::Option& option);

/// "name = value" lines that --config reads back.
std::string resolved_config(const OptionSet& set);

}  // namespace switchyard
