// A study on this machine.
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "io/command.h"
#include "io/file.h"
#include "jobs/study/study.h"

namespace switchyard {
namespace {

/// A stage's exit code as this process's, if it may be: a signal's, a shell's or a good one without results says
/// nothing of it.
ExitCode own_code(int exit_code) {
  for (const ExitCode code :
       {ExitCode::usage, ExitCode::too_many_rejects, ExitCode::input, ExitCode::environment, ExitCode::internal,
        ExitCode::output, ExitCode::interrupted, ExitCode::timeout, ExitCode::mismatch})
    if (static_cast<int>(code) == exit_code) return code;
  return ExitCode::internal;
}

class LocalStudy {
 public:
  LocalStudy(Runtime& runtime, const Study& study, std::string resolved_config)
      : runtime_(runtime),
        study_(study),
        attempt_(runtime.world, runtime.pulse, study.options().attempt(), std::move(resolved_config)) {}

  int run() {
    return static_cast<int>(attempt_.run([&] {
      attempt_.take(study_.units(), study_.fingerprint());
      attempt_.begin(0);
      attempt_.identify(study_.fingerprint(), study_.manifest_info());
      study_.keep_file();
      attempt_.resume(study_.units().present(attempt_.directory().root()));
      for (const int64_t point : attempt_.pending(0, 1)) {
        if (told_to_stop()) break;
        run_point(point);
        attempt_.tell(0, [&] { return details(); });
      }
      study_.collect();
      if (!failures_.empty() && !told_to_stop()) report_failures();
      const ExitCode code = attempt_.finish(Stream{}, done_, [&] {
        const ExitCode end = any_too_many_rejects() ? ExitCode::too_many_rejects : ExitCode::complete;
        attempt_.write_state(RunStatus::complete, end, "");
        return end;
      });
      attempt_.leave();
      return code;
    }));
  }

 private:
  struct Failure {
    int64_t point;
    int exit_code;
    std::string why;
  };

  bool told_to_stop() { return attempt_.signals().request() != SignalWatch::none; }

  void run_point(int64_t point) {
    const Stopwatch stopwatch(seconds_);
    const std::vector<Stage> stages = study_.stages(point);
    study_.prepare(point);
    make_directories(study_.folder(point));
    for (const Stage& stage : stages) {
      if (study_.is_done(stage)) continue;
      const int code = run_stage(point, stage);
      if (study_.is_done(stage)) continue;  // with rejects, say
      if (told_to_stop()) return;
      failures_.push_back({point, code, why_failed(stage)});
      log::error("point {} ({}): {} ended with {}: {}", point, study_.name_of(point), stage.name, code,
                 failures_.back().why);
      return;
    }
    attempt_.publish(point, [&](const std::filesystem::path& path) {
      write_file_atomically(path, to_text(collected(point), 2) + "\n");
    });
    ++done_;
  }

  int run_stage(int64_t point, const Stage& stage) {
    const std::filesystem::path folder = study_.folder(point);
    const std::filesystem::path config = folder / (stage.name + ".cfg");
    write_file_atomically(config, stage.config());
    runtime_.pulse.phase("running a point");
    // What this process's environment says of options is no part of the study.
    static const auto environment = environment_without({"SWITCHYARD_"});
    return run_to_log(study_.local_command(point, stage, config), environment, folder / (stage.name + ".log"),
                      [&] { return pass_on_request(); });
  }

  /// True when a request has come that the running stage has not heard of.
  bool pass_on_request() {
    runtime_.pulse.beat();
    const auto request = attempt_.signals().request();
    return std::exchange(passed_on_, request) != request;
  }

  /// The run's own word, or the last of its log.
  std::string why_failed(const Stage& stage) const {
    if (const auto state = RunDirectory(stage.run).find_state(); state && !state->message.empty())
      return state->message;
    const std::filesystem::path log = stage.run.parent_path() / (stage.name + ".log");
    std::string last;
    for (auto [lines, line] = std::pair(open_lines(log), std::string()); std::getline(lines, line);)
      if (!trimmed(line).empty()) last = line;
    return last.empty() ? "nothing is known" : last;
  }

  bool any_too_many_rejects() const {
    bool any = false;
    for (int64_t point = 0; point < study_.num_points(); ++point)
      for (const Stage& stage : study_.stages(point)) {
        if (!has_too_many_rejects(stage)) continue;
        log::warning("point {} ({}): {} is complete, but has more rejects than it may have", point,
                     study_.name_of(point), stage.name);
        any = true;
      }
    return any;
  }

  [[noreturn]] void report_failures() const {
    const Failure& first = failures_.front();
    throw Error(own_code(first.exit_code),
                fmt::format("{} of {} points failed; the first, point {} ({}): {}", failures_.size(),
                            study_.num_points(), first.point, study_.name_of(first.point), first.why));
  }

  /// A unit's file.
  Json collected(int64_t point) const {
    Json options = Json::object(), metrics = Json::object();
    const std::vector<std::string> names = study_.swept(), values = study_.values_of(point);
    for (size_t i = 0; i < values.size(); ++i) options[names[i]] = values[i];
    for (const auto& [name, value] : study_.metrics_of(point)) metrics[name] = value;
    return {{"point", point}, {"options", options}, {"metrics", metrics}};
  }

  std::string details() const {
    std::string text = done_ > 0 ? fmt::format("{:.1f} s a point", seconds_ / static_cast<double>(done_)) : "";
    if (!failures_.empty()) text += fmt::format("{}{} failed", text.empty() ? "" : " | ", failures_.size());
    return text;
  }

  Runtime& runtime_;
  const Study& study_;
  Attempt attempt_;
  std::vector<Failure> failures_;
  SignalWatch::Request passed_on_ = SignalWatch::none;
  int64_t done_ = 0;
  double seconds_ = 0;
};

}  // namespace

int run_locally(Runtime& runtime, const Study& study, std::string resolved_config) {
  return LocalStudy(runtime, study, std::move(resolved_config)).run();
}

}  // namespace switchyard
