#include "train/fisher/fisher_pass.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "model/decoder.h"
#include "model/moe_layer.h"
#include "tests/train/training_case.h"
#include "train/parameters/step_slices.h"

namespace switchyard::test {
namespace {

/// Records with what their labels are made of.
struct FisherBatch {
  std::vector<Record> records;
  bool drawn = false, by_probability = false;
  uint64_t seed = 0;  ///< of what is drawn

  StepBatch on(const TrainRanks& ranks) const {
    const std::vector<int64_t> ends = a_record_a_slice(std::ssize(records), ranks.num_slices());
    StepBatch batch(ranks.slices());
    batch.step = 1;
    for (int64_t s = batch.slices.first; s < batch.slices.end; ++s) {
      batch.begin_slice();
      for (int64_t r = ends[static_cast<size_t>(s)]; r < ends[static_cast<size_t>(s) + 1]; ++r) {
        const Record& record = records[static_cast<size_t>(r)];
        batch.add(record.tokens, record.context);
        const uint64_t key = random_bits(seed, static_cast<uint64_t>(r));
        for (uint64_t i = 0; drawn && batch.uniform.size() < batch.row.size(); ++i)
          batch.uniform.push_back(static_cast<double>(random_uniform(key, i)));
      }
    }
    batch.end();
    batch.by_probability = by_probability;
    for (const Record& record : records) {
      batch.step_tokens += std::ssize(record.tokens) - 1;
      batch.step_targets += std::ssize(record.tokens) - record.context;
    }
    return batch;
  }
};

TrainMemoryRequest fisher_shape(const TrainingCase& c, const TrainingLayout& layout,
                                const std::vector<FisherBatch>& batches) {
  TrainMemoryRequest shape = shape_of(c, layout);
  shape.squares = true;
  shape.num_slices = shape.rank_tokens = 1;
  for (const FisherBatch& batch : batches) {
    const auto records = static_cast<uint64_t>(batch.records.size());
    shape.num_slices = std::max(shape.num_slices, static_cast<int64_t>(std::bit_ceil(records)));
    int64_t tokens = 0;
    for (const Record& record : batch.records) tokens += std::ssize(record.tokens);
    shape.rank_tokens = std::max(shape.rank_tokens, tokens);
  }
  shape.slice_tokens = shape.longest;
  return shape;
}

/// Sums, in canonical order, and what the last pass said.
struct FisherBits {
  std::vector<float> sum, rest;
  StepLosses losses;

