#include "jobs/score/score_run.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <thread>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/version.h"
#include "comm/nccl_communicator.h"
#include "comm/staged_communicator.h"
#include "io/attempts.h"
#include "io/file.h"
#include "io/results.h"
#include "io/temporary_file.h"
#include "jobs/collectively.h"
#include "jobs/score/input_check.h"
#include "kernels/cpu_isa.h"

namespace switchyard {
namespace {

/// The group with an all-to-all for the memory that its ranks compute in.
std::unique_ptr<Communicator> connect_devices(std::unique_ptr<Communicator> group, const DeviceChoice& choice) {
  if (choice.device == Device::cpu || group->size() == 1) return group;
  return choice.staged ? stage_through_host(std::move(group)) : add_nccl(std::move(group), choice.index);
}

std::string absolute(const std::string& path) {
  return std::filesystem::absolute(path).lexically_normal().string();
}

double seconds_to_job_end() {
  const char* end = std::getenv("SLURM_JOB_END_TIME");
  return end == nullptr ? -1 : static_cast<double>(std::atoll(end) - static_cast<long long>(std::time(nullptr)));
}

}  // namespace

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
    collectively(world_, [&] { enter_run_directory(); });
    start_watchdog();
    load();
    find_work();
    score_chunks();
    return static_cast<int>(finish());
  } catch (const Error& error) {
    record_failure(error);
    throw;
  }
}

void ScoreRun::prepare() {
  ModelConfig config;
  collectively(world_, [&] {
    check_options(options_);
    set_cpu_isa(options_.cpu_isa);
    const std::set<std::string> allowed(options_.allow_config_field.begin(), options_.allow_config_field.end());
    config = read_model_config(options_.model, allowed);
    input_.emplace(options_.input);
    if (on_root()) survey_ = survey_input(*input_, config.max_positions);
  });
  int64_t survey[3] = {survey_.longest_record, static_cast<int64_t>(survey_.structure_hash.high),
                       static_cast<int64_t>(survey_.structure_hash.low)};
  world_.broadcast({survey, {3}, DType::i64}, 0);
  survey_ = {survey[0], {static_cast<uint64_t>(survey[1]), static_cast<uint64_t>(survey[2])}};
  MachineShare machine;
  collectively(world_, [&] { machine = share_machine(world_, options_); });
  collectively(world_, [&] { plan_ = plan_score(options_, config, *input_, survey_, machine, directory_); });
}

void ScoreRun::enter_run_directory() {
  if (on_root()) {
    directory_.create();
    lease_ = Lease::acquire(directory_.lease_path(), std::chrono::seconds(options_.lease_timeout),
                            std::chrono::seconds(10), [&] { get_on_or_give_up(); });
    nonce_ = lease_->nonce();
    remove_temporaries(directory_.root());
    remove_temporaries(directory_.root() / "shards");
    if (directory_.has_manifest()) directory_.check_manifest(fingerprint());  // the model's own hash is not known yet
    const uint64_t there = std::min(directory_.shard_bytes(), plan_.disk_bytes);  // of earlier attempts
    require_disk_space(directory_.root(), plan_.disk_bytes - there);
    attempt_ = begin_attempt(directory_).path;
    write_file_atomically(attempt_ / "config.resolved.cfg", resolved_config_);
    write_file_atomically(directory_.config_path(), resolved_config_);
  }
}

void ScoreRun::start_watchdog() {
  nonce_ = world_.broadcast_string(nonce_, 0);
  attempt_ = world_.broadcast_string(attempt_.native(), 0);
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
  log::info("model: {} read in {:.1f} s, hash {}", options_.model, load_seconds_, model_hash_);
  collectively(world_, [&] {
    if (on_root()) directory_.check_or_write_manifest(fingerprint(), manifest_info());
  });
  fingerprint_hash_ = switchyard::fingerprint_hash(fingerprint());
  const ChunkScorer::Options scoring{plan_.results, options_.batch_tokens, plan_.config.vocab_size,
                                     plan_.config.max_positions, static_cast<double>(options_.term_grace) / 4};
  scorer_ = std::make_unique<ChunkScorer>(engine_->decoder(), *input_, world_, *group_, engine_->stream(),
                                          engine_->arena(), scoring);
}

