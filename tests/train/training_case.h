// Small models, made-up records, and a few steps on any layout of ranks.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/expected_scores.h"
#include "train/trainer.h"

namespace switchyard::test {

/// Of families that have between them all that a model may have.
std::vector<std::pair<std::string, ModelConfig>> trainable_configs();
ModelConfig trainable_config(std::string_view family);
/// One of them with a vocabulary of three tiles, the last of four rows.
ModelConfig with_long_vocabulary(std::string_view family);

struct TrainingCase {
  ModelConfig config;
  DType operand = DType::f32;
  int64_t num_slices = 8;
  double balance = 0.01;
  OptimiserOptions optimiser = {.weight_decay = 0.1, .train_router = true};
  double learning_rate = 1e-2;
  int64_t step_records = 12;
  int64_t steps = 3;
  PassEngine::Select select = {};  ///< empty: everything trains
};

struct TrainingLayout {
  int ranks = 1, ep = 1, threads = 1;
  int64_t exchange_bytes = 1 << 20, batch_tokens = 1 << 20;
  bool keep_products = false;
};

/// Record `index` of a step: from 2 to 20 tokens, a function of both alone. Some have a context.
Record made_up_record(const ModelConfig& config, int64_t step, int64_t index);

StepBatch step_of(const std::vector<Record>& records, const TrainRanks& ranks, int64_t step);
StepBatch made_up_step(const TrainingCase& c, const TrainRanks& ranks, int64_t step);
TrainMemoryRequest shape_of(const TrainingCase& c, const TrainingLayout& layout);
TrainerOptions options_of(const TrainingCase& c, const TrainingLayout& layout);

/// What training leaves, at rank 0.
struct TrainedBits {
  std::vector<StepResult> steps;
  std::vector<float> parameters, first_moments, second_moments;  ///< in canonical order
};
/// On ranks that are threads. start: gives the model its weights; without it they are new ones.
TrainedBits train(const TrainingCase& c, const TrainingLayout& layout, const std::function<void(Trainer&)>& start = {});

/// Values of all owners, in canonical order, at rank 0; 0 of what does not train. Collective.
std::vector<float> gather_all(const TrainedModel& model, View Shard::*values);

/// A parameter, and where it is in the canonical order.
struct ParameterPlace {
  Parameter parameter;
  int64_t first = 0, count = 0;

  template <class Values>
  auto of(Values& values) const {
    return std::span(values).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
  }
};
std::vector<ParameterPlace> places_of(const ParameterSpace& space);

/// In canonical order; no tensor is all zeros or ones. Exact in bf16, so that its roundings are those of activations.
std::vector<float> made_up_parameters(const ModelConfig& config);
void set_parameters(TrainedModel& model, const std::vector<float>& parameters);

/// Whatever reads what was not written shows.
void poison_gradients(const TrainedModel& model);

/// What a step finds, of one rank.
struct StepGradient {
  StepResult step;
  std::vector<float> gradient;  ///< in canonical order; NaN where none was written
};
/// start: gives the model its weights. They stay what they are.
StepGradient gradient_of(const TrainingCase& c, const std::vector<Record>& records,
                         const std::function<void(Trainer&)>& start);

}  // namespace switchyard::test
