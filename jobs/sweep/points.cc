#include "jobs/sweep/points.h"

#include "base/error.h"
#include "base/text.h"
#include "train/data/permutation.h"

namespace switchyard {

SweepPoints::SweepPoints(const SweepFile& file, std::string_view subject) : file_(file) {
  constexpr int64_t kMostPoints = int64_t{1} << 31;
  if (file.mode == SweepMode::list) {
    count_ = file.swept.empty() ? 1 : std::ssize(file.swept.front().values);
    return;
  }
  for (const SweptOption& option : file.swept) {
    grid_ *= std::ssize(option.values);
    if (grid_ > kMostPoints)
      fail(ExitCode::usage, "{}: the grid has more than {} points: take some of them by mode = random N", subject,
           kMostPoints);
  }
  count_ = grid_;
  if (file.mode == SweepMode::grid) return;
  count_ = file.random_points;
  if (count_ > grid_)
    fail(ExitCode::usage, "{}: mode = random {}: the grid has {} points, expected at most so many", subject, count_,
         grid_);
}

std::vector<size_t> SweepPoints::choices(int64_t point) const {
  std::vector<size_t> choices(file_.swept.size());
  if (file_.mode == SweepMode::list) {
    choices.assign(choices.size(), static_cast<size_t>(point));
    return choices;
  }
  int64_t rest = file_.mode == SweepMode::grid ? point : Permutation(grid_, file_.random_seed)(point);
  for (size_t i = choices.size(); i-- > 0;) {  // the last one changes from point to point
    const int64_t values = std::ssize(file_.swept[i].values);
    choices[i] = static_cast<size_t>(rest % values);
    rest /= values;
  }
  return choices;
}

std::map<std::string, OptionValues> SweepPoints::options(int64_t point) const {
  std::map<std::string, OptionValues> options = file_.fixed;
  const std::vector<size_t> chosen = choices(point);
  for (size_t i = 0; i < chosen.size(); ++i)
    if (!file_.swept[i].is_variable) options[file_.swept[i].name] = file_.swept[i].values[chosen[i]];
  return options;
}

std::map<std::string, std::string> SweepPoints::names(int64_t point) const {
  std::map<std::string, std::string> names = file_.variables;
  const std::vector<size_t> chosen = choices(point);
  for (size_t i = 0; i < chosen.size(); ++i)
    if (file_.swept[i].is_variable) names[file_.swept[i].name] = file_.swept[i].values[chosen[i]].front();
  const std::map<std::string, std::string> variables = names;
  for (const auto& [name, values] : options(point)) {
    if (values.size() != 1) continue;
    std::string value = values.front();
    for (const auto& [variable, stands_for] : variables) value = replaced(value, "{" + variable + "}", stands_for);
    names.emplace(name, value);
  }
  return names;
}

}  // namespace switchyard