void ScoreRun::find_work() {
  pulse_.phase("finding what is done");
  std::vector<uint8_t> done(static_cast<size_t>(plan_.num_chunks), 0);
  collectively(world_, [&] {
    if (!on_root()) return;
    // A finished run has all it needs in its results, and may have dropped its shards.
    complete_before_ = is_complete_already();
    if (complete_before_) {
      std::ranges::fill(done, uint8_t{1});
      return;
    }
    for (const int64_t chunk : scan_shards(shard_set(), [&] { get_on_or_give_up(); }))
      done[static_cast<size_t>(chunk)] = 1;
    check_input_unchanged();
  });
  world_.broadcast({done.data(), {plan_.num_chunks}, DType::u8}, 0);
  for (int64_t chunk = 0; chunk < plan_.num_chunks; ++chunk)
    if (done[static_cast<size_t>(chunk)] == 0) pending_.push_back(chunk);
  resumed_chunks_ = plan_.num_chunks - static_cast<int64_t>(pending_.size());
  if (resumed_chunks_ > 0) log::info("resuming: {} of {} chunks are there", resumed_chunks_, plan_.num_chunks);
}

/// Shards hold the hash of the tokens they were made from. They are compared only if the file looks touched.
void ScoreRun::check_input_unchanged() const {
  const Json manifest = directory_.read_manifest();
  const Json stamp = file_stamp(options_.input);
  if (manifest["info"]["input_stamp"] == stamp) return;
  log::info("{} was touched since the run began: comparing its tokens with those of the finished chunks",
            options_.input);
  compare_with_shards(*input_, directory_, plan_.num_records, plan_.chunk_records, plan_.config.max_positions,
                      [&] { get_on_or_give_up(); });
}

void ScoreRun::score_chunks() {
  pulse_.phase("scoring");
  if (on_root() && !complete_before_) write_state(RunStatus::running, ExitCode::complete, "");
  progress_.emplace(on_root() && !options_.quiet);
  score_start_ = seconds_now();
  const auto groups = static_cast<size_t>(plan_.num_groups());
  for (auto i = static_cast<size_t>(world_.rank() / plan_.ep); i < pending_.size(); i += groups) {
    if (agree_on_stopping(*signals_, world_, *group_).stop || !score_chunk(pending_[i])) break;
    ++chunks_done_;
    if (progress_->due()) show_progress();
  }
}

bool ScoreRun::score_chunk(int64_t chunk) {
  const double begin = seconds_now();
  const auto result = scorer_->score(chunk, plan_.chunk_first(chunk), plan_.chunk_size(chunk), *signals_);
  if (!result) return false;
  if (group_->rank() != 0) return true;
  {
    const Stopwatch stopwatch(write_seconds_);
    const TemporaryFile shard(directory_.shard_path(chunk));
    write_shard(shard.path(), *result, plan_.results, fingerprint_hash_);
    check_lease_held();
    shard.publish();
  }
  write_metrics(*result, seconds_now() - begin);
  return true;
}

