#include "jobs/options/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <filesystem>
#include <iostream>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/number.h"
#include "jobs/options/config_file.h"

extern char** environ;

namespace switchyard {
namespace po = boost::program_options;
namespace {

constexpr std::string_view kEnvironmentPrefix = "SWITCHYARD_";

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;  // clang 14 does not deduce it

/// The strings of a list; null for every other target.
std::vector<std::string>* list_of(const OptionSet::Target& target) {
  if (const auto* names = std::get_if<Names>(&target)) return names->values;
  const auto* words = std::get_if<std::vector<std::string>*>(&target);
  return words == nullptr ? nullptr : *words;
}

std::string text_of(const OptionSet::Target& target) {
  return std::visit(Overloaded{[](const std::string* v) { return *v; },
                               [](const Bounded<int64_t>& v) { return fmt::format("{}", *v.value); },
                               [](const Bounded<double>& v) { return fmt::format("{}", *v.value); },
                               [](const bool* v) { return std::string(*v ? "true" : "false"); },
                               [](const std::vector<std::string>* v) { return fmt::format("{}", fmt::join(*v, " ")); },
                               [](const Names& v) { return fmt::format("{}", fmt::join(*v.values, ",")); }},
                    target);
}

// For boost all values are words: what they mean, and where they came from, is told in one place for all sources.
po::value_semantic* semantic_of(const OptionSet::Option& option) {
  if (std::holds_alternative<bool*>(option.target)) return po::bool_switch();
  auto* words = po::value<std::vector<std::string>>();
  words->value_name(option.meta);
  if (std::holds_alternative<std::vector<std::string>*>(option.target)) words->multitoken();
  return words;
}

std::string help_of(const OptionSet::Option& option) {
  const std::string value = text_of(option.target);
  const bool silent = value.empty() || std::holds_alternative<bool*>(option.target);
  return silent ? option.help : fmt::format("{} [{}]", option.help, value);
}

po::options_description describe(const OptionSet& set) {
  po::options_description all("", 110, 50);
  std::vector<std::string> groups;
  for (const auto& option : set.options())
    if (std::find(groups.begin(), groups.end(), option.group) == groups.end()) groups.push_back(option.group);
  for (const std::string& title : groups) {
    po::options_description group(title, 110, 50);
    for (const auto& option : set.options())
      if (option.group == title) group.add_options()(option.name.c_str(), semantic_of(option), help_of(option).c_str());
    all.add(group);
  }
  po::options_description general("General", 110, 50);
  general.add_options()("config", po::value<std::vector<std::string>>()->value_name("FILE"),
                        "read options from FILE, lines of name = value")("help,h", "print this");
  all.add(general);
  return all;
}

std::string variable_of(const std::string& option) {
  std::string name(kEnvironmentPrefix);
  for (const char ch : option)
    name += ch == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(ch)));
  return name;
}

/// Letters to insert, drop, replace or swap with their neighbour to make one word of the other (optimal string
/// alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i)
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.size()][b.size()];
}

/// What modules, containers and Kubernetes call such variables, and never a misspelling.
constexpr std::array<std::string_view, 17> kNamesOfOthers = {"BASE", "BIN", "DIR",   "DOC", "HOME",   "HOST",
                                                             "INC",  "LIB", "LIB64", "MAN", "PATH",   "PORT",
                                                             "ROOT", "SRC", "TAG",   "URL", "VERSION"};

/// Whether `name` is likely meant to be `known`: a letter off, in longer names two. prefix: letters that all have.
bool is_misspelt(std::string_view name, std::string_view known, size_t prefix) {
  constexpr size_t kShort = 4;
  const size_t letters = known.size() - prefix;
  return edit_distance(name, known) <= (letters <= 2 ? 0 : letters <= kShort ? 1 : 2);
}

std::string_view without_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(' ');
  return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

template <class T>
std::optional<T> number_from(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  return number_in<T>(text);
}

template <class T>
void assign_number(const Bounded<T>& target, const std::string& text, std::string_view place) {
  const std::optional<T> value = number_from<T>(text);
  if (!value || !(*value >= target.min && *value <= target.max))  // a NaN is within nothing
    fail(ExitCode::usage, "{}: expected {} from {} to {}, found \"{}\"", place,
         std::is_integral_v<T> ? "an integer" : "a number", target.min, target.max, text);
  *target.value = *value;
}

void assign_flag(bool& target, const std::string& text, std::string_view place) {
  for (const std::string_view word : {"true", "yes", "on", "1"})
    if (text == word) return void(target = true);
  for (const std::string_view word : {"false", "no", "off", "0"})
    if (text == word) return void(target = false);
  fail(ExitCode::usage, "{}: expected true or false, found \"{}\"", place, text);
}

