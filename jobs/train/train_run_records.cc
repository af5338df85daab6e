// What a training run says of itself.
#include <algorithm>

#include "base/log.h"
#include "base/stopwatch.h"
#include "io/file.h"
#include "jobs/records/provenance.h"
#include "jobs/train/report.h"
#include "jobs/train/train_run.h"

namespace switchyard {

/// All that the weights after a step depend on, as far as it is known yet.
Fingerprint TrainRun::fingerprint() const {
  Fingerprint f = options_.fingerprint();
  f["config"] = config_hash(config_).hex();
  f["data"] = data_->hash().hex();
  if (eval_) f["eval_data"] = eval_->hash().hex();
  if (!first_weights_.model.empty()) f["model"] = first_weights_.model;
  if (!first_weights_.master.empty()) f["master"] = first_weights_.master;
  if (!first_weights_.importance.empty()) f["importance"] = first_weights_.importance;
  chosen_->add_to(f);
  if (options_.trains.freezes() && trainer_) f["selection"] = trainer_->model().selection().hash().hex();
  f["numerics"] = plan_.numerics;
  f["slices"] = std::to_string(plan_.slices);
  f["steps"] = std::to_string(plan_.steps);
  return f;
}

Json TrainRun::manifest_info() const {
  Json info = provenance("train", options_, options_.config_path(), plan_.shape().operand, Device::cpu);
  info["data"] = recorded_paths(files_->train());
  const auto note_file = [&](const char* name, const std::string& path) {
    if (!path.empty()) info[name] = path_to_json(absolute_path(path, ExitCode::input));
  };
  note_file("fisher_new", options_.trains.fisher_new);
  note_file("fisher_old", options_.trains.fisher_old);
  info["num_records"] = plan_.units.items_total;
  info["trained_parameters"] = trainer_->model().selection().num_trained();
  return info;
}

/// Of this rank, so far.
TrainPhases TrainRun::phases() const {
  const TrainSeconds trained = trainer_->seconds();
  const ExchangeTimes exchange = trainer_->exchange_counters().total_times();
  TrainPhases phases = spent_;
  phases.forward = trained.pass.forward;
  phases.head = trained.pass.head;
  phases.backward = trained.pass.backward;
  phases.update = trained.update;
  phases.exchange = exchange.wait + exchange.transfer;
  phases.wait = attempt_->seconds_waited();
  phases.total = seconds_now() - start_;
  return phases;
}

RankRecord TrainRun::rank_record() const {
  const TrainPhases p = phases();
  const GradientCounters& exchange = trainer_->exchange_counters();
  const ExchangeTimes times = exchange.total_times();
  const double since_resume = attempt_->seconds(), worked = attempt_->seconds_worked();
  RankSeconds seconds{.load = seconds_now() - start_ - since_resume,
                      .work = worked - p.finish,
                      .finish = since_resume - worked + p.finish,
                      .useful = p.forward + p.head + p.backward + p.update + p.evaluation - communicated_,
                      .exchange_wait = times.wait,
                      .exchange_transfer = times.transfer,
                      .waiting = agree_seconds_ + attempt_->seconds_waited(),
                      .collectives = std::max(0.0, communicated_ - times.wait - times.transfer),
                      .overhead = load_batch_seconds_ + p.checkpoint};
  return {.seconds = seconds,
          .layers = layer_seconds(trainer_->layer_seconds(), exchange.times),
          .assignments = exchange.assignments,
          .remote_assignments = exchange.remote,
          .tokens = tokens_mine_,
          .tokens_per_expert = steps_->notes().tokens_per_expert,
          .bytes_to = exchange.bytes_to};
}

/// ranks.json, of an attempt that has computed something. Collective.
void TrainRun::tell_ranks() {
  RankRecord mine = rank_record();
  if (!on_root()) std::ranges::fill(mine.tokens_per_expert, 0);  // every rank knows all
  RankLayout layout{.job = "train",
                    .ep = trainer_->ranks().group().size(),
                    .threads = plan_.shape().threads,
                    .num_experts = config_.num_experts(),
                    .device = "cpu",
                    .exchange = std::string(world_.kind()),
                    .numerics = plan_.numerics};
  if (prediction_ && attempt_->num_resumed() == 0) layout.predicted = to_json(*prediction_);
  const Json record = gather_rank_records(world_, mine, layout);
  if (on_root() && steps_->tokens() > 0)
    write_file_atomically(attempt_->directory().ranks_path(), to_text(record) + "\n");
}

/// For a person a table and the losses; once complete, report.html. What cannot be told does not undo what is complete.
void TrainRun::report(std::vector<PhaseRow> phases) const try {
  const RunDirectory& run = attempt_->directory();
  TrainSummary summary{.steps = read_steps(run),
                       .attempts = read_attempts(run),
                       .phases = std::move(phases),
                       .num_experts = config_.num_experts(),
                       .expert_tokens = steps_->notes().tokens_per_expert,
                       .rejects = attempt_->rejects(),
                       .changes = read_changes(run)};
  summary.layers = std::ssize(summary.expert_tokens) / summary.num_experts;
  for (const std::string& line : summary_lines(summary)) log::info("{}", line);
  if (steps_->saved() != plan_.steps) return;
  if (prediction_ && attempt_->num_resumed() == 0)
    log::info("{}", beside_prediction(*prediction_, attempt_->seconds_worked() - spent_.finish));
  std::vector<std::string> plan = describe_plan(plan_, config_);
  if (options_.trains.freezes()) plan.push_back("what trains: " + describe(trainer_->model().selection()));
  write_file_atomically(run.report_path(), train_report_html(plan, summary));
} catch (const std::exception& error) {
  log::warning("what the run has come to cannot be told: {}", error.what());
}

}  // namespace switchyard