ExitCode ScoreRun::finish() {
  pulse_.phase("waiting for all groups");
  {
    const Stopwatch stopwatch(wait_seconds_);
    wait_for_all(*signals_, world_, engine_->stream());
  }
  const double scoring_seconds = seconds_now() - score_start_;
  if (on_root()) progress_.reset();
  const int64_t mine = group_->rank() == 0 ? chunks_done_ : 0;
  const int64_t done = resumed_chunks_ + world_.all_reduce_one(mine, ReduceOp::sum);

  pulse_.phase("merging");
  int64_t code = static_cast<int64_t>(ExitCode::interrupted);
  if (done == plan_.num_chunks) {
    collectively(world_, [&] {
      if (on_root()) code = static_cast<int64_t>(merge());
    });
  } else if (on_root()) {
    write_state(RunStatus::interrupted, ExitCode::interrupted, "stopped on request");
  }
  world_.broadcast({&code, {1}, DType::i64}, 0);

  RunSummary summary =
      gather_summary(world_, phases(), scorer_->counters().tokens, engine_->exchange_counters().tokens_per_expert);
  world_.barrier();  // who leaves first would be missed by the others' watchdogs
  watchdog_.reset();
  if (!on_root()) return static_cast<ExitCode>(code);
  summary.scoring_seconds = scoring_seconds;
  summary.threads_total = plan_.threads * plan_.ranks_on_host;
  summary.cores = available_cores();
  summary.resumed_chunks = resumed_chunks_;
  summary.chunks = plan_.num_chunks;
  if (code != static_cast<int64_t>(ExitCode::interrupted)) {
    const ResultTotals totals = read_totals(directory_);
    summary.records = totals.records;
    summary.scored_tokens = totals.tokens;
    summary.rejects = totals.rejects;
    summary.logprob = totals.logprob;
    write_file_atomically(directory_.report_path(), report_html("switchyard score", describe_plan(plan_), summary));
    if (totals.rejects > 0)
      log::warning("{} records were rejected, the first: {} (all in {})", totals.rejects, totals.first_reject,
                   directory_.rejects_path().string());
  }
  for (const std::string& line : phase_table(summary)) log::info("{}", line);
  for (const std::string& note : advice(summary)) log::info("note: {}", note);
  if (code == static_cast<int64_t>(ExitCode::interrupted)) {
    log::warning("interrupted with {} of {} chunks done: run the same command again to resume", done, plan_.num_chunks);
  } else {
    std::cout << summary_json(summary).dump() << std::endl;
  }
  lease_.reset();
  return static_cast<ExitCode>(code);
}

ExitCode ScoreRun::merge() {
  const Stopwatch stopwatch(merge_seconds_);
  const Pulse::Unhurried unhurried(pulse_);  // closing and syncing a large file takes its time and cannot beat
  if (!complete_before_) {
    write_state(RunStatus::merging, ExitCode::complete, "");
    const ShardSet shards = shard_set();
    MergeInput merge{.shards = shards, .input = *input_, .lease_nonce = nonce_};
    for (const auto& [name, value] : fingerprint()) merge.provenance[name] = value;
    merge.provenance["switchyard"] = SWITCHYARD_VERSION " " SWITCHYARD_GIT_REVISION;
    merge.provenance["model_path"] = absolute(options_.model);
    merge.provenance["input_path"] = absolute(options_.input);
    merge.stop = [&] {
      pulse_.beat();
      return signals_->request() != SignalWatch::none;
    };
    if (merge_results(merge) == MergeOutcome::interrupted) {
      write_state(RunStatus::interrupted, ExitCode::interrupted, "stopped while merging");
      return ExitCode::interrupted;
    }
  }
  const int64_t rejects = read_totals(directory_).rejects;
  const ExitCode code = rejects > options_.max_rejects ? ExitCode::too_many_rejects : ExitCode::complete;
  write_state(RunStatus::complete, code,
              rejects > options_.max_rejects
                  ? fmt::format("{} rejects, at most {} allowed", rejects, options_.max_rejects)
                  : "");
  if (options_.drop_shards) std::filesystem::remove_all(directory_.root() / "shards");
  return code;
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

void ScoreRun::record_failure(const Error& error) noexcept {
  if (nonce_.empty() || error.code() == ExitCode::mismatch) return;  // the directory is not ours
  try {
    if (is_complete_already()) return;
    const bool interrupted = error.code() == ExitCode::interrupted;
    write_state(interrupted ? RunStatus::interrupted : RunStatus::failed, error.code(), error.what());
  } catch (const std::exception& e) {
    log::warning("state.json could not be written: {}", e.what());
  }
}

/// From the watchdog's thread, while the main thread may hang in MPI.
void ScoreRun::end_hung(const std::string& verdict, bool reporter) const noexcept {
  if (reporter) {
    log::error("{}", verdict);
    try {
      if (!is_complete_already()) write_state(RunStatus::interrupted, ExitCode::timeout, verdict);
    } catch (const std::exception& e) {
      log::warning("state.json could not be written: {}", e.what());
    }
  } else {
    // The first rank to end ends the step: let it be the one that reports.
    std::this_thread::sleep_for(std::chrono::seconds(3));
  }
  std::_Exit(static_cast<int>(ExitCode::timeout));
}

/// Results that are complete stay so, whatever happens to a later attempt.
bool ScoreRun::is_complete_already() const {
  return directory_.has_state() && directory_.read_state().status == RunStatus::complete &&
         std::filesystem::exists(directory_.results_path());
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
  }
  if (status == RunStatus::complete) state.rejects = read_totals(directory_).rejects;
  state.exit_code = static_cast<int>(code);
  state.attempt = attempt_.filename().native();
  state.message = std::move(message);
  directory_.write_state(state);
}

