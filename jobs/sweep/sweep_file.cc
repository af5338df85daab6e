#include "jobs/sweep/sweep_file.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/number.h"
#include "base/text.h"
#include "io/json.h"
#include "jobs/options/config_file.h"

namespace switchyard {
namespace {

constexpr std::string_view kJob = "train";
constexpr std::string_view kLet = "let ";
constexpr std::string_view kPoint = "point";
constexpr std::string_view kOwn[] = {"mode", "then", "metric", "better", "retention", "adaptation"};

const JobEntry& find_job(std::span<const JobEntry> jobs, std::string_view name, std::string_view place) {
  const auto found = std::ranges::find(jobs, name, &JobEntry::name);
  if (found == jobs.end()) fail(ExitCode::usage, "{}: \"{}\" is no job (see switchyard --help)", place, name);
  if (found->batch == nullptr)
    fail(ExitCode::usage, "{}: {} has no run directory to resume from: it cannot be a part of a point", place, name);
  return *found;
}

template <class T>
T positive_number(std::string_view text, std::string_view what, std::string_view place) {
  const T value = number_in<T>(text).value_or(0);
  if (value < 1) fail(ExitCode::usage, "{}: expected {}, found \"{}\"", place, what, text);
  return value;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

class Parser {
 public:
  Parser(std::string_view subject, std::span<const JobEntry> jobs) : subject_(subject), jobs_(jobs) {
    find_job(jobs, kJob, subject).describe(options_);
  }

  SweepFile parse(std::string_view text) {
    for (const ConfigLine& line : parse_config(text, subject_)) {
      place_ = fmt::format("{}, line {}", subject_, line.number);
      if (std::ranges::find(kOwn, line.name) != std::end(kOwn))
        read_own(line);
      else if (line.name.starts_with(kLet))
        read_variable(line);
      else
        read_option(line);
      for (std::string& name : placeholders_of(line.written)) placeholders_.emplace_back(place_, std::move(name));
    }
    check_lengths();
    check_placeholders();
    check_values();
    return std::move(file_);
  }

 private:
  void read_own(const ConfigLine& line) {
    if (line.name == "then") return file_.then.push_back(follow_up(line.value));
    if (!seen_.insert(line.name).second) fail(ExitCode::usage, "{}: {} is given more than once", place_, line.name);
    if (line.name == "mode") return read_mode(words_of(line.value));
    if (line.name == "better") {
      if (line.value != "lower" && line.value != "higher")
        fail(ExitCode::usage, "{}: better: expected lower or higher, found \"{}\"", place_, line.value);
      file_.lower_is_better = line.value == "lower";
      return;
    }
    if (line.value.empty()) fail(ExitCode::usage, "{}: {}: expected the name of a metric", place_, line.name);
    (line.name == "metric" ? file_.metric : line.name == "retention" ? file_.retention : file_.adaptation) = line.value;
  }

  void read_mode(const std::vector<std::string>& words) {
    const std::string_view expected = "grid, random N [SEED] or list";
    const bool is_random = words.size() >= 2 && words.size() <= 3 && words[0] == "random";
    if (is_random) {
      file_.mode = SweepMode::random;
      file_.random_points = positive_number<int64_t>(words[1], "random N, a number of points from 1", place_);
      if (words.size() == 3)
        file_.random_seed = positive_number<uint64_t>(words[2], "random N SEED, a seed from 1", place_);
    } else if (words.size() == 1 && (words[0] == "grid" || words[0] == "list")) {
      file_.mode = words[0] == "grid" ? SweepMode::grid : SweepMode::list;
    } else {
      fail(ExitCode::usage, "{}: mode: expected {}, found \"{}\"", place_, expected, fmt::join(words, " "));
    }
  }

  void read_option(const ConfigLine& line) {
    const bool is_known =
        std::ranges::find(options_.options(), line.name, &OptionSet::Option::name) != options_.options().end();
    if (!is_known)
      fail(ExitCode::usage, "{}: {} is no option of {}{} (see switchyard {} --help)", place_, line.name, kJob,
           suggestion_for(options_, line.name), kJob);
    if (line.name == "run") fail(ExitCode::usage, "{}: run: every point of a sweep has a folder of its own", place_);
    const auto list = parse_list(line.written, place_);
    if (!list) {
      if (swept_lines_.contains(line.name)) fail_again(line.name);
      file_.fixed[line.name].push_back(line.value);  // again: a list that goes on
      check_value(line.name, file_.fixed[line.name], line.number);
      return;
    }
    if (file_.fixed.contains(line.name)) fail_again(line.name);
    for (const OptionValues& values : *list) check_value(line.name, values, line.number);
    sweep(line.name, line.number, *list, false);
  }

  /// "let origin = …"
  void read_variable(const ConfigLine& line) {
    const size_t begin = line.name.find_first_not_of(' ', kLet.size());
    const std::string name = begin == line.name.npos ? "" : line.name.substr(begin);
    const bool is_option =
        std::ranges::find(options_.options(), name, &OptionSet::Option::name) != options_.options().end();
    if (!is_name(name) || is_option || name == kPoint)
      fail(ExitCode::usage, "{}: let {}: expected a name of letters, digits, - and _ that is no option of {}{}", place_,
           name, kJob, name == kPoint ? ", nor the point's folder" : "");
    if (!placeholders_of(line.written).empty())
      fail(ExitCode::usage, "{}: {}: expected values without names in braces: a variable stands for itself", place_,
           line.name);
    const auto list = parse_list(line.written, place_);
    if (file_.variables.contains(name) || (!list && swept_lines_.contains(name))) fail_again(line.name);
    if (!list) {
      file_.variables[name] = line.value;
      return;
    }
    for (const OptionValues& values : *list)
      if (values.size() != 1)
        fail(ExitCode::usage, "{}: {}: expected single values, found the list [{}]", place_, line.name,
             fmt::join(values, ", "));
    sweep(name, line.number, *list, true);
  }

  void sweep(const std::string& name, int number, const std::vector<OptionValues>& values, bool is_variable) {
    if (values.empty()) fail(ExitCode::usage, "{}: {}: expected at least one value between [ and ]", place_, name);
    if (!swept_lines_.emplace(name, number).second) fail_again(name);
    for (auto value = values.begin(); value != values.end(); ++value)
      if (std::find(values.begin(), value, *value) != value && file_.mode != SweepMode::list)
        repeated_.push_back(fmt::format("{}: {}: the value {} comes twice", place_, name, fmt::join(*value, ", ")));
    file_.swept.push_back({name, is_variable, values});
  }

  /// The names in braces.
  static std::vector<std::string> placeholders_of(std::string_view text) {
    std::vector<std::string> names;
    for (size_t at = text.find('{'); at != text.npos; at = text.find('{', at + 1)) {
      const size_t end = text.find('}', at);
      if (end == text.npos) break;
      if (const std::string name(text.substr(at + 1, end - at - 1)); is_name(name)) names.push_back(name);
    }
    return names;
  }

  static bool is_name(std::string_view name) {
    return !name.empty() &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == name.npos;
  }

  void check_placeholders() const {
    for (const auto& [place, name] : placeholders_)
      if (name != kPoint && !file_.variables.contains(name) && !file_.fixed.contains(name) &&
          std::ranges::find(file_.swept, name, &SweptOption::name) == file_.swept.end())
        fail(ExitCode::usage,
             "{}: {{{}}} stands for nothing: expected the name of a let or of an option in this file, or {{point}}",
             place, name);
  }

  [[noreturn]] void fail_again(const std::string& name) const {
    fail(ExitCode::usage, "{}: {} is given more than once", place_, name);
  }

  /// To be checked as the job will read it, once it is known what names stand for.
  void check_value(const std::string& name, const OptionValues& values, int number) {
    Check& check = checks_.emplace_back(Check{std::string(kJob), std::string(subject_), {}});
    for (const std::string& value : values) check.lines.push_back({name, value, value, number});
  }

  /// With the first of each name's values.
  void check_values() {
    std::map<std::string, std::string> names = file_.variables;
    for (const SweptOption& option : file_.swept)
      if (const OptionValues& first = option.values.front(); !first.empty()) names[option.name] = first.front();
    for (const auto& [name, values] : file_.fixed) names[name] = values.front();
    for (Check& check : checks_) {
      for (ConfigLine& line : check.lines)
        for (const auto& [name, value] : names) line.value = replaced(line.value, "{" + name + "}", value);
      OptionSet set;
      find_job(jobs_, check.job, subject_).describe(set);
      parse_option_lines(set, check.job, check.lines, check.place);
    }
  }

  /// "score --input old.h5 --run old": options as on a command line.
  FollowUp follow_up(const std::string& text) {
    const std::vector<std::string> words = words_of(text);
    if (words.empty()) fail(ExitCode::usage, "{}: then: expected a job and its options", place_);
    find_job(jobs_, words.front(), place_ + ": then");
    FollowUp result{.job = words.front(), .name = words.front(), .options = {}};
    std::vector<ConfigLine> lines;
    const auto number = static_cast<int>(std::ssize(file_.then) + 1);
    for (size_t i = 1; i < words.size();) {
      const std::string& word = words[i++];
      if (!word.starts_with("--"))
        fail(ExitCode::usage, "{}: then: expected an option of {}, found \"{}\"", place_, result.job, word);
      const size_t equals = word.find('=');
      const std::string name = word.substr(2, equals == word.npos ? word.npos : equals - 2);
      if (equals != word.npos) lines.push_back({name, word.substr(equals + 1), {}, number});
      const size_t before = lines.size();
      for (; equals == word.npos && i < words.size() && !words[i].starts_with("--"); ++i)
        lines.push_back({name, words[i], {}, number});
      if (equals == word.npos && lines.size() == before) lines.push_back({name, "true", {}, number});
    }
    checks_.push_back({result.job, place_ + ": then", lines});
    for (const ConfigLine& line : lines) {
      if (line.name == "run")
        result.name = line.value;
      else
        result.options[line.name].push_back(line.value);
    }
    check_name(result.name);
    return result;
  }

  /// A folder beside the training's.
  void check_name(const std::string& name) {
    if (!is_name(name))
      fail(ExitCode::usage, "{}: then: --run {}: expected a folder's name of letters, digits, - and _", place_, name);
    if (name == kJob || std::ranges::find(file_.then, name, &FollowUp::name) != file_.then.end())
      fail(ExitCode::usage, "{}: then: the name {} is taken: expected another one with --run NAME", place_, name);
  }

  void check_lengths() const {
    if (file_.mode != SweepMode::list) {
      if (!repeated_.empty()) fail(ExitCode::usage, "{}", repeated_.front());
      return;
    }
    for (const SweptOption& option : file_.swept) {
      const SweptOption& first = file_.swept.front();
      if (option.values.size() != first.values.size())
        fail(ExitCode::usage, "{}, line {}: {} has {} values, {} (line {}) has {}: mode list takes them item by item",
             subject_, swept_lines_.at(option.name), option.name, option.values.size(), first.name,
             swept_lines_.at(first.name), first.values.size());
    }
  }

  /// Lines of options of a job.
  struct Check {
    std::string job, place;
    std::vector<ConfigLine> lines;
  };

  std::string_view subject_;
  std::span<const JobEntry> jobs_;
  OptionSet options_;  ///< of the job; for their names
  SweepFile file_;
  std::string place_;
  std::set<std::string> seen_;
  std::map<std::string, int> swept_lines_;
  std::vector<std::string> repeated_;  ///< what only mode list may have
  std::vector<Check> checks_;
  std::vector<std::pair<std::string, std::string>> placeholders_;  ///< and in which line
};

/// So that other values have another text: as JSON where a value has what lists are written with.
std::string text_of(const OptionValues& values) {
  std::vector<std::string> words;
  for (const std::string& value : values)
    words.push_back(value.find_first_of(",[]\"") == value.npos ? value : to_text(Json(value)));
  return words.size() == 1 ? words.front() : fmt::format("[{}]", fmt::join(words, ", "));
}

}  // namespace

std::map<std::string, std::string> SweepFile::fields() const {
  std::map<std::string, std::string> fields;
  for (const auto& [name, values] : fixed) fields[name] = text_of(values);
  for (const auto& [name, value] : variables) fields[std::string(kLet) + name] = text_of({value});
  for (const SweptOption& option : swept) {
    std::vector<std::string> values;
    for (const OptionValues& value : option.values) values.push_back(text_of(value));
    fields[std::string(option.is_variable ? kLet : "") + option.name] = fmt::format("[{}]", fmt::join(values, ", "));
  }
  fields["mode"] = mode == SweepMode::grid   ? "grid"
                   : mode == SweepMode::list ? "list"
                                             : fmt::format("random {} {}", random_points, random_seed);
  for (const FollowUp& run : then) {
    std::string words = run.job;
    for (const auto& [name, values] : run.options) words += fmt::format(" --{} {}", name, fmt::join(values, " "));
    fields["then " + run.name] = words;
  }
  return fields;
}

SweepFile parse_sweep(std::string_view text, std::string_view subject, std::span<const JobEntry> jobs) {
  return Parser(subject, jobs).parse(text);
}

}  // namespace switchyard
