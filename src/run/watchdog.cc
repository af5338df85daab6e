#include "run/watchdog.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "base/log.h"
#include "base/thread.h"
#include "io/file.h"
#include "io/json.h"

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = 1 << 16;

fs::path verdict_path(const fs::path& directory) {
  return directory / "verdict.json";
}

/// Empty when there is no such file, or it is being replaced.
std::string content_of(const fs::path& path) {
  try {
    return read_text_file(path, kMaxFileBytes);
  } catch (const Error&) {
    return {};
  }
}

/// What this rank has seen of another's files, and when they last changed.
struct Seen {
  std::string text;
  Clock::time_point changed;
};

std::string place(const Json& report) {
  const int layer = report.value("layer", -1);
  return fmt::format("{}{}", report.value("phase", std::string("?")),
                     layer < 0 ? std::string() : fmt::format(", layer {}", layer));
}

}  // namespace

std::vector<int> blame(const std::vector<RankSign>& signs) {
  std::vector<int> culprits;
  for (const RankSign& sign : signs) {
    if (sign.kind == RankSign::alive) return {};
    if (sign.kind == RankSign::silent) culprits.push_back(sign.rank);
  }
  if (!culprits.empty() || signs.empty()) return culprits;
  const int64_t least = std::ranges::min(signs, {}, &RankSign::sequence).sequence;
  for (const RankSign& sign : signs)
    if (sign.sequence == least) culprits.push_back(sign.rank);
  return culprits;
}

class Watchdog::Thread {
 public:
  Thread(const Pulse& pulse, Options options)
      : pulse_(pulse),
        options_(std::move(options)),
        ask_after_(options_.timeout * 3 / 4),
        grace_(options_.timeout / 4),
        interval_(std::clamp<std::chrono::milliseconds>(options_.timeout / 40, std::chrono::milliseconds(50),
                                                        std::chrono::seconds(2))),
        thread_(start_thread("the watchdog", [this] { run(); })) {}

