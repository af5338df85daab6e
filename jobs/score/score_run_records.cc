// What an attempt says of itself in the run directory and the log: manifest, state, metrics, progress.
#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/version.h"
#include "io/file.h"
#include "jobs/score/score_run.h"
#include "kernels/cpu_isa.h"

namespace switchyard {

Fingerprint ScoreRun::fingerprint() const {
  Fingerprint f;
  f["config"] = config_hash(plan_.config).hex();
  if (!input_hash_.empty()) f["input"] = input_hash_;
  f["numerics"] = plan_.numerics;
  f["chunk_records"] = std::to_string(plan_.chunk_records);
  f["per_token"] = plan_.results.per_token ? "true" : "false";
  f["embed"] = plan_.results.embed;
  if (!model_hash_.empty()) f["model"] = model_hash_;
  return f;
}

Json ScoreRun::manifest_info() const {
  Json info;
  info["job"] = "score";
  info["switchyard"] = SWITCHYARD_VERSION;
  info["git_revision"] = SWITCHYARD_GIT_REVISION;
  info["dtype"] = std::string(name_of(plan_.operand));
  info["cpu_isa"] = std::string(current_cpu_isa());
  info["device"] = plan_.device.device == Device::cuda ? "cuda" : "cpu";
  info["exchange"] = std::string(group_->kind());
  info["model"] = path_to_json(absolute_path(options_.model, ExitCode::input));
  info["input"] = path_to_json(absolute_path(options_.input, ExitCode::input));
  info["allow_config_field"] = options_.allow_config_field;
  info["max_positions"] = plan_.config.max_positions;
  info["embedding_dim"] = plan_.results.embedding_dim;
  info["num_records"] = plan_.num_records;
  info["num_chunks"] = plan_.num_chunks;
  return info;
}

/// Results that are complete stay so, whatever happens to a later attempt.
bool ScoreRun::is_complete() const {
  const std::optional<RunState> state = directory_.find_state();
  return state && state->status == RunStatus::complete && file_exists(directory_.results_path());
}

/// The results of an earlier attempt, if they are whole and this run's. What the state says of them counts for nothing:
/// it may be torn, or the attempt was killed before it could write it.
std::optional<ResultTotals> ScoreRun::completed_results() const {
  if (!file_exists(directory_.results_path())) return std::nullopt;
  try {
    check_results(shard_set(), fingerprint(), [&] { get_on_or_give_up(); });
    return read_totals(directory_, [&] { get_on_or_give_up(); });
  } catch (const Error& error) {
    if (error.code() == ExitCode::interrupted) throw;
    log::warning("{}; the results are made again", error.what());
    return std::nullopt;
  }
}

/// Whether a rank of this attempt has said that trying again is of no use.
bool ScoreRun::has_failed() const {
  const std::optional<RunState> state = directory_.find_state();
  return state && state->status == RunStatus::failed && state->attempt == attempt_.filename();
}

void ScoreRun::write_state(RunStatus status, ExitCode code, std::string message) const {
  check_lease_held();  // the state is the holder's: an orphan that is told to stop has no say
  RunState state;
  state.status = status;
  state.chunks_total = plan_.num_chunks;
  state.records_total = plan_.num_records;
  const bool all = status == RunStatus::merging || status == RunStatus::complete;
  if (all) {
    state.chunks_done = plan_.num_chunks;
    state.records_done = plan_.num_records;
  } else {
    for (const int64_t chunk : directory_.shards_present()) {
      if (chunk >= plan_.num_chunks) continue;
      ++state.chunks_done;
      state.records_done += plan_.chunk_size(chunk);
    }
    if (status == RunStatus::running) state.records_done += records_in_flight_;
  }
  if (totals_) state.rejects = totals_->rejects;
  state.exit_code = static_cast<int>(code);
  state.attempt = attempt_.filename().native();
  state.message = std::move(message);
  directory_.write_state(state);
}

void ScoreRun::record_failure(const Error& error) noexcept {
  // Before the attempt has begun, or if the directory is not ours, it says nothing of the run.
  if (attempt_.empty() || error.code() == ExitCode::mismatch) return;
  try {
    if (is_complete()) return;
    // Once scoring has begun the environment was good enough: a peer, or the network, is gone, and may come again.
    const bool lost_peer = error.code() == ExitCode::environment && scorer_ != nullptr;
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

/// From the watchdog's thread, while the main thread may hang in MPI.
void ScoreRun::end_hung(const std::string& verdict, bool reporter) const noexcept {
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
