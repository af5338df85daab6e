#include "jobs/score/score_run.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "jobs/input/input_checks.h"
#include "jobs/input/sample.h"
#include "jobs/numerics.h"
#include "jobs/score/quantiles.h"
#include "jobs/score/recorded_input.h"
#include "kernels/cpu_isa.h"
#include "model/checkpoint/delta_check.h"
#include "model/checkpoint/model_hash.h"

namespace switchyard {

ScoreRun::ScoreRun(Runtime& runtime, ScoreOptions options, std::string resolved_config)
    : world_(runtime.world),
      pulse_(runtime.pulse),
      options_(std::move(options)),
      resolved_config_(std::move(resolved_config)),
      start_(seconds_now()) {}

int ScoreRun::run() {
  log::set_quiet(options_.quiet);
  prepare();
  if (!reads_text()) {
    const InputSize size = open_input(options_.input.front());
    if (options_.sample_tokens == 0 || options_.dry_run) plan(sample_of(size, options_.sample_tokens));
    if (on_root() && !options_.given_for_text.empty())
      log::warning("{} is a scoring input, whose records are made already: {} have no say in them",
                   options_.input.front(), fmt::join(options_.given_for_text, ", "));
  }
  if (options_.dry_run) {
    if (reads_text()) plan(measure_text());
    if (on_root())
      for (const std::string& line : describe_all()) std::cout << line << '\n';
    return static_cast<int>(ExitCode::complete);
  }
  attempt_.emplace(world_, pulse_, options_.attempt(), resolved_config_);
  return static_cast<int>(attempt_->run([&] {
    take();
    attempt_->begin(plan_.disk_bytes);
    load();
    attempt_->resume(find_done());
    score_chunks();
    const int64_t published = group_->rank() == 0 ? chunks_done_ : 0;
    const ExitCode code = attempt_->finish(engine_->stream(), published, [&] { return merge(); });
    RunSummary summary = summarise();
    tell_ranks();
    attempt_->leave();
    if (on_root()) report(summary);
    return code;
  }));
}

void ScoreRun::prepare() {
  const RunDirectory run(options_.run);
  std::optional<DeviceWish> device;
  collectively(world_, [&] {
    file_exists(run.manifest_path(), ExitCode::output);  // or it can never be written
    device = requested_device(options_, run);
    set_cpu_isa(options_.cpu_isa);
    config_ = read_model_config(options_.model, options_.allowed_fields());
    if (on_root()) check_headers(config_, options_.model, options_.deltas());  // it shows before the input is read
    sources_ = options_.text_sources();
    if (reads_text() && options_.sample_tokens > 0)
      fail(ExitCode::usage,
           "--sample-tokens {}: expected --input to be a scoring input (see `switchyard import`), found {}",
           options_.sample_tokens, sources_.front().path);
    if (reads_text() && options_.join) require_joinable(options_, sources_.front().path);
    if (reads_text() && on_root())
      text_.emplace(
          options_,
          TextReader{"--input " + sources_.front().path, options_.model, options_.batch_tokens, options_.threads},
          config_);
  });
  machine_ = share_machine(world_, *device, options_.share_gpu);
}

InputSize ScoreRun::open_input(const std::filesystem::path& path) {
  collectively(world_, [&] {
    input_.emplace(path);
    if (reads_text()) return;
    check_tokenizer(input_->tokenizer(), "input " + path.native(), options_.model, options_.allow_other_tokenizer);
    if (on_root()) tell_of_other_datasets(*input_);
  });
  return size_of(world_, *input_, config_.max_positions);
}

/// What a dry run can tell of text.
InputSize ScoreRun::measure_text() {
  InputSize size{.path = options_.input.front()};
  collectively(world_, [&] {
    if (on_root()) size = text_->measure(sources_);
  });
  share(world_, size);
  return size;
}

InputSize ScoreRun::import_text() {
  pulse_.phase("importing");
  attempt_->enter(chunk_units(0, 1));
  collectively(world_, [&] {
    if (on_root())
      made_input_ =
          text_->provide(sources_, attempt_->directory().input_path(), [&] { attempt_->get_on_or_give_up(); });
  });
  return open_input(attempt_->directory().input_path());
}

InputSize ScoreRun::take_sample() {
  pulse_.phase("taking a sample");
  attempt_->enter(chunk_units(0, 1));
  collectively(world_, [&] {
    if (on_root())
      made_input_ = provide_sample(*input_, options_.sample_tokens, attempt_->directory().input_path(),
                                   [&] { attempt_->get_on_or_give_up(); });
  });
  return open_input(attempt_->directory().input_path());
}

void ScoreRun::plan(const InputSize& input) {
  collectively(world_, [&] {
    plan_ = plan_score(options_, config_, input, machine_, RunDirectory(options_.run));
    if (on_root()) predict(input);
    if (!input_) return;  // a dry run on text has none
    if (!plan_.results.quantiles.empty()) bins_ = bins_of(*input_, config_.vocab_size);
    if (!plan_.results.with_text || !on_root()) return;
    pieces_ = find_token_pieces(*input_, options_.model, options_.tokenizer, config_.vocab_size);
    plan_.disk_bytes += static_cast<uint64_t>(pieces_.bytes());
  });
  require_same_numerics(world_, plan_.numerics);
  if (on_root() && !options_.dry_run)
    for (const std::string& line : describe_all()) log::info("{}", line);
}

void ScoreRun::predict(const InputSize& input) {
  if (options_.profile.empty()) return;
  const Profile profile = read_profile(options_.profile);
  const RecordLengths lengths =
      input_ ? sampled_lengths(lengths_of(*input_, config_.max_positions), input_->num_records(), input.records)
             : even_lengths(input);
  prediction_ = predict_scoring(options_, plan_, lengths, profile, {}, stored_bytes(options_.model));
}

std::vector<std::string> ScoreRun::describe_all() const {
  std::vector<std::string> lines = describe_plan(plan_);
  if (prediction_) lines.push_back(describe(*prediction_));
  return lines;
}

/// The run directory, if it is that of this input. Text that was imported for nothing goes again.
void ScoreRun::take() {
  if (reads_text())
    plan(import_text());
  else if (options_.sample_tokens > 0)
    plan(take_sample());
  try {
    collectively(world_, [&] {
      if (on_root() && RunDirectory(options_.run).has_manifest()) require_recorded_size();
    });
    attempt_->take(plan_.units, fingerprint());  // the input's and the model's own hashes are not known yet
    read_input();
  } catch (const Error& error) {
    if (made_input_ && error.code() == ExitCode::mismatch) TextInput::withdraw(attempt_->directory().input_path());
    throw;
  }
}

/// What else differs with another input would hide that it is another.
void ScoreRun::require_recorded_size() const {
  const RunDirectory run(options_.run);
  const RecordedInput recorded = recorded_input(run.read_manifest(), run.manifest_path().native());
  if (recorded.num_records != input_->num_records())
    fail(ExitCode::mismatch, "input {}: the run belongs to another one ({}): it has {} records, that had {}",
         input_->path().native(), recorded.path, input_->num_records(), recorded.num_records);
}

/// The input's identity, before anything is loaded or computed. An attempt that is refused leaves no trace.
void ScoreRun::read_input() {
  pulse_.phase("reading the input");
  const double start = seconds_now();
  const auto chunks = identify_input(world_, *input_, plan_.units.items_per_unit, plan_.config.max_positions,
                                     [&] { attempt_->get_on_or_give_up(); });
  input_hash_ = content_hash(chunks).hex();
  chunk_hashes_ = hashes_of(chunks, &ChunkIdentity::scored);
  id_hashes_ = hashes_of(chunks, &ChunkIdentity::ids);
  log::info("input: {} read in {:.1f} s, hash {}", input_->path().native(), seconds_now() - start, input_hash_);
  collectively(world_, [&] {
    const RunDirectory& run = attempt_->directory();
    if (!on_root() || !run.has_manifest()) return;
    require_same_input(recorded_input(run.read_manifest(), run.manifest_path().native()), chunks,
                       input_->path().native());
  });
}

void ScoreRun::load() {
  pulse_.phase("loading the model");
  group_ = world_.split(group_index(), world_.rank());
  collectively(world_, [&] {
    const Stopwatch stopwatch(load_seconds_);
    group_ = connect_devices(std::move(group_), plan_.device);
    engine_ = std::make_unique<Engine>(
        plan_.config, checkpoint_weights(options_.model, options_.deltas()), plan_.engine(), *group_,
        [&] { attempt_->get_on_or_give_up(); }, &pulse_);
  });
  Hash128 hash;
  collectively(world_, [&] { hash = engine_->model_hash(); });
  require_same_model(world_, hash, options_.model);
  collectively(world_, [&] {
    if (on_root())
      require_result(plan_.config, options_.model, options_.deltas(), hash, [&] { attempt_->get_on_or_give_up(); });
  });
  model_hash_ = hash.hex();
  log::info("model: {} loaded in {:.1f} s, hash {}", options_.model, load_seconds_, model_hash_);
  const ChunkScorer::Options scoring{plan_.results,
                                     options_.batch_tokens,
                                     plan_.config.vocab_size,
                                     plan_.config.max_positions,
                                     bins_,
                                     static_cast<double>(options_.term_grace) / 4,
                                     [this](const ChunkProgress& chunk) { on_step(chunk); }};
  scorer_ = std::make_unique<ChunkScorer>(*engine_, *input_, world_, *group_, scoring);
  attempt_->identify(fingerprint(), manifest_info());
}

ShardSet ScoreRun::shard_set() const {
  return {attempt_->directory(),
          plan_.units,
          plan_.results,
          fingerprint_hash(fingerprint()),
          plan_.config.experts_per_token(),
          chunk_hashes_};
}

std::vector<int64_t> ScoreRun::find_done() {
  pulse_.phase("finding what is done");
  std::vector<int64_t> done;
  collectively(world_, [&] {
    if (!on_root()) return;
    // A finished run has all it needs in its results, and may have dropped its shards.
    totals_ = completed_results();
    if (totals_) {
      done.resize(static_cast<size_t>(plan_.units.total));
      for (int64_t chunk = 0; chunk < plan_.units.total; ++chunk) done[static_cast<size_t>(chunk)] = chunk;
      attempt_->set_rejects(totals_->rejects);
    } else {
      done = scan_shards(shard_set(), [&] { attempt_->get_on_or_give_up(); });
    }
  });
  return done;
}

/// The results of an earlier attempt, if they are whole and this run's. What the state says of them counts for nothing:
/// it may be torn, or the attempt was killed before it could write it.
std::optional<ResultTotals> ScoreRun::completed_results() const {
  const RunDirectory& run = attempt_->directory();
  if (!file_exists(run.results_path())) return std::nullopt;
  try {
    check_results(shard_set(), fingerprint(), [&] { attempt_->get_on_or_give_up(); });
    return read_totals(run, reads_text(), [&] { attempt_->get_on_or_give_up(); });
  } catch (const Error& error) {
    if (error.code() == ExitCode::interrupted) throw;
    log::warning("{}; the results are made again", error.what());
    return std::nullopt;
  }
}

void ScoreRun::score_chunks() {
  pulse_.phase("scoring");
  const double communicated_before = pulse_.seconds_communicating();
  if (group_->rank() == 0) metrics_.emplace(attempt_->directory().metrics_path(), group_index());
  const std::vector<int64_t> chunks = attempt_->pending(group_index(), plan_.num_groups());
  for (size_t i = 0; i < chunks.size(); ++i) {
    const StopDecision decision = agree_on_stopping(attempt_->signals(), world_, *group_);
    if (decision.stop) break;
    if (decision.seconds_left) announce_limit(*decision.seconds_left, static_cast<int64_t>(chunks.size() - i));
    if (!score_chunk(chunks[i])) break;
    ++chunks_done_;
    attempt_->tell(0, [&] { return progress_details(); });
  }
  communicated_ = pulse_.seconds_communicating() - communicated_before;
}

bool ScoreRun::score_chunk(int64_t chunk) {
  const double begin = seconds_now();
  if (metrics_) metrics_->begin(chunk);
  records_in_flight_ = 0;
  const auto result =
      scorer_->score(chunk, plan_.units.first_item(chunk), plan_.units.items_in(chunk), attempt_->signals());
  if (!result) {
    if (metrics_ && records_in_flight_ > metrics_->items_told()) metrics_->tell(records_in_flight_, metrics());
    return false;
  }
  if (group_->rank() == 0) publish(*result);
  scorer_->committed(seconds_now() - begin);
  return true;
}

/// Of a group's first rank.
void ScoreRun::publish(const ChunkResult& result) {
  if (result.input_hash != chunk_hashes_[static_cast<size_t>(result.chunk)])
    fail(ExitCode::input, "{}: the tokens of records {} to {} changed while they were scored", input_->path().native(),
         result.first_record, result.first_record + result.num_records - 1);
  {
    const Stopwatch stopwatch(write_seconds_);
    attempt_->publish(result.chunk, [&](const std::filesystem::path& path) {
      write_shard(path, result, fingerprint_hash(fingerprint()));
    });
  }
  metrics_->tell(result.num_records, metrics());
}

}  // namespace switchyard