  double at(size_t i) const { return static_cast<double>(sum[i]) + static_cast<double>(rest[i]); }
};
FisherBits fisher(const TrainingCase& c, const TrainingLayout& layout, const std::vector<FisherBatch>& batches) {
  FisherBits bits;
  run_thread_ranks(layout.ranks, [&](Communicator& world) {
    FisherPass pass(world, c.config, fisher_shape(c, layout, batches));
    set_parameters(pass.model(), made_up_parameters(c.config));
    StepLosses losses;
    for (const FisherBatch& batch : batches) {
      poison_gradients(pass.model());
      losses = pass.add(batch.on(pass.ranks()));
    }
    FisherBits own{gather_all(pass.model(), &Shard::sum), gather_all(pass.model(), &Shard::rest), std::move(losses)};
    if (world.rank() == 0) bits = std::move(own);
  });
  return bits;
}

std::vector<Record> some_records(const ModelConfig& config, int64_t count, int64_t step = 1) {
  std::vector<Record> records;
  for (int64_t i = 0; i < count; ++i) records.push_back(made_up_record(config, step, i));
  return records;
}

TrainingCase fisher_case(const ModelConfig& config, DType operand = DType::f32) {
  return {.config = config, .operand = operand, .balance = 0};
}

class FisherOfFamilies : public testing::TestWithParam<std::string> {};

// Each record's gradient by itself, squared by hand: in every parameter of every family.
TEST_P(FisherOfFamilies, IsTheSumOfTheRecordsSquares) {
  for (const ModelConfig& config : {trainable_config(GetParam()), with_long_vocabulary(GetParam())}) {
    const TrainingCase c = fisher_case(config);
    const std::vector<Record> records = some_records(config, 5);
    const FisherBits got = fisher(c, {}, {{records}});
    std::vector<double> want(got.sum.size());
    for (const Record& record : records) {
      const StepGradient g =
          gradient_of(c, {record}, [&](Trainer& t) { set_parameters(t.model(), made_up_parameters(config)); });
      const auto targets = static_cast<double>(g.step.targets);
      for (size_t i = 0; i < want.size(); ++i)
        if (!std::isnan(g.gradient[i])) want[i] += std::pow(targets * static_cast<double>(g.gradient[i]), 2);
    }
    const ParameterSpace space(config);
    for (const ParameterPlace& place : places_of(space)) {
      const auto of_parameter = place.of(want);
      const double largest = std::ranges::max(of_parameter);
      for (int64_t i = 0; i < place.count; ++i)
        ASSERT_NEAR(got.at(static_cast<size_t>(place.first + i)), of_parameter[static_cast<size_t>(i)], 2e-5 * largest)
            << space.element_name(place.first + i);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, FisherOfFamilies,
                         testing::Values("qwen3_moe", "mixtral", "switchyard", "gpt_oss", "deepseek_v3", "glm4_moe",
                                         "llama4"),
                         [](const auto& param) { return param.param; });

// Ranks, groups, budgets that cut an expert's slices, attention in pieces: the same sums, bit for bit.
TEST(Fisher, BitsAreThoseOfOneRank) {
  for (const DType operand : {DType::f32, DType::bf16}) {
    const TrainingCase c = fisher_case(trainable_config("qwen3_moe"), operand);
    const std::vector<FisherBatch> batches{{some_records(c.config, 11), true, false, 3},
                                           {some_records(c.config, 7, 2), true, false, 4}};
    const FisherBits one = fisher(c, {}, batches);
    for (const TrainingLayout layout : {TrainingLayout{.ranks = 2, .ep = 2},
                                        {.ranks = 3, .ep = 3, .threads = 2},
                                        {.ranks = 4, .ep = 2, .exchange_bytes = 1 << 12},
                                        {.ranks = 7, .ep = 7, .batch_tokens = 20},
                                        {.ranks = 1, .keep_products = true}}) {
      const FisherBits several = fisher(c, layout, batches);
      EXPECT_EQ(several.sum, one.sum) << layout.ranks;
      EXPECT_EQ(several.rest, one.rest) << layout.ranks;
      EXPECT_EQ(several.losses.cross_entropy, one.losses.cross_entropy) << layout.ranks;
      EXPECT_EQ(several.losses.routing.gates, one.losses.routing.gates) << layout.ranks;
      EXPECT_EQ(several.losses.routing.choices, one.losses.routing.choices) << layout.ranks;
    }
  }
}

// A record's tokens are each given to k experts.
TEST(Fisher, RoutingSharesOfARecordAddUpToOne) {
  const TrainingCase c = fisher_case(trainable_config("mixtral"));
  const StepLosses losses = fisher(c, {}, {{some_records(c.config, 5)}}).losses;
  const auto experts = static_cast<size_t>(c.config.num_experts());
  ASSERT_EQ(losses.routing.choices.size(), c.config.layers.size() * experts);
  for (size_t layer = 0; layer < c.config.layers.size(); ++layer) {
    const auto sum = [&](const std::vector<double>& values) {
      const auto first = values.begin() + static_cast<int64_t>(layer * experts);
      return std::accumulate(first, first + static_cast<int64_t>(experts), 0.0);
    };
    EXPECT_NEAR(sum(losses.routing.choices), 5, 1e-12);
    EXPECT_NEAR(sum(losses.routing.gates), 5, 1e-6);  // renormalised
  }
}

/// Every class at every target of some records, each by itself: a prefix that ends there.
std::vector<FisherBatch> every_class(const std::vector<Record>& records, int64_t vocab) {
  constexpr size_t kTogether = 32;
  std::vector<FisherBatch> batches;
  for (const Record& record : records)
    for (int64_t t = record.context; t < std::ssize(record.tokens); ++t)
      for (int64_t id = 0; id < vocab; ++id) {
        Record prefix{.tokens = {record.tokens.begin(), record.tokens.begin() + t + 1}, .context = t};
        prefix.tokens.back() = static_cast<int32_t>(id);
        if (batches.empty() || batches.back().records.size() == kTogether)
          batches.push_back({.records = {}, .by_probability = true});
        batches.back().records.push_back(std::move(prefix));
      }
  return batches;
}

/// Of all targets the final states that they are predicted from, as the model has them.
std::vector<std::vector<float>> final_states(const TrainingCase& c, const std::vector<Record>& records) {
  std::vector<std::vector<float>> states;
  run_thread_ranks(1, [&](Communicator& world) {
    FisherPass pass(world, c.config, fisher_shape(c, {}, {{records}}));
    set_parameters(pass.model(), made_up_parameters(c.config));
    const DecoderLimits limits{.max_tokens = 256, .max_record = 64};
    const auto exchange = make_exchange(
        pass.ranks().group(), exchange_shape(c.config, pass.ranks().placement(), c.operand, int64_t{1} << 20));
    const Decoder decoder(pass.stream(), pass.model().weights(), *exchange, limits);
    Arena arena(size_t{64} << 20);
    for (const Record& record : records) {
      Batch batch;
      batch.add(std::span(record.tokens).first(record.tokens.size() - 1));
      const View all = decoder.forward(pass.stream(), arena, batch);
      for (int64_t t = record.context - 1; t < all.rows(); ++t) {
        const std::span<float> row = all.slice(t, 1).span<float>();
        states.emplace_back(row.begin(), row.end());
      }
    }
  });
  return states;
}

// F of the head's row v, column j is Σ_t p_v (1 − p_v) h_j².
TEST(Fisher, ExactOfTheHeadIsWhatTheFormulaSays) {
  ModelConfig config = trainable_config("mixtral");
  const TrainingCase c = fisher_case(config);
  const std::vector<Record> records = some_records(config, 2);
  const FisherBits exact = fisher(c, {}, every_class(records, config.vocab_size));
  const ParameterSpace space(config);
  const auto d = static_cast<size_t>(config.hidden_size), vocab = static_cast<size_t>(config.vocab_size);
  const auto [block, offset] = space.place_of({.module = "lm_head", .shape = {config.vocab_size, config.hidden_size}});
  const auto head = static_cast<size_t>(space.blocks()[block].first + offset);
  const std::vector<float> parameters = made_up_parameters(config);
  const std::vector<std::vector<float>> states = final_states(c, records);
  std::vector<double> want(vocab * d);
  for (const std::vector<float>& h : states) {
    std::vector<double> logits(vocab);
    for (size_t v = 0; v < vocab; ++v)
      for (size_t j = 0; j < d; ++j)
        logits[v] += static_cast<double>(parameters[head + v * d + j]) * static_cast<double>(h[j]);
    const double top = std::ranges::max(logits);
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit - top);
    for (size_t v = 0; v < vocab; ++v) {
      const double p = std::exp(logits[v] - top) / sum;
      for (size_t j = 0; j < d; ++j) want[v * d + j] += p * (1 - p) * std::pow(static_cast<double>(h[j]), 2);
    }
  }
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) worst = std::max(worst, std::abs(exact.at(head + i) / want[i] - 1));
  EXPECT_LT(worst, 1e-6);
  RecordProperty("worst_relative_difference", std::to_string(worst));
}

/// How far the mean of so many draws of each record is from the exact sums, of all parameters.
double distance(const TrainingCase& c, const std::vector<Record>& records, const FisherBits& exact, int64_t draws) {
  std::vector<FisherBatch> batches;
  for (int64_t i = 0; i < draws; ++i) batches.push_back({records, true, false, static_cast<uint64_t>(100 + i)});
  const FisherBits drawn = fisher(c, {}, batches);
  double difference = 0, length = 0;
  for (size_t i = 0; i < drawn.sum.size(); ++i) {
    difference += std::pow(drawn.at(i) / static_cast<double>(draws) - exact.at(i), 2);
    length += std::pow(exact.at(i), 2);
  }
  return std::sqrt(difference / length);
}

// Sixteen times as many draws are four times as near, and a bias would stay.
TEST(Fisher, DrawnLabelsConvergeToTheExactOnes) {
  const TrainingCase c = fisher_case(trainable_config("switchyard"));
  const std::vector<Record> records = some_records(c.config, 3);
  const FisherBits exact = fisher(c, {}, every_class(records, c.config.vocab_size));
  const double few = distance(c, records, exact, 16), many = distance(c, records, exact, 256);
  EXPECT_GT(few / many, 2.5) << few << " and " << many;
  EXPECT_LT(few / many, 6.5) << few << " and " << many;
}

}  // namespace
}  // namespace switchyard::test
