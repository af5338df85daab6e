#include "jobs/plan/plan_subject.h"

#include <algorithm>
#include <iterator>

namespace switchyard {

PlanSubject<ScoreOptions>::PlanSubject(Runtime& runtime, const ScoreOptions& options, const Profile& profile,
                                       const std::string& routing)
    : config_(read_model_config(options.model, options.allowed_fields())),
      profile_(profile),
      model_bytes_(stored_bytes(options.model)) {
  if (model_bytes_ == 0) {
    model_bytes_ = 2 * static_cast<uint64_t>(config_.total_parameters());
    notes_.emplace_back("the stored model is not there: taken as two bytes a weight");
  }
  if (!routing.empty()) share_ = measured_routing(routing, config_);
  const std::vector<SourceFile> sources = options.text_sources();
  if (sources.empty()) {
    input_.emplace(options.input.front());
    size_ = size_of(runtime.world, *input_, config_.max_positions);
    const int64_t all = size_.records;
    size_ = sample_of(size_, options.sample_tokens);
    lengths_ = sampled_lengths(lengths_of(*input_, config_.max_positions), all, size_.records);
    return;
  }
  const TextInput text(
      options, TextReader{"--input " + sources.front().path, options.model, options.batch_tokens, options.threads},
      config_);
  size_ = text.measure(sources);
  lengths_ = even_lengths(size_);
  notes_.emplace_back("records of text count as equally long until they are imported");
}

Prediction PlanSubject<ScoreOptions>::predict(const ScoreOptions& options, const MachineShare& machine) const {
  const ScorePlan plan = plan_score(options, config_, size_, machine, RunDirectory(options.run));
  Prediction p = predict_scoring(options, plan, lengths_, profile_, share_, model_bytes_);
  std::ranges::copy(notes_, std::back_inserter(p.notes));
  return p;
}

PlanSubject<TrainOptions>::PlanSubject(Runtime& runtime, const TrainOptions& options, const Profile& profile,
                                       const std::string& routing)
    : config_(read_model_config(options.config_path(), options.allowed_fields())),
      profile_(profile),
      model_bytes_(options.init.empty() ? stored_bytes(options.model) : 0),
      longest_(options.max_tokens > 0 ? std::min(options.max_tokens, config_.max_positions) : config_.max_positions),
      chosen_(options, config_),
      files_(runtime.world, options.sources(), config_) {
  if (!routing.empty())
    fail(ExitCode::usage, "plan train --routing {}: training is planned with all experts alike", routing);
  for (const DataFile& file : files_.train()) data_.records.push_back(records_of(file));
  for (const DataFile& file : files_.eval()) std::ranges::copy(records_of(file), std::back_inserter(data_.held_out));
}

Prediction PlanSubject<TrainOptions>::predict(const TrainOptions& options, const MachineShare& machine) const {
  const DataOrder order(options.order(data_.sizes()));
  const TrainPlan plan = plan_training(options, config_, data_.summary(options, order), machine,
                                       RunDirectory(options.run), chosen_.trained_share());
  return predict_training(options, plan, config_, data_, profile_, model_bytes_);
}

/// Of text, as long as it is on average.
std::vector<PlannedRecord> PlanSubject<TrainOptions>::records_of(const DataFile& file) const {
  std::vector<PlannedRecord> records;
  if (file.format) {
    const InputSize size = files_.measure({file}).front();
    records = records_to_learn(even_lengths(size), size.records);
  } else {
    const ScoringInput input(file.path);
    records = records_to_learn(lengths_of(input, longest_), input.num_records());
  }
  if (records.empty()) fail(ExitCode::input, "{}: no record has tokens to learn", file.path);
  return records;
}

}  // namespace switchyard
