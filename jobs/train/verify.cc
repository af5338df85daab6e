#include "jobs/verify.h"

#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "jobs/numerics.h"
#include "jobs/options/config_file.h"
#include "jobs/options/limits.h"
#include "jobs/train/step_loader.h"
#include "jobs/train/step_log.h"
#include "jobs/train/train_plan.h"
#include "kernels/cpu_isa.h"
#include "train/trainer.h"

namespace switchyard {
namespace {

/// A run as its directory describes it.
struct RecordedTraining {
  RunDirectory directory{""};
  Fingerprint fingerprint;
  TrainOptions options;             ///< the run's, of its model as it is now
  std::vector<std::string> inputs;  ///< its data
  std::vector<Json> steps;          ///< lines of metrics.jsonl

  const std::string& field(const std::string& name) const {
    const auto found = fingerprint.find(name);
    if (found == fingerprint.end())
      fail(ExitCode::input, "{}: fingerprint: field \"{}\" is missing", directory.manifest_path().native(), name);
    return found->second;
  }
  void require(const std::string& name, const std::string& now) const {
    if (field(name) != now)
      fail(ExitCode::mismatch, "the run's {} is {}, here it is {}: its steps cannot be compared", name, field(name),
           now);
  }
};

RecordedTraining read_training(const VerifyOptions& verify) {
  RecordedTraining run;
  run.directory = RunDirectory(verify.run);
  const std::string subject = run.directory.manifest_path().native();
  const Json manifest = run.directory.read_manifest();
  const Json& info = manifest["info"];
  run.fingerprint = recorded_fingerprint(manifest, subject);

  TrainOptions& options = run.options;
  OptionSet set;
  options.describe(set);
  const std::string config = run.directory.config_path().native();
  parse_option_lines(set, "train", parse_config(read_config(config, "options"), config), config);
  options.resolve(set);
  options.threads = verify.threads;
  options.cpu_isa = require_string(info, "cpu_isa", subject);  // as it was found, if it was not asked for
  const std::string model = verify.model.empty() ? require_path(info, "model", subject) : verify.model;
  (options.init.empty() ? options.model : options.init) = model;
  options.delta = verify.delta.empty() ? recorded_deltas(info, subject) : verify.delta;
  const auto settle = [&](const char* name, std::string& path) {
    if (!path.empty()) path = require_path(info, name, subject);
  };
  settle("fisher_new", options.trains.fisher_new);
  settle("fisher_old", options.trains.fisher_old);
  for (const auto& [name, value] : options.fingerprint()) run.require(name, value);

  const Json* data = find_field(info, "data");
  for (size_t i = 0; data != nullptr && i < data->size(); ++i) {
    const std::filesystem::path imported = run.directory.root() / fmt::format("data-{}.h5", i);
    run.inputs.push_back(file_exists(imported) ? imported.native()
                                               : require_path(Json{{"data", (*data)[i]}}, "data", subject));
  }
  const std::string metrics = run.directory.metrics_path().native();
  std::ifstream lines = open_lines(run.directory.metrics_path());
  for (std::string text; std::getline(lines, text) && !lines.eof();) {  // one that is being written is none yet
    const Json line = parse_json_if_whole(text).value_or(Json());
    const int64_t step = std::ssize(run.steps) + 1;
    if (number_or_zero(line, "step") != static_cast<double>(step))
      fail(ExitCode::input, "{}: line {}: expected step {}, found {}", metrics, step, step, brief(text));
    run.steps.push_back(line);
  }
  return run;
}

/// The run's own work, done again.
class Replay {
 public:
  Replay(Runtime& runtime, const VerifyOptions& verify, const RecordedTraining& run)
      : world_(runtime.world), pulse_(runtime.pulse), verify_(verify), run_(run) {
    collectively(world_, [&] {
      set_cpu_isa(run.options.cpu_isa);
      config_ = read_model_config(run.options.config_path(), run.options.allowed_fields());
      run.require("config", config_hash(config_).hex());
    });
    std::vector<ScoringInput> inputs;
    collectively(world_, [&] {
      for (const std::string& path : run.inputs) inputs.emplace_back(path);
    });
    const TrainingData::Limits limits{config_.max_positions, run.options.max_tokens, config_.vocab_size};
    data_.emplace(world_, std::move(inputs), limits, [&] { pulse_.beat(); });
    order_.emplace(run.options.order(data_->sizes()));
    const MachineShare machine = share_machine(world_, DeviceRequest::cpu, false);
    collectively(world_, [&] {
      run.require("data", data_->hash().hex());
      TrainOptions options = run.options;
      options.slices = std::stoll(run.field("slices"));
      chosen_.emplace(run_.options, config_);
      Fingerprint files;
      chosen_->add_to(files);
      for (const auto& [name, value] : files) run.require(name, value);
      plan_ = plan_training(options, config_, summarise(options, *data_, nullptr, *order_, [&] { pulse_.beat(); }),
                            machine, run.directory, chosen_->trained_share());
      run.require("numerics", plan_.numerics);
      run.require("steps", std::to_string(plan_.steps));
    });
    collectively(world_, [&] {
      trainer_.emplace(
          world_, config_, trainer_options(run.options, plan_, *chosen_), [&] { pulse_.beat(); }, &pulse_);
    });
    collectively(world_, [&] {
      if (run.options.trains.freezes()) run.require("selection", trainer_->model().selection().hash().hex());
    });
    checkpoints_.emplace(run.directory.root(), trainer_->model(), fingerprint_hash(run.fingerprint));
  }