/// meta: words that are taken, as the help shows them, if it has several.
void assign_text(std::string& target, const std::string& text, std::string_view meta, std::string_view place) {
  const std::string words = fmt::format("|{}|", meta);
  if (meta.find('|') != meta.npos && (text.find('|') != text.npos || words.find("|" + text + "|") == words.npos))
    fail(ExitCode::usage, "{}: expected one of {}, found \"{}\"", place, meta, text);
  target = text;
}

void append_names(std::vector<std::string>& names, std::string_view text, std::string_view place) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view name = without_blanks(text.substr(begin, end - begin));
    if (name.empty()) fail(ExitCode::usage, "{}: expected NAME[,NAME], found \"{}\"", place, text);
    names.emplace_back(name);
    begin = end + 1;
  }
}

/// "--name value", or as one word where the value would be taken for an option.
void append_words(std::vector<std::string>& words, const std::string& name, const std::string& value) {
  if (value.starts_with("-")) return words.push_back(name + "=" + value);
  words.insert(words.end(), {name, value});
}

}  // namespace

/// One parse: sources in the order of their precedence; what one has given the later ones do not change.
class OptionParser {
 public:
  OptionParser(OptionSet& set, std::string_view job, const std::set<std::string>& known_elsewhere)
      : set_(set), job_(job), description_(describe(set)), known_elsewhere_(known_elsewhere) {}

  /// False when help was asked for.
  bool read_command_line(std::span<const std::string> args) {
    std::vector<std::string> words(args.begin(), args.end());
    begin_source();
    split_empty_values(words);
    take_flag_values(words);
    po::positional_options_description positional;
    po::command_line_parser parser(words);
    parser.options(description_).style(po::command_line_style::unix_style & ~po::command_line_style::allow_guessing);
    if (!set_.positional_name().empty()) parser.positional(positional.add(set_.positional_name().c_str(), -1));
    for (const auto& option : run(parser).options) {
      if (option.string_key == "help") return print_help(), false;
      if (option.string_key.empty())
        fail(ExitCode::usage, "{}: \"{}\" is no option (see switchyard {} --help)", job_, fmt::join(option.value, " "),
             job_);
      give(option.string_key, option.value, fmt::format("{}: --{}", job_, option.string_key));
    }
    return true;
  }

  void read_environment() {
    reading_environment_ = true;
    set_.on_command_line_ = set_.given_;
    std::map<std::string, std::string> known;  // variable to option; of other jobs' to none
    for (const std::string& name : known_elsewhere_) known[variable_of(name)] = "";
    for (const auto& option : set_.options()) known[variable_of(option.name)] = option.name;
    known[variable_of("config")] = "config";
    begin_source();
    std::vector<std::string> foreign;
    for (char** entry = environ; *entry != nullptr; ++entry) {
      const std::string_view text(*entry);
      const size_t equals = text.find('=');
      if (!text.starts_with(kEnvironmentPrefix) || equals == std::string_view::npos) continue;
      const std::string variable(text.substr(0, equals)), value(text.substr(equals + 1));
      if (const auto found = known.find(variable); found == known.end()) {
        const auto nearest = std::ranges::min_element(
            known, {}, [&](const auto& named) { return edit_distance(variable, named.first); });
        const bool is_of_others =
            std::ranges::find(kNamesOfOthers, std::string_view(variable).substr(kEnvironmentPrefix.size())) !=
            kNamesOfOthers.end();
        if (!is_of_others && is_misspelt(variable, nearest->first, kEnvironmentPrefix.size()))
          fail(ExitCode::usage, "environment: {} is no option of any job; is {} meant?", variable, nearest->first);
        foreign.push_back(variable);
      } else if (!found->second.empty()) {
        give(found->second, {value}, fmt::format("{}: {} in the environment", job_, variable));
      }
    }
    if (!foreign.empty()) log::info("environment: {}: no option of any job, ignored", fmt::join(foreign, ", "));
  }

  void read_files() {
    if (!config_.empty()) read_file("--config", config_, config_from_environment_);
    if (set_.defaults_option_.empty()) return;
    if (set_.is_given(set_.defaults_option_)) {
      const auto option = std::ranges::find(set_.options(), set_.defaults_option_, &OptionSet::Option::name);
      return read_defaults(option_text(*option));
    }
    const auto exists = [](const std::string& path) {
      std::error_code unreadable;  // a home directory that is not ours has no defaults for us
      return std::filesystem::exists(path, unreadable);
    };
    const auto found = std::ranges::find_if(set_.defaults_files_, exists);
    if (found != set_.defaults_files_.end()) read_defaults(*found);
  }