void ScoreRun::show_progress() {
  write_state(RunStatus::running, ExitCode::complete, "");
  const double elapsed = std::max(1e-9, seconds_now() - score_start_);
  ProgressReport report;
  report.chunks_total = plan_.num_chunks;
  report.chunks_done = static_cast<int64_t>(directory_.shards_present().size());
  report.chunks_resumed = resumed_chunks_;
  report.tokens_per_second = static_cast<double>(scorer_->counters().group_tokens * plan_.num_groups()) / elapsed;
  const ExchangeCounters& exchange = engine_->exchange_counters();
  report.exchange_share = (exchange.wait_seconds + exchange.transfer_seconds) / elapsed;
  const auto& rows = exchange.tokens_per_expert;
  std::vector<int64_t> load(static_cast<size_t>(plan_.ep), 0);
  for (size_t expert = 0; expert < rows.size(); ++expert)
    load[static_cast<size_t>(engine_->exchange().placement().rank_of(static_cast<int>(expert)))] += rows[expert];
  int64_t total = 0, most = 0;
  for (const int64_t l : load) {
    total += l;
    most = std::max(most, l);
  }
  if (total > 0) report.imbalance = static_cast<double>(most * plan_.ep) / static_cast<double>(total);
  const auto fresh = report.chunks_done - resumed_chunks_;
  if (fresh > 0)
    report.seconds_left =
        elapsed / static_cast<double>(fresh) * static_cast<double>(report.chunks_total - report.chunks_done);
  report.seconds_to_limit = seconds_to_job_end();
  progress_->show(report);
}

void ScoreRun::write_metrics(const ChunkResult& result, double seconds) const {
  const ExchangeCounters& exchange = engine_->exchange_counters();
  Json line;
  line["time"] = static_cast<int64_t>(std::time(nullptr));
  line["group"] = world_.rank() / plan_.ep;
  line["chunk"] = result.chunk;
  line["records"] = result.record.size();
  line["rejects"] = result.rejects.size();
  line["seconds"] = seconds;
  line["group_tokens"] = scorer_->counters().group_tokens;
  line["exchange_wait"] = exchange.wait_seconds;
  line["exchange_transfer"] = exchange.transfer_seconds;
  append_line(directory_.metrics_path(), line.dump());
}

ShardSet ScoreRun::shard_set() const {
  return {directory_, plan_.num_records, plan_.chunk_records, plan_.results, fingerprint_hash_};
}

Fingerprint ScoreRun::fingerprint() const {
  Fingerprint f;
  f["config"] = config_hash(plan_.config).hex();
  f["input"] = survey_.structure_hash.hex();
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
  info["model"] = absolute(options_.model);
  info["input"] = absolute(options_.input);
  info["input_stamp"] = file_stamp(options_.input);
  info["allow_config_field"] = options_.allow_config_field;
  info["embedding_dim"] = plan_.results.embedding_dim;
  info["num_records"] = plan_.num_records;
  info["num_chunks"] = plan_.num_chunks;
  return info;
}

PhaseSeconds ScoreRun::phases() const {
  const ScoreCounters& c = scorer_->counters();
  const ExchangeCounters& exchange = engine_->exchange_counters();
  return {.load = load_seconds_,
          .read = c.read,
          .decode = c.decode,
          .exchange_wait = exchange.wait_seconds,
          .exchange_transfer = exchange.transfer_seconds,
          .head = c.head,
          .gather = c.gather,
          .write = write_seconds_,
          .agree = c.agree,
          .wait = wait_seconds_,
          .merge = merge_seconds_,
          .total = seconds_now() - start_};
}

}  // namespace switchyard