  /// What differs first; empty: nothing.
  std::string run() {
    stored_ = checkpoints_->steps();
    choose_first();
    log::info("steps {} to {}, from {}", from_ + 1, from_ + verify_.replay,
              from_ == 0 ? "the start" : fmt::format("checkpoint {}", from_));
    const auto poll = [&] { pulse_.beat(); };
    // A checkpoint has what trains; the rest, and what it is held to, is in the model that the run began with.
    if (from_ == 0 || run_.options.trains.freezes() || run_.options.trains.ewc > 0) load();
    if (from_ > 0) checkpoints_->restore(trainer_->stream(), from_, poll);
    const StepLoader loader(*data_, *order_, trainer_->ranks());
    for (int64_t step = from_ + 1; step <= from_ + verify_.replay; ++step) {
      const StepResult result = trainer_->step(loader.load(step), plan_.schedule.rate(step));
      const Json& recorded = run_.steps[static_cast<size_t>(step - 1)];
      if (std::string what = difference(recorded, describe(step, result)); !what.empty()) return what;
      ++replayed_;
      if (!std::ranges::binary_search(stored_, step)) continue;
      if (const std::string what = checkpoints_->compare(step, poll); !what.empty())
        return fmt::format("checkpoint {}: {}", step, what);
      ++compared_;
    }
    return {};
  }

  Json summary() const { return {{"from", from_}, {"steps", replayed_}, {"checkpoints_compared", compared_}}; }

 private:
  /// What the run began with.
  void load() {
    const FirstWeights first = load_first_weights(*trainer_, run_.options, *chosen_);
    run_.require("model", first.model);
    if (!first.master.empty() || run_.fingerprint.contains("master")) run_.require("master", first.master);
    if (!first.importance.empty()) run_.require("importance", first.importance);
  }

  /// The step to go on from.
  void choose_first() {
    const int64_t recorded = std::ssize(run_.steps);
    from_ = verify_.from;
    if (from_ < 0) {
      from_ = 0;
      for (const int64_t step : stored_)
        if (step + verify_.replay <= recorded) from_ = step;
    }
    if (from_ > 0 && !std::ranges::binary_search(stored_, from_))
      fail_together(ExitCode::usage, "--from {}: there is no such checkpoint; expected 0{}{}", from_,
                    stored_.empty() ? "" : ", ", fmt::join(stored_, ", "));
    if (from_ + verify_.replay > recorded)
      fail_together(ExitCode::usage, "--replay {} from step {}: {} steps are recorded", verify_.replay, from_,
                    recorded);
  }

  Json describe(int64_t step, const StepResult& result) const {
    StepLog::Step line{.step = step,
                       .records = run_.options.step_records,
                       .learning_rate = plan_.schedule.rate(step),
                       .result = result,
                       .load = worst_load(result.losses.tokens_per_expert, config_.num_experts())};
    return metrics_line(line);
  }

  /// Of what was recorded of a step, but for evaluations.
  static std::string difference(const Json& recorded, const Json& now) {
    for (const auto& [name, value] : now.items())
      if (const Json* then = find_field(recorded, name); then == nullptr || *then != value)
        return fmt::format("step {}: {}: recorded {}, now {}", to_text(now["step"]), name,
                           then == nullptr ? "nothing" : to_text(*then), to_text(value));
    return {};
  }

  Communicator& world_;
  Pulse& pulse_;
  const VerifyOptions& verify_;
  const RecordedTraining& run_;
  ModelConfig config_;
  std::optional<TrainingData> data_;
  std::optional<DataOrder> order_;
  std::optional<ChosenParameters> chosen_;
  TrainPlan plan_;
  std::optional<Trainer> trainer_;
  std::optional<Checkpoints> checkpoints_;
  std::vector<int64_t> stored_;
  int64_t from_ = 0, replayed_ = 0, compared_ = 0;
};

}  // namespace

int verify_steps(Runtime& runtime, const VerifyOptions& options) {
  RecordedTraining run;
  collectively(runtime.world, [&] { run = read_training(options); });
  if (options.dry_run) {
    if (runtime.world.rank() == 0)
      std::cout << fmt::format("{}: {} of {} steps are recorded, {} to be taken again\n", options.run, run.steps.size(),
                               run.field("steps"), options.replay);
    return static_cast<int>(ExitCode::complete);
  }
  Replay replay(runtime, options, run);
  const std::string finding = replay.run();
  if (runtime.world.rank() == 0) {
    if (!finding.empty()) log::error("{}", finding);
    Json json = replay.summary();
    json["findings"] = finding.empty() ? 0 : 1;
    std::cout << to_text(json) << '\n';
  }
  return static_cast<int>(finding.empty() ? ExitCode::complete : ExitCode::input);
}

}  // namespace switchyard