  void give_lines(std::span<const ConfigLine> lines, std::string_view subject, bool for_all_jobs = false,
                  const std::set<std::string>& but = {}) {
    for (const ConfigLine& line : lines) {
      if (but.contains(line.name)) continue;
      const std::string place = fmt::format("{}, line {}", subject, line.number);
      if (for_all_jobs && known_elsewhere_.contains(line.name) && !has(line.name)) continue;
      give_known(line.name, {line.value}, place, fmt::format("{}: {}", place, line.name));
    }
  }

  void give_values(const std::map<std::string, std::vector<std::string>>& values) {
    for (const auto& [name, words] : values)
      if (!words.empty()) give_known(name, words, std::string(job_), fmt::format("{}: --{}", job_, name));
  }

  void check_required() const {
    for (const std::string& name : set_.required()) {
      if (!set_.is_given(name))
        fail(ExitCode::usage, "{}: --{} is required (see switchyard {} --help)", job_, name, job_);
      const auto option = std::ranges::find(set_.options(), name, &OptionSet::Option::name);
      if (option_text(*option).empty()) fail(ExitCode::usage, "{}: --{} is empty", job_, name);
    }
  }

 private:
  static constexpr std::string_view kHelpEnd =
      "\nEvery option can also be given as SWITCHYARD_NAME in the environment or in --config FILE;\n"
      "the command line wins over the environment, the environment over the file.\n";

  void begin_source() { before_ = set_.given_; }

  po::parsed_options run(po::command_line_parser& parser) const {
    try {
      return parser.run();
    } catch (const po::error& error) {
      fail(ExitCode::usage, "{}: {} (see switchyard {} --help)", job_, error.what(), job_);
    }
  }

  void print_help() const {
    std::cout << "usage: switchyard " << job_ << (set_.positional_name().empty() ? "" : " " + set_.positional_name())
              << " [options]\n"
              << description_ << kHelpEnd;
  }

  /// "--name=" to "--name" and an empty word, as boost reads it.
  static void split_empty_values(std::vector<std::string>& words) {
    std::vector<std::string> split;
    for (std::string& word : words) {
      const bool is_empty = word.starts_with("--") && word.find('=') == word.size() - 1;
      if (is_empty) word.pop_back();
      split.push_back(std::move(word));
      if (is_empty) split.emplace_back();
    }
    words = std::move(split);
  }

  /// Takes "--flag=VALUE" out of the words: for boost a flag has no value, or the word behind it would be one.
  void take_flag_values(std::vector<std::string>& words) {
    std::erase_if(words, [&](const std::string& word) {
      const size_t equals = word.find('=');
      if (!word.starts_with("--") || equals == std::string::npos) return false;
      const auto found = std::ranges::find(set_.options(), word.substr(2, equals - 2), &OptionSet::Option::name);
      if (found == set_.options().end() || !std::holds_alternative<bool*>(found->target)) return false;
      give(found->name, {word.substr(equals + 1)}, fmt::format("{}: --{}", job_, found->name));
      return true;
    });
  }

  /// for_all_jobs: it may have options of other jobs.
  void read_file(const std::string& option, const std::string& path, bool for_all_jobs = false,
                 const std::set<std::string>& but = {}) {
    begin_source();
    const std::string subject = fmt::format("{} {}", option, path);
    give_lines(parse_config(read_config(path, option), subject), subject, for_all_jobs, but);
  }
  void read_defaults(const std::string& path) {
    read_file("--" + set_.defaults_option_, path, false, set_.not_by_default_);
  }

  bool has(const std::string& name) const {
    return std::ranges::find(set_.options(), name, &OptionSet::Option::name) != set_.options().end();
  }

  /// source: what speaks of options, place: what of this one, for errors.
  void give_known(const std::string& name, const std::vector<std::string>& values, const std::string& source,
                  const std::string& place) {
    if (!has(name))
      fail(ExitCode::usage, "{}: {} is no option of {}{} (see switchyard {} --help)", source, name, job_,
           suggestion_for(set_, name), job_);
    give(name, values, place);
  }

