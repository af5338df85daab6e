#include "jobs/train/train_run.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "jobs/numerics.h"
#include "jobs/steps/enter_with_data.h"
#include "jobs/train/export_log.h"
#include "kernels/cpu_isa.h"
#include "model/export/model_writer.h"
#include "train/trained_rows.h"

namespace switchyard {
namespace {

constexpr const char* kPhase = "training";

/// One file's records, for an evaluation.
HeldOutRecords held_out(const TrainingData& data, int64_t dataset) {
  const TrainingData::Dataset& set = data.datasets()[static_cast<size_t>(dataset)];
  HeldOutRecords records;
  for (int64_t r = 0; r < set.kept.size(); ++r) records.lengths.push_back(set.kept.length(set.kept.index(r)));
  records.read = [&data, dataset](int64_t record, std::vector<int32_t>& tokens) {
    TrainingRecord read = data.read({dataset, record});
    tokens = std::move(read.tokens);
    return read.context;
  };
  return records;
}

ExportDType export_dtype_of(std::string_view name) {
  if (name == "f32") return ExportDType::f32;
  if (name == "bf16") return ExportDType::bf16;
  if (name == "base") return ExportDType::base;
  fail(ExitCode::usage, "--export {}: expected f32, bf16 or base", name);
}

}  // namespace

TrainRun::TrainRun(Runtime& runtime, TrainOptions options, std::string resolved_config)
    : world_(runtime.world),
      pulse_(runtime.pulse),
      options_(std::move(options)),
      resolved_config_(std::move(resolved_config)),
      start_(seconds_now()) {}

int TrainRun::run() {
  log::set_quiet(options_.quiet);
  prepare();
  if (options_.dry_run) {
    dry_run();
    return static_cast<int>(ExitCode::complete);
  }
  attempt_.emplace(world_, pulse_, options_.attempt(), resolved_config_);
  return static_cast<int>(attempt_->run([&] {
    pulse_.phase("reading the data");
    enter_with_data(*attempt_, *files_, [&] {
      read_data(attempt_->directory());
      plan();
      attempt_->take(plan_.units, fingerprint());
    });
    attempt_->begin(plan_.disk_bytes);
    load();
    restore();
    train();
    const ExitCode code = attempt_->finish(trainer_->stream(), on_root() ? steps_->saved_here() : 0,
                                           [&] { return attempt_->complete(options_.max_rejects); });
    std::vector<PhaseRow> spread = gather_phases(world_, phases());
    tell_ranks();
    attempt_->leave();
    if (on_root()) report(std::move(spread));
    return code;
  }));
}

void TrainRun::prepare() {
  const RunDirectory run(options_.run);
  collectively(world_, [&] {
    file_exists(run.manifest_path(), ExitCode::output);  // or it can never be written
    set_cpu_isa(options_.cpu_isa);
    config_ = read_model_config(options_.config_path(), options_.allowed_fields());
    plan_export();
    chosen_.emplace(options_, config_);
  });
  files_.emplace(world_, options_.sources(), config_);
  machine_ = share_machine(world_, DeviceRequest::cpu, false);
}

void TrainRun::read_data(const RunDirectory& run) {
  const Stopwatch stopwatch(spent_.read);
  const TrainingData::Limits limits{config_.max_positions, options_.max_tokens, config_.vocab_size};
  const auto poll = [&] { attempt_->get_on_or_give_up(); };
  data_.emplace(world_, files_->open(files_->train(), run), limits, poll);
  if (!files_->eval().empty()) eval_.emplace(world_, files_->open(files_->eval(), run), limits, poll);
  order_.emplace(options_.order(data_->sizes()));
}

void TrainRun::dry_run() {
  const std::vector<InputSize> train = files_->measure(files_->train()), eval = files_->measure(files_->eval());
  const DataSummary data = estimate(options_, train, eval);
  collectively(world_, [&] {
    plan_ = plan_training(options_, config_, data, machine_, RunDirectory(options_.run), chosen_->trained_share());
    if (!on_root()) return;
    if (!options_.profile.empty()) {
      PlannedData planned;  // as long as they are on average
      for (const InputSize& size : train) planned.records.push_back(records_to_learn(even_lengths(size), size.records));
      for (const InputSize& size : eval)
        std::ranges::copy(records_to_learn(even_lengths(size), size.records), std::back_inserter(planned.held_out));
      for (size_t i = 0; i < planned.records.size(); ++i)
        if (planned.records[i].empty())
          fail(ExitCode::input, "{}: no record has tokens to learn", files_->train()[i].path);
      predict(planned);
    }
    for (const std::string& line : describe_all()) std::cout << line << '\n';
  });
}

void TrainRun::plan() {
  pulse_.phase("looking for the largest step");
  collectively(world_, [&] {
    const DataSummary data =
        summarise(options_, *data_, eval_ ? &*eval_ : nullptr, *order_, [&] { attempt_->get_on_or_give_up(); });
    constexpr int64_t kManyRecords = 1 << 25;  // seconds
    if (const int64_t steps = options_.num_steps(*order_); steps > kManyRecords / options_.step_records)
      log::info("looking for the largest of {} steps of {} records", steps, options_.step_records);
    chosen_->require_tokenizer(data_->datasets().front().input.tokenizer());
    plan_ = plan_training(options_, config_, data, machine_, RunDirectory(options_.run), chosen_->trained_share());
    if (!on_root() || options_.profile.empty()) return;
    PlannedData planned;
    for (const TrainingData::Dataset& set : data_->datasets()) planned.records.push_back(records_to_learn(set));
    if (eval_)
      for (const TrainingData::Dataset& set : eval_->datasets())
        std::ranges::copy(records_to_learn(set), std::back_inserter(planned.held_out));
    predict(planned);
  });
  require_same_numerics(world_, plan_.numerics);
  if (on_root())
    for (const std::string& line : describe_all()) log::info("{}", line);
}

void TrainRun::predict(const PlannedData& data) {
  if (options_.profile.empty()) return;
  prediction_ =
      predict_training(options_, plan_, config_, data, read_profile(options_.profile), stored_bytes(options_.model));
}

std::vector<std::string> TrainRun::describe_all() const {
  std::vector<std::string> lines = describe_plan(plan_, config_);
  if (prediction_) lines.push_back(describe(*prediction_));
  return lines;
}

void TrainRun::load() {
  collectively(world_, [&] {
    if (on_root()) chosen_->check_files([&] { pulse_.beat(); });
  });
  pulse_.phase("loading the model");
  const Stopwatch stopwatch(spent_.load);
  const double start = seconds_now();
  collectively(world_, [&] {
    trainer_ = std::make_unique<Trainer>(
        world_, config_, trainer_options(options_, plan_, *chosen_), [&] { pulse_.beat(); }, &pulse_);
  });
  first_weights_ = load_first_weights(*trainer_, options_, *chosen_);
  log::info("model: {} loaded in {:.1f} s, hash {}", options_.config_path(), seconds_now() - start,
            first_weights_.model);
  if (options_.trains.freezes()) log::info("{}", describe(trainer_->model().selection()));
  attempt_->identify(fingerprint(), manifest_info());
}

void TrainRun::restore() {
  loader_.emplace(*data_, *order_, trainer_->ranks());
  attempt_->set_rejects(data_->rejects() + (eval_ ? eval_->rejects() : 0) +
                        files_->import_rejects(attempt_->directory()));
  const TakenSteps::Options options{.phase = kPhase,
                                    .step_records = options_.step_records,
                                    .save_steps = options_.save_steps,
                                    .save_total_limit = options_.save_total_limit};
  steps_.emplace(world_, pulse_, *attempt_, *trainer_, fingerprint(), options);
  collectively(world_, [&] {
    if (!on_root()) return;
    log_.emplace(attempt_->directory());
    log_->cut_back(steps_->newest());
    if (options_.tensorboard) log_->begin_events(steps_->newest() + 1, plan_.steps);
  });
  steps_->resume();
}

void TrainRun::train() {
  pulse_.phase(kPhase);
  const int64_t last = options_.stop_after > 0 ? std::min(options_.stop_after, plan_.steps) : plan_.steps;
  while (steps_->newest() < last && may_go_on()) {
    train_step(steps_->newest() + 1);
    steps_->tell();
  }
  const bool all = steps_->newest() >= last;  // an earlier attempt may have gone further than this one shall
  if (!steps_->all_saved() && (all || steps_->save_fits())) save();
  if (all && last < plan_.steps) attempt_->plan_stop(fmt::format("after step {}, as --stop-after says", last));
  if (steps_->saved() == plan_.steps) export_model();
}

bool TrainRun::may_go_on() {
  const Stopwatch stopwatch(agree_seconds_);
  return steps_->may_go_on(is_evaluated(steps_->newest() + 1) ? evaluation_seconds() : 0);
}

bool TrainRun::is_evaluated(int64_t step) const {
  return eval_ && (step == plan_.steps || (options_.eval_steps > 0 && step % options_.eval_steps == 0));
}

/// The last one's or, before there is one, what the newest step took for as many tokens, which is more.
double TrainRun::evaluation_seconds() const {
  if (evaluation_seconds_ > 0 || step_tokens_ == 0) return evaluation_seconds_;
  double tokens = 0;
  for (const TrainingData::Dataset& set : eval_->datasets())
    for (const int32_t length : set.kept.lengths()) tokens += length;
  return tokens / static_cast<double>(step_tokens_) * steps_->step_seconds();
}

void TrainRun::train_step(int64_t step) {
  const double begin = seconds_now();
  if (log_) log_->begin(step);
  const TrainPhases before = phases();
  StepLog::Step line;
  line.step = step;
  line.records = options_.step_records;
  line.learning_rate = plan_.schedule.rate(step);
  const StepBatch batch = load_batch(step);
  const double communicated_before = pulse_.seconds_communicating();
  line.result = trainer_->step(batch, line.learning_rate);
  communicated_ += pulse_.seconds_communicating() - communicated_before;
  line.load = worst_load(line.result.losses.tokens_per_expert, config_.num_experts());
  steps_->notes().add_tokens(line.result.losses.tokens_per_expert);
  {
    const Stopwatch stopwatch(agree_seconds_);
    steps_->take(seconds_now() - begin, line.result.tokens, line.result.losses.cross_entropy);
  }
  tokens_mine_ += batch.batch.tokens();
  Json timing = timing_since(before, line.result.tokens);
  step_tokens_ = line.result.tokens;
  if (is_evaluated(step)) line.held_out = evaluate(step);
  if (log_) {
    attempt_->check_lease_held();  // or it is another attempt's file
    log_->tell(line);
  }
  if (steps_->is_time_to_save() || step == plan_.steps) save();
  if (!log_) return;
  timing["evaluation"] = spent_.evaluation - before.evaluation;
  timing["checkpoint"] = spent_.checkpoint - before.checkpoint;
  log_->tell_timing(line, timing);
}

StepBatch TrainRun::load_batch(int64_t step) {
  const Stopwatch stopwatch(load_batch_seconds_);
  return loader_->load(step);
}

Json TrainRun::timing_since(const TrainPhases& before, int64_t tokens) const {
  const TrainPhases now = phases();
  const double seconds = steps_->step_seconds();
  const double flop = 6 * static_cast<double>(config_.active_parameters()) * static_cast<double>(tokens);
  return {{"tokens_per_second", static_cast<double>(tokens) / seconds},
          {"gflop_per_second", flop / seconds / 1e9},
          {"exchange_share", (now.exchange - before.exchange) / seconds},
          {"forward", now.forward - before.forward},
          {"head", now.head - before.head},
          {"backward", now.backward - before.backward},
          {"update", now.update - before.update}};
}

/// Of all held-out tokens, then of each file's.
std::vector<double> TrainRun::evaluate(int64_t step) {
  pulse_.phase("evaluating");
  const Stopwatch stopwatch(spent_.evaluation);
  const double begin = seconds_now();
  const double communicated_before = pulse_.seconds_communicating();
  HeldOutLoss all;
  std::vector<double> losses{0};
  for (int64_t i = 0; i < std::ssize(eval_->datasets()); ++i) {
    const HeldOutLoss loss = trainer_->evaluate(held_out(*eval_, i));
    losses.push_back(loss.mean());
    all.log_probability += loss.log_probability;
    all.tokens += loss.tokens;
  }
  losses.front() = all.mean();
  communicated_ += pulse_.seconds_communicating() - communicated_before;
  evaluation_seconds_ = world_.all_reduce_one(seconds_now() - begin, ReduceOp::max);
  log::info("step {}: held-out loss {:.6f}", step, losses.front());
  CheckpointNotes& notes = steps_->notes();
  if (steps_->is_time_to_save() && (notes.best_step == 0 || losses.front() < notes.best_loss)) {
    notes.best_step = step;
    notes.best_loss = losses.front();
  }
  pulse_.phase(kPhase);
  return losses;
}

/// A checkpoint's steps are in the log, whatever happens after it.
void TrainRun::save() {
  const Stopwatch stopwatch(spent_.checkpoint);
  steps_->save([&] {
    collectively(world_, [&] {
      if (log_) log_->sync();
    });
  });
}

/// What the trained model is written as, before anything is trained: a base may have no numbers to write.
void TrainRun::plan_export() {
  const ExportDType dtype = export_dtype_of(options_.export_as);
  const std::filesystem::path origin = options_.config_path();
  if (!options_.init.empty()) {
    export_ = switchyard::plan_export(config_, origin, dtype);
  } else {
    const Checkpoint base(origin, options_.deltas());
    export_ = switchyard::plan_export(TensorTable(base, config_, origin.native()), dtype);
  }
}

void TrainRun::export_model() {
  pulse_.phase("exporting the model");
  const Stopwatch stopwatch(spent_.finish);
  std::optional<TrainedRows> rows_of;
  collectively(world_, [&] { rows_of.emplace(trainer_->model(), options_.config_path(), options_.deltas()); });
  const auto gather = [&](const ParameterRows& rows, std::span<float> out) {
    pulse_.beat();
    (*rows_of)(rows, out);
  };
  collectively(world_, [&] {
    if (!on_root()) return export_.for_each_request([&](const ParameterRows& rows) { gather(rows, {}); });
    ExportLog changes(options_, config_, trainer_->model().selection());
    write_model(attempt_->directory().root() / "model", options_.config_path(), export_, gather,
                [&](const auto&... seen) {
                  rows_of->rethrow();
                  changes.see(seen...);
                });
    changes.finish(attempt_->directory());
  });
}

}  // namespace switchyard
