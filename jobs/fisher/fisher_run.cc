#include "jobs/fisher/fisher_run.h"

#include <iostream>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "jobs/numerics.h"
#include "jobs/records/provenance.h"
#include "jobs/steps/enter_with_data.h"
#include "kernels/cpu_isa.h"

namespace switchyard {
namespace {

constexpr const char* kPhase = "adding up squares";

}  // namespace

FisherRun::FisherRun(Runtime& runtime, FisherOptions options, std::string resolved_config)
    : world_(runtime.world),
      pulse_(runtime.pulse),
      options_(std::move(options)),
      resolved_config_(std::move(resolved_config)) {}

int FisherRun::run() {
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
      attempt_->take(plan_.units, fingerprint());
    });
    attempt_->begin(plan_.disk_bytes);
    load();
    restore();
    work();
    const ExitCode code = attempt_->finish(pass_->stream(), on_root() ? steps_->saved_here() : 0,
                                           [&] { return attempt_->complete(options_.max_rejects); });
    attempt_->leave();
    return code;
  }));
}

void FisherRun::prepare() {
  const RunDirectory run(options_.run);
  collectively(world_, [&] {
    file_exists(run.manifest_path(), ExitCode::output);  // or it can never be written
    set_cpu_isa(options_.cpu_isa);
    config_ = read_model_config(options_.model, options_.allowed_fields());
    if (on_root()) check_headers(config_, options_.model, options_.deltas());  // it shows before the data are read
  });
  files_.emplace(world_, options_.sources(), config_);
  machine_ = share_machine(world_, DeviceRequest::cpu, false);
}

void FisherRun::read_data(const RunDirectory& run) {
  const TrainingData::Limits limits{config_.max_positions, options_.max_tokens, config_.vocab_size};
  data_.emplace(world_, files_->open(files_->train(), run), limits, [&] { attempt_->get_on_or_give_up(); });
  collectively(world_, [&] {
    passes_.emplace(*data_, options_, config_.vocab_size);
    plan_ = plan_fisher(options_, config_, *passes_, machine_, run, [&] { attempt_->get_on_or_give_up(); });
  });
  require_same_numerics(world_, plan_.numerics);
  if (on_root())
    for (const std::string& line : describe_plan(plan_, options_, config_, *passes_)) log::info("{}", line);
}

/// Text is measured, not imported: what its records are like is an estimate.
void FisherRun::dry_run() {
  const std::vector<InputSize> sizes = files_->measure(files_->train());
  if (!on_root()) return;
  for (const InputSize& size : sizes)
    std::cout << fmt::format("data: {}: {} records, {} tokens\n", size.path, size.records, size.tokens);
  int64_t records = 0, tokens = 0;
  for (const InputSize& size : sizes) records += size.records, tokens += size.tokens;
  if (options_.max_records > 0 && options_.max_records < records) {  // of mean length
    tokens = tokens * options_.max_records / records;
    records = options_.max_records;
  }
  const int64_t classes = options_.is_exact() ? config_.vocab_size : options_.draws;
  std::cout << fmt::format("labels: {}; {} passes of {} records{}\n", options_.labels,
                           count_text((options_.is_exact() ? tokens : records) * classes), records,
                           options_.is_exact() ? ", each of a position's prefix" : "");
}

void FisherRun::load() {
  pulse_.phase("loading the model");
  const double start = seconds_now();
  collectively(world_, [&] {
    pass_ = std::make_unique<FisherPass>(
        world_, config_, plan_.layout.shape, [&] { pulse_.beat(); }, &pulse_);
  });
  first_weights_ = load_model(*pass_, options_);
  log::info("model: {} loaded in {:.1f} s, hash {}", options_.model, seconds_now() - start, first_weights_.model);
  attempt_->identify(fingerprint(), manifest_info());
}

void FisherRun::restore() {
  const TakenSteps::Options options{
      .phase = kPhase, .step_records = options_.step_records, .save_steps = options_.save_steps};
  attempt_->set_rejects(data_->rejects() + files_->import_rejects(attempt_->directory()));
  steps_.emplace(world_, pulse_, *attempt_, *pass_, fingerprint(), options);
  steps_->resume();
}

void FisherRun::work() {
  pulse_.phase(kPhase);
  while (steps_->newest() < passes_->steps() && steps_->may_go_on()) {
    step(steps_->newest() + 1);
    if (steps_->is_time_to_save()) steps_->save();
    steps_->tell();
  }
  const bool all = steps_->newest() == passes_->steps();
  if (!steps_->all_saved() && (all || steps_->save_fits())) steps_->save();
  if (all) write_result();
}

void FisherRun::step(int64_t number) {
  const double begin = seconds_now();
  const StepBatch batch = passes_->load(number, pass_->ranks());
  const StepLosses losses = pass_->add(batch);
  CheckpointNotes& notes = steps_->notes();
  notes.targets += batch.step_targets;
  notes.add_tokens(losses.tokens_per_expert);
  notes.routing.add(losses.routing);
  steps_->take(seconds_now() - begin, batch.step_tokens, losses.cross_entropy);
}

/// A result of an earlier attempt that is as it was written.
bool FisherRun::is_whole(const std::filesystem::path& path) const {
  if (!file_exists(path)) return false;
  try {
    FisherFile("the result", path).check(pass_->model().space(), [&] { pulse_.beat(); });
    return true;
  } catch (const Error& error) {
    log::warning("{}; it is written again", error.what());
    return false;
  }
}

void FisherRun::write_result() {
  const std::filesystem::path path = attempt_->directory().root() / plan_.units.results;
  bool is_there = false;
  collectively(world_, [&] { is_there = on_root() && is_whole(path); });
  if (world_.all_reduce_one(int64_t{is_there}, ReduceOp::max) != 0) return;
  pulse_.phase("writing the result");
  collectively(world_, [&] {
    if (on_root()) attempt_->check_lease_held();
  });
  // Prefixes have no shares of their own.
  const RoutingShares routing = options_.is_exact() ? RoutingShares{} : steps_->notes().routing;
  write_fisher_file(path, pass_->model(), notes(), routing, [&] { pulse_.beat(); });
  log::info("{}: Fisher information of {} parameters, over {} targets of {} records", path.native(),
            count_text(config_.total_parameters()), notes().targets, notes().records);
}

/// All that the result depends on, as far as it is known yet.
Fingerprint FisherRun::fingerprint() const {
  Fingerprint f = options_.fingerprint();
  f["config"] = config_hash(config_).hex();
  f["data"] = data_->hash().hex();
  if (!first_weights_.model.empty()) f["model"] = first_weights_.model;
  if (!first_weights_.master.empty()) f["master"] = first_weights_.master;
  f["numerics"] = plan_.numerics;
  return f;
}

Json FisherRun::manifest_info() const {
  Json info = provenance("fisher", options_, options_.model, plan_.layout.shape.operand, Device::cpu);
  info["data"] = recorded_paths(files_->train());
  info["num_records"] = passes_->num_records();
  return info;
}

/// A target counts once, however many labels it had.
FisherNotes FisherRun::notes() const {
  const std::optional<TokenizerIdentity> tokenizer = data_->datasets().front().input.tokenizer();
  return {.labels = options_.labels,
          .draws = options_.draws,
          .seed = options_.seed,
          .model = first_weights_.model,
          .config = config_hash(config_).hex(),
          .tokenizer = tokenizer ? tokenizer->hash : "",
          .data = data_->hash().hex(),
          .numerics = plan_.numerics,
          .records = passes_->num_records(),
          .targets = steps_->notes().targets / passes_->passes_per_target()};
}

}  // namespace switchyard
