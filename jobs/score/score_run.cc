#include "jobs/score/score_run.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "io/file.h"
#include "io/temporary_file.h"
#include "jobs/collectively.h"
#include "jobs/score/input_identity.h"
#include "jobs/score/tokenizer_check.h"
#include "kernels/cpu_isa.h"
#include "run/attempts.h"

namespace switchyard {

ScoreRun::ScoreRun(Runtime& runtime, ScoreOptions options, std::string resolved_config)
    : world_(runtime.world),
      pulse_(runtime.pulse),
      options_(std::move(options)),
      resolved_config_(std::move(resolved_config)),
      start_(seconds_now()),
      directory_(options_.run) {}

int ScoreRun::run() {
  log::set_quiet(options_.quiet);
  prepare();
  if (options_.dry_run) {
    if (on_root())
      for (const std::string& line : describe_plan(plan_)) std::cout << line << '\n';
    return static_cast<int>(ExitCode::complete);
  }
  if (on_root())
    for (const std::string& line : describe_plan(plan_)) log::info("{}", line);
  signals_.emplace(std::chrono::seconds(options_.term_grace), std::chrono::seconds(options_.limit_grace));
  try {
    take_run_directory();
    read_input();
    begin_attempt();
    start_watchdog();
    load();
    find_work();
    score_chunks();
    return static_cast<int>(finish());
  } catch (const std::exception& exception) {
    record_failure(as_error(exception));
    leave_no_trace();
    throw;
  }
}

void ScoreRun::prepare() {
  ModelConfig config;
  collectively(world_, [&] {
    file_exists(directory_.manifest_path(), ExitCode::output);  // or it can never be written
    set_cpu_isa(options_.cpu_isa);
    const std::set<std::string> allowed(options_.allow_config_field.begin(), options_.allow_config_field.end());
    config = read_model_config(options_.model, allowed);
    input_.emplace(options_.input);
    check_tokenizer(*input_, options_.model, options_.allow_other_tokenizer);
  });
  const int64_t longest = longest_record(world_, *input_, config.max_positions);
  MachineShare machine;
  collectively(world_,
               [&] { machine = share_machine(world_, requested_device(options_, directory_), options_.share_gpu); });
  collectively(world_, [&] { plan_ = plan_score(options_, config, *input_, longest, machine, directory_); });
}

void ScoreRun::take_run_directory() {
  collectively(world_, [&] {
    if (!on_root()) return;
    made_directory_ = !directory_exists(directory_.root(), ExitCode::output);
    directory_.create_root();
    lease_ = Lease::acquire(directory_.lease_path(), std::chrono::seconds(options_.lease_timeout),
                            std::chrono::seconds(10), [&] { get_on_or_give_up(); });
    nonce_ = lease_->nonce();
    remove_temporaries(directory_.root());
    remove_temporaries(directory_.root() / "shards");
    // The input's and the model's own hashes are not known yet.
    if (directory_.has_manifest()) directory_.check_manifest(fingerprint());
  });
  nonce_ = world_.broadcast_string(nonce_, 0);
}

/// The input's identity, before anything is loaded or computed. An attempt that is refused leaves no trace.
void ScoreRun::read_input() {
  pulse_.phase("reading the input");
  const double start = seconds_now();
  const auto chunks =
      identify_input(world_, *input_, plan_.chunk_records, plan_.config.max_positions, [&] { get_on_or_give_up(); });
  input_hash_ = content_hash(chunks).hex();
  chunk_hashes_ = hashes_of(chunks, &ChunkIdentity::scored);
  id_hashes_ = hashes_of(chunks, &ChunkIdentity::ids);
  log::info("input: {} read in {:.1f} s, hash {}", options_.input, seconds_now() - start, input_hash_);
  collectively(world_, [&] {
    if (!on_root() || !directory_.has_manifest()) return;
    const std::string subject = directory_.manifest_path().native();
    require_same_input(recorded_input(directory_.read_manifest(), subject), chunks, options_.input);
  });
}

void ScoreRun::begin_attempt() {
  collectively(world_, [&] {
    if (!on_root()) return;
    directory_.create();
    const uint64_t there = std::min(directory_.shard_bytes(), plan_.disk_bytes);  // of earlier attempts
    require_disk_space(directory_.root(), plan_.disk_bytes - there);
    attempt_ = switchyard::begin_attempt(directory_).path;
    write_file_atomically(attempt_ / "config.resolved.cfg", resolved_config_);
  });
  attempt_ = world_.broadcast_string(attempt_.native(), 0);
}

/// Of an attempt that was refused before it began.
void ScoreRun::leave_no_trace() noexcept {
  if (!attempt_.empty()) return;
  lease_.reset();
  if (made_directory_) ::rmdir(directory_.root().c_str());  // unless somebody else has put something there
}

void ScoreRun::start_watchdog() {
  if (world_.size() == 1 || options_.comm_timeout == 0) return;
  watchdog_.emplace(pulse_, Watchdog::Options{.directory = attempt_ / "hang",
                                              .rank = world_.rank(),
                                              .hosts = world_.all_gather_strings(LeaseHolder::self().host),
                                              .timeout = std::chrono::seconds(options_.comm_timeout),
                                              .end = [this](const std::string& verdict, bool reporter) {
                                                end_hung(verdict, reporter);
                                              }});
}

void ScoreRun::load() {
  pulse_.phase("loading the model");
  group_ = world_.split(world_.rank() / plan_.ep, world_.rank());
  collectively(world_, [&] {
    const Stopwatch stopwatch(load_seconds_);
    group_ = connect_devices(std::move(group_), plan_.device);
    const EngineOptions engine{options_.model,          plan_.operand,       plan_.threads,     plan_.limits,
                               options_.exchange_bytes, plan_.device.device, plan_.device.index};
    engine_ = std::make_unique<ScoringEngine>(
        plan_.config, engine, *group_, [&] { get_on_or_give_up(); }, &pulse_);
  });
  collectively(world_, [&] {
    model_hash_ = engine_->model_hash(*group_).hex();
    if (world_.broadcast_string(model_hash_, 0) != model_hash_)
      fail(ExitCode::input, "{}: expert groups read different models; is the directory shared?", options_.model);
  });
  log::info("model: {} loaded in {:.1f} s, hash {}", options_.model, load_seconds_, model_hash_);
  collectively(world_, [&] {
    if (!on_root()) return;
    directory_.check_or_write_manifest(fingerprint(), manifest_info());
    write_file_atomically(directory_.config_path(), resolved_config_);
  });
  fingerprint_hash_ = switchyard::fingerprint_hash(fingerprint());
  const ChunkScorer::Options scoring{plan_.results,
                                     options_.batch_tokens,
                                     plan_.config.vocab_size,
                                     plan_.config.max_positions,
                                     static_cast<double>(options_.term_grace) / 4,
                                     [this](const ChunkProgress& chunk) { on_step(chunk); }};
  scorer_ = std::make_unique<ChunkScorer>(engine_->decoder(), *input_, world_, *group_, engine_->stream(),
                                          engine_->arena(), scoring);
}

ShardSet ScoreRun::shard_set() const {
  return {directory_, plan_.num_records, plan_.chunk_records, plan_.results, fingerprint_hash_, chunk_hashes_};
}

void ScoreRun::find_work() {
  pulse_.phase("finding what is done");
  std::vector<uint8_t> done(static_cast<size_t>(plan_.num_chunks), 0);
  collectively(world_, [&] {
    if (!on_root()) return;
    // A finished run has all it needs in its results, and may have dropped its shards.
    totals_ = completed_results();
    if (totals_) {
      std::ranges::fill(done, uint8_t{1});
      return;
    }
    for (const int64_t chunk : scan_shards(shard_set(), [&] { get_on_or_give_up(); }))
      done[static_cast<size_t>(chunk)] = 1;
  });
  world_.broadcast({done.data(), {plan_.num_chunks}, DType::u8}, 0);
  resumed_records_ = plan_.num_records;
  for (int64_t chunk = 0; chunk < plan_.num_chunks; ++chunk) {
    if (done[static_cast<size_t>(chunk)] != 0) continue;
    pending_.push_back(chunk);
    resumed_records_ -= plan_.chunk_size(chunk);
  }
  resumed_chunks_ = plan_.num_chunks - static_cast<int64_t>(pending_.size());
  if (resumed_chunks_ > 0) log::info("resuming: {} of {} chunks are there", resumed_chunks_, plan_.num_chunks);
}

void ScoreRun::score_chunks() {
  pulse_.phase("scoring");
  if (on_root() && !totals_) write_state(RunStatus::running, ExitCode::complete, "");
  progress_.emplace(on_root() && !options_.quiet);
  score_start_ = state_told_at_ = seconds_now();
  const auto groups = static_cast<size_t>(plan_.num_groups());
  for (auto i = static_cast<size_t>(world_.rank() / plan_.ep); i < pending_.size(); i += groups) {
    const StopDecision decision = agree_on_stopping(*signals_, world_, *group_);
    if (decision.stop) break;
    if (decision.seconds_left)
      announce_limit(*decision.seconds_left, static_cast<int64_t>((pending_.size() - i + groups - 1) / groups));
    if (!score_chunk(pending_[i])) break;
    ++chunks_done_;
    tell_progress();
  }
}

bool ScoreRun::score_chunk(int64_t chunk) {
  const double begin = metrics_told_at_ = seconds_now();
  metrics_told_records_ = 0;
  const auto result = scorer_->score(chunk, plan_.chunk_first(chunk), plan_.chunk_size(chunk), *signals_);
  const int64_t untold = std::exchange(records_in_flight_, 0) - metrics_told_records_;
  if (!result) {
    if (group_->rank() == 0 && untold > 0) write_metrics(chunk, untold, 0);
    return false;
  }
  if (group_->rank() == 0) publish(*result);
  scorer_->committed(seconds_now() - begin);
  return true;
}

/// Of a group's first rank.
void ScoreRun::publish(const ChunkResult& result) {
  if (result.input_hash != chunk_hashes_[static_cast<size_t>(result.chunk)])
    fail(ExitCode::input, "{}: the tokens of records {} to {} changed while they were scored", options_.input,
         result.first_record, result.first_record + result.num_records - 1);
  {
    const Stopwatch stopwatch(write_seconds_);
    const TemporaryFile shard(directory_.shard_path(result.chunk));
    write_shard(shard.path(), result, plan_.results, fingerprint_hash_);
    check_lease_held();
    shard.publish();
  }
  const auto records = static_cast<int64_t>(result.record.size());
  write_metrics(result.chunk, std::max<int64_t>(0, records - metrics_told_records_), std::ssize(result.rejects));
}

/// Whether what can still be stopped shall be: on request, or so that all ends before the time limit.
bool ScoreRun::time_is_up() const {
  if (signals_->request() >= SignalWatch::terminate) return true;
  const std::optional<double> left = signals_->seconds_left();
  return left && *left < scorer_->pace().reserve();
}

/// Called from long steps where a rank may still walk away: before the first chunk.
void ScoreRun::get_on_or_give_up() const {
  pulse_.beat();
  if (signals_->request() >= SignalWatch::terminate)
    fail(ExitCode::interrupted, "stopped on request before the first chunk");
}

void ScoreRun::check_lease_held() const {
  check_lease(directory_.lease_path(), nonce_);
}

}  // namespace switchyard