  /// One occurrence of an option. place: where it stands, for errors.
  void give(const std::string& name, const std::vector<std::string>& values, const std::string& place) {
    if (before_.contains(name)) return;
    const bool again = !set_.given_.insert(name).second;
    if (name == "config") {
      if (again || values.size() > 1) fail(ExitCode::usage, "{}: given more than once", place);
      config_ = values.front();
      config_from_environment_ = reading_environment_;
      return;
    }
    const OptionSet::Option& option = *std::ranges::find(set_.options(), name, &OptionSet::Option::name);
    if (std::vector<std::string>* list = list_of(option.target)) {
      if (!again) list->clear();
      for (const std::string& value : values) {
        if (std::holds_alternative<Names>(option.target)) {
          append_names(*list, value, place);
        } else {
          list->push_back(value);
        }
      }
      return;
    }
    if (again || values.size() > 1) fail(ExitCode::usage, "{}: given more than once", place);
    const std::string text = values.empty() ? "true" : values.front();  // a flag alone
    std::visit(Overloaded{[&](std::string* target) { assign_text(*target, text, option.meta, place); },
                          [&](const Bounded<int64_t>& target) { assign_number(target, text, place); },
                          [&](const Bounded<double>& target) { assign_number(target, text, place); },
                          [&](bool* target) { assign_flag(*target, text, place); }, [](auto) {}},
               option.target);
  }

  OptionSet& set_;
  std::string_view job_;
  po::options_description description_;
  std::set<std::string> before_;  ///< given by sources that go before this one
  std::string config_;
  bool config_from_environment_ = false, reading_environment_ = false;
  const std::set<std::string>& known_elsewhere_;
};

void OptionSet::add(std::string name, Target target, std::string meta, std::string help) {
  const auto place = std::ranges::find(options_, before_, &Option::name);  // the end, unless before() was called
  options_.insert(place, {std::move(name), std::move(meta), std::move(help), group_, target});
}

void OptionSet::take(const OptionSet& other, const std::set<std::string>& but) {
  for (const Option& option : other.options_) {
    if (but.contains(option.name)) continue;
    group(option.group);
    add(option.name, option.target, option.meta, option.help);
  }
  if (other.defaults_option_.empty()) return;
  defaults_from(other.defaults_option_, other.defaults_files_);
  not_by_default_ = but;
}

bool parse_options(OptionSet& set, std::string_view job, std::span<const std::string> args,
                   const std::set<std::string>& known_elsewhere) {
  OptionParser parser(set, job, known_elsewhere);
  if (!parser.read_command_line(args)) return false;
  parser.read_environment();
  parser.read_files();
  parser.check_required();
  return true;
}

void parse_option_lines(OptionSet& set, std::string_view job, std::span<const ConfigLine> lines,
                        std::string_view subject) {
  const std::set<std::string> none;
  OptionParser(set, job, none).give_lines(lines, subject);
}

void parse_option_values(OptionSet& set, std::string_view job,
                         const std::map<std::string, std::vector<std::string>>& values) {
  const std::set<std::string> none;
  OptionParser parser(set, job, none);
  parser.give_values(values);
  parser.check_required();
}

std::string suggestion_for(const OptionSet& set, std::string_view name) {
  const auto nearest = std::ranges::min_element(
      set.options(), {}, [&](const OptionSet::Option& option) { return edit_distance(name, option.name); });
  const bool is_near = nearest != set.options().end() && is_misspelt(name, nearest->name, 0);
  return is_near ? fmt::format("; is {} meant?", nearest->name) : "";
}

std::string option_text(const OptionSet::Option& option) {
  return text_of(option.target);
}

std::vector<std::string> option_values(const OptionSet::Option& option) {
  const std::vector<std::string>* list = list_of(option.target);
  return list == nullptr ? std::vector{option_text(option)} : *list;
}

std::vector<std::string> option_words(const OptionSet::Option& option) {
  const std::string name = "--" + option.name;
  if (std::holds_alternative<std::vector<std::string>*>(option.target)) {
    std::vector<std::string> words;
    for (const std::string& value : *list_of(option.target)) append_words(words, name, value);
    return words;
  }
  const std::string text = text_of(option.target);
  if (std::holds_alternative<bool*>(option.target)) return {text == "true" ? name : name + "=" + text};
  std::vector<std::string> words;
  append_words(words, name, text);
  return words;
}

std::string resolved_config(const OptionSet& set) {
  std::string text;
  for (const auto& option : set.options()) {
    if (const std::vector<std::string>* list = list_of(option.target)) {
      for (const std::string& value : *list) text += config_line(option.name, value);
    } else if (const std::string value = text_of(option.target); !value.empty() || set.is_given(option.name)) {
      text += config_line(option.name, value);
    }
  }
  return text;
}

}  // namespace switchyard
