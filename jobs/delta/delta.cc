#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "jobs/delta/actions.h"
#include "jobs/job.h"
#include "jobs/options/option_groups.h"

namespace switchyard {
namespace {

struct Action {
  std::string_view name;
  std::string_view usage;
  size_t least_operands, most_operands;
  std::vector<std::string_view> options;  ///< that it takes; all take --dry-run
  DeltaAction* run;
};

const std::vector<Action>& actions() {
  static const std::vector<Action> all = {{"cut",
                                           "cut RUN, or cut --model BASE --trained DIR, with --output FILE",
                                           0,
                                           1,
                                           {"model", "delta", "trained", "output", "keep-master", "allow-config-field"},
                                           cut_delta},
                                          {"info", "info FILE ...", 1, SIZE_MAX, {"json"}, show_delta},
                                          {"apply",
                                           "apply --model BASE --delta FILE ... --output DIR",
                                           0,
                                           0,
                                           {"model", "delta", "output", "allow-config-field"},
                                           apply_delta},
                                          {"revert",
                                           "revert --model RESULT --delta FILE ... --output DIR",
                                           0,
                                           0,
                                           {"model", "delta", "output", "allow-config-field"},
                                           revert_delta},
                                          {"diff", "diff FILE FILE", 2, 2, {"json"}, diff_deltas}};
  return all;
}

const Action& find_action(const std::vector<std::string>& words) {
  std::vector<std::string_view> usages;
  for (const Action& action : actions()) {
    if (!words.empty() && words.front() == action.name) return action;
    usages.push_back(action.usage);
  }
  fail(ExitCode::usage, "delta: expected one of: {}; found {}", fmt::join(usages, "; "),
       words.empty() ? "none" : words.front());
}

void check_usage(const Action& action, const OptionSet& set, size_t operands) {
  if (operands < action.least_operands || operands > action.most_operands)
    fail(ExitCode::usage, "delta {}: expected {}, found {} words behind it", action.name, action.usage, operands);
  for (const OptionSet::Option& option : set.options()) {
    const bool known = std::ranges::find(action.options, option.name) != action.options.end();
    if (!known && option.name != "action" && option.name != "dry-run" && set.is_on_command_line(option.name))
      fail(ExitCode::usage, "delta {}: --{} is not for it; expected {}", action.name, option.name, action.usage);
  }
}

}  // namespace

void DeltaOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("action", &words, "ACTION ...",
        "cut RUN: what a training run has changed; info FILE ...: what deltas say; apply, revert: another model by "
        "them; diff FILE FILE: what two change");
  o.positional("action");
  o.require("action");
  o.add("model", &model, "DIR", "cut, apply: the base; revert: the model that the deltas lead to");
  o.add("delta", &delta, "FILE ...", "deltas in the order of their chain; cut: those that the base is read with");
  o.add("trained", &trained, "DIR", "cut: the trained model, where there is no run");
  o.add("output", &output, "PATH", "what is written: cut a delta, apply and revert a model's directory");
  o.add("keep-master", &keep_master, "",
        "cut: also the f32 values that rounding to the base's dtype changes, for training to go on from");
  describe_allow_config_field(o, &allow_config_field);
  o.add("json", &json, "", "info, diff: print JSON");
  o.add("dry-run", &dry_run, "", "say what would be written and write nothing");
}

int run_delta(Runtime& runtime, std::span<const std::string> args) {
  DeltaOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "delta", args)) return 0;
  const Action& action = find_action(options.words);
  const auto operands = std::span<const std::string>(options.words).subspan(1);
  check_usage(action, set, operands.size());
  action.run(options, operands, [&] { runtime.pulse.beat(); });
  return static_cast<int>(ExitCode::complete);
}

}  // namespace switchyard