  ~Thread() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_one();
    thread_.join();
    remove(json_path());
    remove(alive_path());
  }

 private:
  void run() {
    last_progress_ = last_look_ = unhurried_since_ = Clock::now();
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, interval_, [this] { return stop_; })) {
      try {
        look();
      } catch (const std::exception& error) {
        // A file system that fails now and then must not end a run that gets on.
        if (!std::exchange(complained_, true)) log::warning("watchdog: {}", error.what());
      }
    }
  }

  void look() {
    const Pulse::Reading now = pulse_.read();
    // Whoever was stopped itself (a suspended job) starts anew: its clock ran on.
    const bool slept = Clock::now() - std::exchange(last_look_, Clock::now()) > grace_ / 2 + interval_;
    const bool got_on = now.beats != reading_.beats || slept;
    if (got_on || !now.unhurried) unhurried_since_ = Clock::now();
    const bool patient = now.unhurried && Clock::now() - unhurried_since_ < options_.patience * options_.timeout;
    if (got_on || patient) last_progress_ = Clock::now();
    reading_ = now;
    const auto stalled_for = Clock::now() - last_progress_;
    if (stalled_for < ask_after_) {
      asked_.reset();
      remove(json_path());
      answer();
      return;
    }
    if (!asked_) {
      remove(alive_path());
      make_directories(options_.directory);
      replace_file(json_path(), to_text(report()) + "\n");
      asked_ = Clock::now();
      seen_.clear();
    }
    obey_verdict();
    if (reading_.waiting >= 0 && stalled_for >= options_.timeout) judge();
  }

  /// Tells those who ask that this rank is alive.
  void answer() {
    if (!fs::exists(options_.directory)) return;
    const bool asked = std::ranges::any_of(fs::directory_iterator(options_.directory), [](const auto& entry) {
      return entry.path().filename().native().starts_with("rank") && entry.path().extension() == ".json";
    });
    if (!asked) return remove(alive_path());
    obey_verdict();
    replace_file(alive_path(), fmt::format("{}\n", ++answers_));
  }

  void obey_verdict() {
    if (const std::string verdict = read_verdict(options_.directory); !verdict.empty()) end(verdict, false);
  }

  void judge() {
    std::vector<RankSign> signs;
    std::map<int, Json> reports;
    for (const int rank : reading_.waits_with) {
      RankSign& sign = signs.emplace_back(RankSign{rank});
      const std::string text = content_of(path_of(rank, ".json"));
      if (const std::optional<Json> found = parse_report(text)) {
        sign.kind = RankSign::stalled;
        sign.sequence = sequence_in(*found);
        reports[rank] = *found;
      } else if (changed_lately(rank, content_of(path_of(rank, ".alive")))) {
        sign.kind = RankSign::alive;
      }
    }
    const std::vector<int> culprits = blame(signs);
    if (culprits.empty()) return;
    // The lowest of the stalled reports; the others give it a moment, in case it has gone too.
    const bool first = reports.empty() || reports.begin()->first == options_.rank;
    if (!first && Clock::now() - last_progress_ < options_.timeout + grace_) return;
    publish(verdict_text(culprits, reports));
  }

  std::string verdict_text(const std::vector<int>& culprits, const std::map<int, Json>& reports) const {
    std::vector<std::string> names, waiting;
    for (const int rank : culprits) {
      const std::string host = options_.hosts.at(static_cast<size_t>(rank));
      const auto report = reports.find(rank);
      names.push_back(report == reports.end() ? fmt::format("rank {} on {} gives no sign of life", rank, host)
                                              : fmt::format("rank {} on {} is in {}, operation {}", rank, host,
                                                            place(report->second), sequence_in(report->second)));
    }
    for (const auto& [rank, report] : reports)
      if (std::ranges::find(culprits, rank) == culprits.end()) waiting.push_back(std::to_string(rank));
    return fmt::format("no progress for {:.0f} s: {}; {} (rank {}: {}, operation {} of {})",
                       std::chrono::duration<double>(options_.timeout).count(), fmt::join(names, "; "),
                       waiting.empty()
                           ? "all have come to the same operation, which does not end: does the network carry?"
                           : fmt::format("waiting for it: rank {}", fmt::join(waiting, ", ")),
                       options_.rank, place(report()), waited_in().sequence, waited_in().name);
  }

  const Pulse::Reading::Communicator& waited_in() const {
    return reading_.communicators.at(static_cast<size_t>(reading_.waiting));
  }
  /// Operations that another rank has come to, in the communicator that this one waits in: none if it has not made it.
  int64_t sequence_in(const Json& report) const { return report.at("sequence").value(waited_in().name, int64_t{0}); }

  void publish(const std::string& message) {
    const Json json = {{"message", message}, {"reporter", options_.rank}};
    const bool first = write_file_once(verdict_path(options_.directory), to_text(json) + "\n");
    end(first ? message : read_verdict(options_.directory), first);
  }

  void end(const std::string& verdict, bool reporter) {
    if (!std::exchange(ended_, true)) options_.end(verdict, reporter);
  }

  Json report() const {
    const auto stalled = std::chrono::duration<double>(Clock::now() - last_progress_).count();
    Json sequence = Json::object();
    for (const auto& communicator : reading_.communicators) sequence[communicator.name] = communicator.sequence;
    return {{"rank", options_.rank},
            {"host", options_.hosts.at(static_cast<size_t>(options_.rank))},
            {"pid", ::getpid()},
            {"phase", reading_.phase},
            {"layer", reading_.layer},
            {"sequence", sequence},
            {"waits_with", reading_.waits_with},
            {"seconds_without_progress", stalled}};
  }

  static std::optional<Json> parse_report(const std::string& text) {
    if (text.empty()) return std::nullopt;
    Json json = parse_json(text, "hang report");
    if (!json.contains("sequence") || !json["sequence"].is_object()) return std::nullopt;
    return json;
  }

  /// A rank's sign of life counts for a quarter of the timeout, and so does having been asked only now.
  bool changed_lately(int rank, const std::string& text) {
    const auto [entry, first_time] = seen_.try_emplace(rank, Seen{text, *asked_});
    Seen& seen = entry->second;
    if (seen.text != text || (first_time && !text.empty())) seen = {text, Clock::now()};
    return Clock::now() - seen.changed < grace_;
  }

  fs::path path_of(int rank, std::string_view suffix) const {
    return options_.directory / fmt::format("rank{}{}", rank, suffix);
  }
  fs::path json_path() const { return path_of(options_.rank, ".json"); }
  fs::path alive_path() const { return path_of(options_.rank, ".alive"); }
  static void remove(const fs::path& path) {
    std::error_code ignored;  // most often there is none
    fs::remove(path, ignored);
  }

  const Pulse& pulse_;
  const Options options_;
  const Clock::duration ask_after_, grace_;
  const std::chrono::milliseconds interval_;
  Pulse::Reading reading_;
  Clock::time_point last_progress_, last_look_, unhurried_since_;
  std::optional<Clock::time_point> asked_;
  std::map<int, Seen> seen_;
  int64_t answers_ = 0;
  bool complained_ = false, ended_ = false;

  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses all the others
};

Watchdog::Watchdog(const Pulse& pulse, Options options)
    : thread_(std::make_unique<Thread>(pulse, std::move(options))) {}

Watchdog::~Watchdog() = default;

std::string read_verdict(const std::filesystem::path& hang_directory) {
  const std::string text = content_of(verdict_path(hang_directory));
  return text.empty() ? std::string() : parse_json(text, "verdict").value("message", std::string("unreadable verdict"));
}

}  // namespace switchyard
