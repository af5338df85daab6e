#include "run/stop.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "io/temporary_file.h"

namespace switchyard {
namespace {

constexpr int kHandled[] = {SIGUSR1, SIGTERM, SIGINT};
constexpr int64_t kSameSignal = 5'000'000'000;  // ns within which a signal counts once
// Of the job's time, for what comes after the ranks: the batch script settles the run and requeues its job.
constexpr double kScriptSeconds = 10;

// Handlers can only touch lock-free atomics. Times are CLOCK_MONOTONIC nanoseconds; 0: never.
struct SignalState {
  std::atomic<int64_t> limit_at{0};      ///< first SIGUSR1
  std::atomic<int64_t> terminate_at{0};  ///< first SIGTERM or SIGINT
  std::atomic<int64_t> last_limit{0}, last_terminate{0};
  std::atomic<int> repeats{0};  ///< signals beyond the first of their kind
};
SignalState state;

int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

void on_signal(int signal) {
  const bool limit = signal == SIGUSR1;
  std::atomic<int64_t>& first = limit ? state.limit_at : state.terminate_at;
  std::atomic<int64_t>& last = limit ? state.last_limit : state.last_terminate;
  const int64_t now = now_ns();
  const int64_t before = last.load();
  if (before != 0 && now - before < kSameSignal) return;
  last = now;
  if (int64_t never = 0; first.compare_exchange_strong(never, now)) return;
  if (++state.repeats < 2) return;
  remove_unpublished_files();
  ::_exit(static_cast<int>(ExitCode::interrupted));
}

void on_early_signal(int) {
  constexpr std::string_view kMessage = "switchyard: stopped on request; nothing was changed\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
  remove_unpublished_files();
  ::_exit(static_cast<int>(ExitCode::interrupted));
}

void handle_signals(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  ::sigemptyset(&action.sa_mask);
  for (const int signal : kHandled) ::sigaction(signal, &action, nullptr);
}

double seconds(int64_t ns) {
  return static_cast<double>(ns) * 1e-9;
}

}  // namespace

std::optional<double> seconds_to_job_end() {
  const char* end = std::getenv("SLURM_JOB_END_TIME");
  const long long time = end == nullptr ? 0 : std::atoll(end);
  if (time <= 0) return std::nullopt;
  // To the fraction: what takes less than a second must not find that the last one is over all at once.
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(time) - now.count();
}

void end_on_signals() {
  handle_signals(on_early_signal);
}

SignalWatch::SignalWatch(std::chrono::seconds term_grace, std::chrono::seconds limit_grace)
    : term_grace_(term_grace), limit_grace_(limit_grace) {
  state.limit_at = state.terminate_at = state.last_limit = state.last_terminate = 0;
  state.repeats = 0;
  handle_signals(on_signal);
}

SignalWatch::Request SignalWatch::request() const {
  if (state.repeats > 0) return drop;
  if (state.terminate_at != 0) return terminate;
  return state.limit_at != 0 ? limit_near : none;
}

void SignalWatch::accept(Request request) {
  if (request == drop && state.repeats == 0) state.repeats = 1;
  int64_t never = 0;
  if (request >= terminate) state.terminate_at.compare_exchange_strong(never, now_ns());
  never = 0;
  if (request == limit_near) state.limit_at.compare_exchange_strong(never, now_ns());
}

std::optional<double> SignalWatch::seconds_left() const {
  std::optional<double> left;
  const int64_t now = now_ns();
  if (state.limit_at != 0) left = seconds_to_limit();
  if (const int64_t at = state.terminate_at; at != 0) {
    const double grace = static_cast<double>(term_grace_.count()) - seconds(now - at);
    left = std::min(left.value_or(grace), grace);
  }
  return left;
}

/// A signal after the end that Slurm told when the job began speaks of a later one: the limit was raised.
double SignalWatch::seconds_to_limit() const {
  const double since_signal = seconds(now_ns() - state.limit_at);
  const std::optional<double> job = seconds_to_job_end();
  if (job && *job + since_signal > 0) return *job - kScriptSeconds;
  return static_cast<double>(limit_grace_.count()) - since_signal;
}

StopDecision agree_on_stopping(SignalWatch& watch, Communicator& world, Communicator& group) {
  watch.accept(static_cast<SignalWatch::Request>(world.notice()));
  const auto request = watch.request();
  if (request != SignalWatch::none) world.post_notice(request);

  constexpr double kForever = 1e18;
  double urgency[2] = {static_cast<double>(request), -watch.seconds_left().value_or(kForever)};
  group.all_reduce({urgency, {2}, DType::f64}, ReduceOp::max);

  const auto agreed = static_cast<int>(urgency[0]);
  StopDecision decision;
  decision.stop = agreed >= SignalWatch::terminate;
  decision.drop = agreed >= SignalWatch::drop;
  if (agreed > SignalWatch::none) decision.seconds_left = -urgency[1];
  return decision;
}

void wait_for_all(SignalWatch& watch, Communicator& world, const Stream& stream) {
  // An exchange of one byte between all pairs completes when all have come.
  const auto ranks = static_cast<size_t>(world.size());
  std::vector<uint8_t> sent(ranks), received(ranks);
  const std::vector<int64_t> one(ranks, 1);
  const Shape shape{world.size(), 1};
  Pending pending = world.start_all_to_all_v(stream, ConstView{sent.data(), shape, DType::u8}, one,
                                             View{received.data(), shape, DType::u8}, one);
  while (!pending.poll()) {
    watch.accept(static_cast<SignalWatch::Request>(world.notice()));
    if (watch.request() != SignalWatch::none) world.post_notice(watch.request());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  pending.wait();
}

}  // namespace switchyard
