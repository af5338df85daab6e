// Options of a job: one description names, documents, parses, checks, prints and defaults every one of them.
//
// An options struct has   void describe(OptionSet& o) { o.group("Model"); o.add("model", &model, "DIR", "what it is");
// … } Precedence: command line > environment SWITCHYARD_* > --config FILE > the struct's own initial values.
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

#include "jobs/options/config_file.h"

namespace switchyard {

/// A number that may be given within [min, max] only.
template <class T>
struct Bounded {
  T* value;
  T min, max;
};
inline Bounded<int64_t> within(int64_t* value, int64_t min, int64_t max) {
  return {value, min, max};
}
inline Bounded<double> within(double* value, double min, double max) {
  return {value, min, max};
}

/// A list given as A,B: one word, which may come again.
struct Names {
  std::vector<std::string>* values;
};

class OptionSet {
 public:
  /// A vector takes all words up to the next option.
  using Target = std::variant<std::string*, Bounded<int64_t>, Bounded<double>, bool*, std::vector<std::string>*, Names>;

  /// Of the options that follow; a group may be gone on with later.
  void group(std::string title) {
    group_ = std::move(title);
    before_.clear();
  }
  /// Options that follow stand before `name`, one of the same group, until group() or before() says otherwise.
  void before(std::string name) { before_ = std::move(name); }
  /// `target` holds the default, and later the value. meta: what the help calls the value ("DIR", "N"); "a|b" means
  /// that one of these words is taken.
  void add(std::string name, Target target, std::string meta, std::string help);
  /// The option that bare words set (at most one).
  void positional(std::string name) { positional_ = std::move(name); }
  /// `name`, an option of this set, is a file of defaults that --config goes before; without it the first of `files`
  /// that exists is read.
  void defaults_from(std::string name, std::vector<std::string> files) {
    defaults_option_ = std::move(name);
    defaults_files_ = std::move(files);
  }
  /// The options of `other` but those named `but`, and where its defaults are from: what these say of `but` is not
  /// meant.
  void take(const OptionSet& other, const std::set<std::string>& but);
  void require(std::string name) { required_.push_back(std::move(name)); }

  struct Option {
    std::string name, meta, help, group;
    Target target;
  };
  const std::vector<Option>& options() const { return options_; }
  const std::string& positional_name() const { return positional_; }
  const std::vector<std::string>& required() const { return required_; }
  bool is_given(const std::string& name) const { return given_.contains(name); }  ///< by the user, in whatever way
  /// For this very command: the environment and files speak to others as well.
  bool is_on_command_line(const std::string& name) const { return on_command_line_.contains(name); }

 private:
  friend class OptionParser;
  std::vector<Option> options_;
  std::vector<std::string> required_;
  std::string group_, before_, positional_, defaults_option_;
  std::vector<std::string> defaults_files_;
  std::set<std::string> not_by_default_;
  std::set<std::string> given_, on_command_line_;
};

/// Fills the targets from all sources. Returns false when --help was asked for (and printed to stdout). Fails (usage),
/// naming the source, on unknown options, bad values, values out of range and required ones that are missing or empty.
/// A file that SWITCHYARD_CONFIG names may have options of other jobs. `known_elsewhere`:
/// option names of other jobs, whose environment variables are none of ours. Of other SWITCHYARD_* variables those that
/// are a letter or two from an option are misspellings, and errors; the rest (modules and Kubernetes make such) gets a
/// line in the log.
bool parse_options(OptionSet& set, std::string_view job, std::span<const std::string> args,
                   const std::set<std::string>& known_elsewhere);

/// Fills the targets from such lines alone, as those of a --config file; nothing is required. Fails (usage) naming
/// `subject` and the line.
void parse_option_lines(OptionSet& set, std::string_view job, std::span<const ConfigLine> lines,
                        std::string_view subject);

/// Fills the targets from these values alone, by option, as a command line would; no environment and no file has a say.
/// One without values is not given. Fails (usage).
void parse_option_values(OptionSet& set, std::string_view job,
                         const std::map<std::string, std::vector<std::string>>& values);

/// "; is NAME meant?" where an option of the set is a letter or two from `name`.
std::string suggestion_for(const OptionSet& set, std::string_view name);

/// The value of an option that is no list, as text.
std::string option_text(const OptionSet::Option& option);

/// Of a list all of it, else the one value.
std::vector<std::string> option_values(const OptionSet::Option& option);

/// The option as words of a command line that sets it so.
std::vector<std::string> option_words(const OptionSet::Option& option);

/// "name = value" lines that --config reads back to the same values.
std::string resolved_config(const OptionSet& set);

}  // namespace switchyard
