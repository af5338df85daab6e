#include "run/attempt.h"

#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "io/temporary_file.h"
#include "run/attempts.h"

namespace switchyard {

Attempt::Attempt(Communicator& world, Pulse& pulse, Options options, std::string config)
    : world_(world),
      pulse_(pulse),
      options_(std::move(options)),
      config_(std::move(config)),
      directory_(options_.run),
      start_(seconds_now()) {
  signals_.emplace(options_.term_grace, options_.limit_grace);
}

Attempt::~Attempt() = default;

ExitCode Attempt::run(const std::function<ExitCode()>& body) {
  try {
    return body();
  } catch (const std::exception& exception) {
    // What all ranks know one records, lest the others write when it has given the lease back.
    if (on_root() || dynamic_cast<const CollectiveError*>(&exception) == nullptr) record_failure(as_error(exception));
    leave_no_trace();
    throw;
  }
}

void Attempt::enter(const WorkUnits& units) {
  units_ = units;
  collectively(world_, [&] {
    if (!on_root()) return;
    const std::filesystem::path unit_folder = units_.folder(directory_.root());
    made_directory_ = !directory_exists(directory_.root(), ExitCode::output);
    directory_.create_root(unit_folder.filename().native());
    lease_ = Lease::acquire(directory_.lease_path(), options_.lease_timeout, std::chrono::seconds(10),
                            [&] { get_on_or_give_up(); });
    nonce_ = lease_->nonce();
    remove_temporaries(directory_.root());
    remove_temporaries(unit_folder);
  });
  nonce_ = world_.broadcast_string(nonce_, 0);
}

void Attempt::take(const WorkUnits& units, const Fingerprint& known) {
  if (nonce_.empty()) enter(units);
  units_ = units;
  collectively(world_, [&] {
    if (on_root() && directory_.has_manifest()) directory_.check_manifest(known);
  });
}

void Attempt::begin(uint64_t disk_bytes) {
  collectively(world_, [&] {
    if (!on_root()) return;
    directory_.create(units_.folder(directory_.root()).filename().native());
    make_directories(units_.folder(directory_.root()));
    std::error_code none;
    const uint64_t results =
        units_.results.empty() ? 0 : std::filesystem::file_size(directory_.root() / units_.results, none);
    const uint64_t there = units_.bytes_present(directory_.root()) + (none ? 0 : results);  // of earlier attempts
    require_disk_space(directory_.root(), disk_bytes - std::min(there, disk_bytes));
    folder_ = begin_attempt(directory_).path;
    write_file_atomically(folder_ / "config.resolved.cfg", config_);
  });
  folder_ = world_.broadcast_string(folder_.native(), 0);
  if (world_.size() == 1 || options_.comm_timeout.count() == 0) return;
  watchdog_.emplace(pulse_, Watchdog::Options{.directory = folder_ / "hang",
                                              .rank = world_.rank(),
                                              .hosts = world_.all_gather_strings(LeaseHolder::self().host),
                                              .timeout = options_.comm_timeout,
                                              .end = [this](const std::string& verdict, bool reporter) {
                                                end_hung(verdict, reporter);
                                              }});
}

void Attempt::identify(const Fingerprint& fingerprint, const Json& info) {
  collectively(world_, [&] {
    if (!on_root()) return;
    directory_.check_or_write_manifest(fingerprint, units_, info);
    write_file_atomically(directory_.config_path(), config_);
  });
  at_work_ = true;
}

void Attempt::resume(const std::vector<int64_t>& done) {
  std::vector<uint8_t> is_done(static_cast<size_t>(units_.total), 0);
  if (on_root())
    for (const int64_t unit : done) is_done.at(static_cast<size_t>(unit)) = 1;
  world_.broadcast({is_done.data(), {units_.total}, DType::u8}, 0);
  for (int64_t unit = 0; unit < units_.total; ++unit)
    if (is_done[static_cast<size_t>(unit)] == 0) pending_.push_back(unit);
  if (num_resumed() > 0) log::info("resuming: {} of {} {} are there", num_resumed(), units_.total, units_.name);
  if (on_root() && !pending_.empty()) write_state(RunStatus::running, ExitCode::complete, "");
  progress_.emplace(on_root() && !options_.quiet);
  start_ = told_at_ = seconds_now();
}

std::vector<int64_t> Attempt::pending(int64_t group, int64_t num_groups) const {
  std::vector<int64_t> mine;
  for (int64_t i = group; i < std::ssize(pending_); i += num_groups) mine.push_back(pending_[static_cast<size_t>(i)]);
  return mine;
}

double Attempt::seconds() const {
  return seconds_now() - start_;
}

void Attempt::get_on_or_give_up() const {
  pulse_.beat();
  if (signals_->request() >= SignalWatch::terminate)
    fail(ExitCode::interrupted, "stopped on request before any of the {} was begun", units_.name);
}

bool Attempt::time_is_up(double reserve) const {
  if (signals_->request() >= SignalWatch::terminate) return true;
  const std::optional<double> left = signals_->seconds_left();
  return left && *left < reserve;
}

std::string_view Attempt::why_stopped() const {
  if (!planned_stop_.empty()) return planned_stop_;
  return signals_->request() == SignalWatch::limit_near ? "before the time limit" : "on request";
}

void Attempt::publish(int64_t unit, const std::function<void(const std::filesystem::path&)>& write) const {
  const TemporaryFile file(units_.file(directory_.root(), unit));
  write(file.path());
  check_lease_held();
  file.publish();
}

void Attempt::tell(int64_t in_flight, const std::function<std::string()>& details) {
  in_flight_ = in_flight;
  if (!on_root()) return;
  constexpr double kStateSeconds = 5;
  const double begin = seconds_now();
  // The others wait for this rank's next step: looking at the units and syncing the state may take it a hundredth.
  if (begin - told_at_ >= std::max(kStateSeconds, 100 * tell_seconds_)) {
    write_state(RunStatus::running, ExitCode::complete, "");
    told_at_ = seconds_now();
    tell_seconds_ = told_at_ - begin;
  }
  if (progress_->due()) progress_->show(report_progress(in_flight, details()));
}

ProgressReport Attempt::report_progress(int64_t in_flight, std::string details) const {
  const UnitCounts done = count_done(units_, directory_.root());
  ProgressReport report;
  report.units = units_.name;
  report.units_total = units_.total;
  report.units_done = done.units;
  report.units_resumed = num_resumed();
  report.items_total = units_.items_total;
  report.items_done = std::min(done.items + in_flight, units_.items_total);
  if (units_.in_order) report.units_done = report.items_done / units_.items_per_unit;
  report.details = std::move(details);
  int64_t to_do = 0;  // when this attempt began
  for (const int64_t unit : pending_) to_do += units_.items_in(unit);
  const int64_t left = report.items_total - report.items_done;
  if (const int64_t fresh = to_do - left; fresh > 0)
    report.seconds_left = seconds() / static_cast<double>(fresh) * static_cast<double>(left);
  report.seconds_to_limit = seconds_to_job_end().value_or(-1);
  return report;
}

ExitCode Attempt::finish(const Stream& stream, int64_t units_done, const std::function<ExitCode()>& complete) {
  pulse_.phase("waiting for all groups");
  {
    const Stopwatch stopwatch(wait_seconds_);
    wait_for_all(*signals_, world_, stream);
  }
  work_seconds_ = seconds();
  progress_.reset();
  in_flight_ = 0;
  const int64_t done = num_resumed() + world_.all_reduce_one(units_done, ReduceOp::sum);
  pulse_.phase("merging");
  auto code = static_cast<int64_t>(ExitCode::interrupted);
  collectively(world_, [&] {
    if (!on_root()) return;
    if (done == units_.total)
      code = static_cast<int64_t>(complete());
    else
      write_state(RunStatus::interrupted, ExitCode::interrupted, fmt::format("stopped {}", why_stopped()));
  });
  world_.broadcast({&code, {1}, DType::i64}, 0);
  if (on_root() && code == static_cast<int64_t>(ExitCode::interrupted))
    log::warning("stopped {}, with {} of {} {} done: run the same command again{} to resume", why_stopped(), done,
                 units_.total, units_.name, planned_stop_.empty() ? "" : " without that");
  return static_cast<ExitCode>(code);
}

ExitCode Attempt::complete(int64_t max_rejects) const {
  const bool too_many = rejects_ > max_rejects;
  const ExitCode code = too_many ? ExitCode::too_many_rejects : ExitCode::complete;
  write_state(RunStatus::complete, code,
              too_many ? fmt::format("{} rejects, at most {} allowed", rejects_, max_rejects) : "");
  return code;
}

void Attempt::leave() {
  world_.barrier();  // who leaves first would be missed by the others' watchdogs
  watchdog_.reset();
  lease_.reset();
}

void Attempt::check_lease_held() const {
  check_lease(directory_.lease_path(), nonce_);
}

/// Results that are complete stay so, whatever happens to a later attempt.
bool Attempt::is_complete() const {
  const std::optional<RunState> state = directory_.find_state();
  return state && state->status == RunStatus::complete &&
         (units_.results.empty() || file_exists(directory_.root() / units_.results));
}

/// Whether a rank of this attempt has said that trying again is of no use.
bool Attempt::has_failed() const {
  const std::optional<RunState> state = directory_.find_state();
  return state && state->status == RunStatus::failed && state->attempt == folder_.filename();
}

void Attempt::write_state(RunStatus status, ExitCode code, std::string message) const {
  check_lease_held();  // the state is the holder's: an orphan that is told to stop has no say
  RunState state;
  state.status = status;
  state.units = units_.name;
  state.items = units_.items;
  state.units_total = units_.total;
  state.items_total = units_.items_total;
  const bool all = status == RunStatus::merging || status == RunStatus::complete;
  const UnitCounts done = all ? UnitCounts{units_.total, units_.items_total} : count_done(units_, directory_.root());
  state.units_done = done.units;
  state.items_done = done.items;
  if (status == RunStatus::running) state.items_done = std::min(done.items + in_flight_, units_.items_total);
  state.rejects = rejects_;
  state.exit_code = static_cast<int>(code);
  state.attempt = folder_.filename().native();
  state.message = std::move(message);
  state.as_planned = status == RunStatus::interrupted && !planned_stop_.empty();
  directory_.write_state(state);
}

void Attempt::record_failure(const Error& error) noexcept {
  // Before the attempt has begun, or if the directory is not ours, it says nothing of the run.
  if (folder_.empty() || error.code() == ExitCode::mismatch) return;
  try {
    if (is_complete()) return;
    // Once work has begun the environment was good enough: a peer, or the network, is gone, and may come again.
    const bool lost_peer = error.code() == ExitCode::environment && at_work_;
    if (lost_peer && has_failed()) return;  // the peer said why it went
    if (lost_peer || error.code() == ExitCode::interrupted) {
      write_state(RunStatus::interrupted, ExitCode::interrupted, error.what());
    } else {
      write_state(RunStatus::failed, error.code(), error.what());
    }
  } catch (const std::exception& e) {
    log::warning("state.json could not be written: {}", e.what());
  }
}

/// Of an attempt that was refused before it began.
void Attempt::leave_no_trace() noexcept {
  if (!folder_.empty()) return;
  lease_.reset();
  if (made_directory_) ::rmdir(directory_.root().c_str());  // unless somebody else has put something there
}

/// From the watchdog's thread, while the main thread may hang in MPI.
void Attempt::end_hung(const std::string& verdict, bool reporter) const noexcept {
  if (reporter) {
    log::error("{}", verdict);
    try {
      if (!is_complete()) write_state(RunStatus::interrupted, ExitCode::timeout, verdict);
    } catch (const std::exception& e) {
      log::warning("state.json could not be written: {}", e.what());
    }
  } else {
    // The first rank to end ends the step: let it be the one that reports.
    std::this_thread::sleep_for(std::chrono::seconds(3));
  }
  std::_Exit(static_cast<int>(ExitCode::timeout));
}

}  // namespace switchyard
