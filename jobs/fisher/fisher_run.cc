#include "jobs/fisher/fisher_run.h"

#include <algorithm>
#include <iostream>
#include <utility>

#include "base/log.h"
#include "base/stopwatch.h"
#include "base/text.h"
#include "base/version.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "jobs/numerics.h"
#include "kernels/cpu_isa.h"

namespace switchyard {

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
    WorkUnits units;
    units.files = fmt::format("{}/step-*", Checkpoints::kFolder);
    attempt_->enter(units);
    files_->provide(attempt_->directory(), [&] { attempt_->get_on_or_give_up(); });
    try {
      read_data(attempt_->directory());
      attempt_->take(plan_.units, fingerprint());
    } catch (const Error& error) {
      if (error.code() == ExitCode::mismatch) files_->withdraw(attempt_->directory());
      throw;
    }
    attempt_->begin(plan_.disk_bytes);
    load();
    restore();
    work();
    const int64_t done = on_root() ? saved_step_ - attempt_->num_resumed() : 0;
    const ExitCode code = attempt_->finish(pass_->stream(), done, [&] { return complete(); });
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
  pulse_.phase("finding what is done");
  checkpoints_.emplace(attempt_->directory().root(), pass_->model(), fingerprint_hash(fingerprint()));
  const auto found = checkpoints_->restore(pass_->stream(), [&] { attempt_->get_on_or_give_up(); });
  if (found) done_ = *found;
  saved_step_ = done_.step;
  std::vector<int64_t> done(static_cast<size_t>(done_.step));
  for (int64_t step = 0; step < done_.step; ++step) done[static_cast<size_t>(step)] = step;
  attempt_->resume(done);
  rejects_ = data_->rejects() + files_->import_rejects(attempt_->directory());
  attempt_->set_rejects(rejects_);
}

void FisherRun::work() {
  pulse_.phase("adding up squares");
  while (done_.step < passes_->steps() && may_go_on()) {
    step(done_.step + 1);
    if (options_.save_steps > 0 && done_.step % options_.save_steps == 0) save();
    attempt_->tell((done_.step - saved_step_) * options_.step_records, [&] { return progress_details(); });
  }
  const bool all = done_.step == passes_->steps();
  const double left = world_.all_reduce_one(attempt_->signals().seconds_left().value_or(1e9), ReduceOp::min);
  const double expected = save_seconds_ > 0 ? save_seconds_ : static_cast<double>(checkpoints_->bytes_each()) / 1e8;
  if (done_.step > saved_step_ && (all || expected < 0.8 * left))
    save();
  else if (done_.step > saved_step_)
    log::warning("steps {} to {} are lost: a checkpoint takes about {}, and {} are left", saved_step_ + 1, done_.step,
                 duration_text(expected), duration_text(left));
  if (all) write_result();
}

/// Whether there is time for another step and its checkpoint. The same on all ranks.
bool FisherRun::may_go_on() {
  const StopDecision decision = agree_on_stopping(attempt_->signals(), world_, world_);
  if (decision.stop) return false;
  return !decision.seconds_left || *decision.seconds_left > 2 * step_seconds_ + 2 * save_seconds_;
}

void FisherRun::step(int64_t number) {
  const double begin = seconds_now();
  const StepBatch batch = passes_->load(number, pass_->ranks());
  const StepLosses losses = pass_->add(batch);
  done_.step = number;
  done_.targets += batch.step_targets;
  done_.add_tokens(losses.tokens_per_expert);
  done_.routing.add(losses.routing);
  last_loss_ = losses.cross_entropy;
  tokens_done_ += batch.step_tokens;
  step_seconds_ = world_.all_reduce_one(seconds_now() - begin, ReduceOp::max);
}

void FisherRun::save() {
  pulse_.phase("writing a checkpoint");
  const double begin = seconds_now();
  checkpoints_->save(
      done_, [&] { attempt_->check_lease_held(); }, [&] { pulse_.beat(); });
  saved_step_ = done_.step;
  collectively(world_, [&] {
    if (on_root()) checkpoints_->prune(done_, options_.save_steps, 1);
  });
  save_seconds_ = world_.all_reduce_one(seconds_now() - begin, ReduceOp::max);
  pulse_.phase("adding up squares");
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
  const RoutingShares routing = options_.is_exact() ? RoutingShares{} : done_.routing;
  write_fisher_file(path, pass_->model(), notes(), routing, [&] { pulse_.beat(); });
  log::info("{}: Fisher information of {} parameters, over {} targets of {} records", path.native(),
            count_text(config_.total_parameters()), notes().targets, notes().records);
}

ExitCode FisherRun::complete() {
  const bool too_many = rejects_ > options_.max_rejects;
  const ExitCode code = too_many ? ExitCode::too_many_rejects : ExitCode::complete;
  attempt_->write_state(RunStatus::complete, code,
                        too_many ? fmt::format("{} rejects, at most {} allowed", rejects_, options_.max_rejects) : "");
  return code;
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
  Json info;
  info["job"] = "fisher";
  info["switchyard"] = SWITCHYARD_VERSION;
  info["git_revision"] = SWITCHYARD_GIT_REVISION;
  info["dtype"] = std::string(name_of(plan_.layout.shape.operand));
  info["cpu_isa"] = std::string(current_cpu_isa());
  info["device"] = "cpu";
  info["model"] = path_to_json(absolute_path(options_.model, ExitCode::input));
  info["deltas"] = recorded_deltas(options_.delta);
  Json data = Json::array();
  for (const DataFile& file : files_->train()) data.push_back(path_to_json(absolute_path(file.path, ExitCode::input)));
  info["data"] = std::move(data);
  info["allow_config_field"] = options_.allow_config_field;
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
          .targets = done_.targets / passes_->passes_per_target()};
}

std::string FisherRun::progress_details() const {
  return fmt::format("loss {:.4f} | {} tok/s", last_loss_,
                     rate_text(static_cast<double>(tokens_done_) / std::max(1e-9, attempt_->seconds())));
}

}  // namespace switchyard
