#include "jobs/sweep/sweep_file.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>

#include "base/error.h"
#include "io/json.h"
#include "jobs/config_file.h"

namespace switchyard {
namespace {

constexpr std::string_view kJob = "train";
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
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1)
    fail(ExitCode::usage, "{}: expected {}, found \"{}\"", place, what, text);
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
      else
        read_option(line);
    }
    check_lengths();
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
    if (list->empty()) fail(ExitCode::usage, "{}: {}: expected at least one value between [ and ]", place_, line.name);
    if (file_.fixed.contains(line.name) || !swept_lines_.emplace(line.name, line.number).second) fail_again(line.name);
    for (size_t i = 0; i < list->size(); ++i) {
      check_value(line.name, (*list)[i], line.number);
      if (std::find(list->begin(), list->begin() + static_cast<ptrdiff_t>(i), (*list)[i]) !=
              list->begin() + static_cast<ptrdiff_t>(i) &&
          file_.mode != SweepMode::list)
        repeated_.push_back(
            fmt::format("{}: {}: the value {} comes twice", place_, line.name, fmt::join((*list)[i], ", ")));
    }
    file_.swept.push_back({line.name, *list});
  }

  [[noreturn]] void fail_again(const std::string& name) const {
    fail(ExitCode::usage, "{}: {} is given more than once", place_, name);
  }

  /// As the job will read it.
  void check_value(const std::string& name, const OptionValues& values, int number) {
    std::vector<ConfigLine> lines;
    for (const std::string& value : values) lines.push_back({name, value, value, number});
    OptionSet set;
    find_job(jobs_, kJob, subject_).describe(set);
    parse_option_lines(set, kJob, lines, subject_);
  }

  /// "score --input old.h5 --run old": options as on a command line.
  FollowUp follow_up(const std::string& text) {
    const std::vector<std::string> words = words_of(text);
    if (words.empty()) fail(ExitCode::usage, "{}: then: expected a job and its options", place_);
    const JobEntry& job = find_job(jobs_, words.front(), place_ + ": then");
    OptionSet set;
    job.describe(set);
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
    parse_option_lines(set, result.job, lines, place_ + ": then");
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
    const bool is_plain =
        !name.empty() &&
        name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == name.npos;
    if (!is_plain)
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

  std::string_view subject_;
  std::span<const JobEntry> jobs_;
  OptionSet options_;  ///< of the job; for their names
  SweepFile file_;
  std::string place_;
  std::set<std::string> seen_;
  std::map<std::string, int> swept_lines_;
  std::vector<std::string> repeated_;  ///< what only mode list may have
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
  for (const SweptOption& option : swept) {
    std::vector<std::string> values;
    for (const OptionValues& value : option.values) values.push_back(text_of(value));
    fields[option.name] = fmt::format("[{}]", fmt::join(values, ", "));
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
