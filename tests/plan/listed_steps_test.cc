// What is listed on shapes is what is done on numbers.
#include "plan/listed_steps.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <map>

#include "exchange/expected_exchange.h"
#include "model/engine.h"
#include "plan/calibration_models.h"
#include "plan/price_list.h"
#include "plan/works.h"
#include "train/training_case.h"

namespace switchyard::test {
namespace {

std::string text_of(const Work& work) {
  return fmt::format("{} {} {} [{}]", work.name, name_of(work.dtype), work.amount, fmt::join(work.size, ", "));
}

std::vector<std::string> texts(const WorkLog& log) {
  std::vector<std::string> texts;
  for (const WorkDone& done : log) texts.push_back(text_of(done.work));
  return texts;
}

TEST(ScoringSteps, ListWhatADecoderDoes) {
  const ModelConfig config = calibration_model(256, 16);
  for (const DType operand : {DType::f32, DType::bf16}) {
    Layout layout;
    layout.operand = operand;
    layout.limits = {.max_tokens = 64, .max_record = 32};
    layout.exchange_bytes = 1 << 20;
    const std::vector<PlannedRecord> records = {{20, 19}, {3, 1}, {32, 5}};
    const WorkLog listed =
        ScoringSteps(config, layout, {}).list(std::vector<std::vector<PlannedRecord>>{records}).front();

    const std::unique_ptr<Communicator> self = make_self_communicator();
    Engine engine(config, random_model, {operand, 2, layout.limits, layout.exchange_bytes}, *self);
    Batch batch;
    std::vector<int32_t> row;
    for (const PlannedRecord& record : records) {
      for (int64_t t = record.length - record.scored; t < record.length; ++t)
        row.push_back(static_cast<int32_t>(batch.tokens() + t - 1));
      std::vector<int32_t> ids;
      for (int64_t t = 0; t < record.length; ++t) ids.push_back(static_cast<int32_t>(97 * t % config.vocab_size));
      batch.add(ids);
    }
    WorkLog done;
    engine.list_works(&done);
    const View states = engine.decoder().forward(engine.stream(), engine.arena(), batch);
    engine.decoder().score(engine.stream(), engine.arena(), states, row, row);
    done.push_back({work_between(done.size(), batch.tokens(), config.hidden_size)});
    EXPECT_EQ(texts(listed), texts(done));
    for (const WorkDone& work : done) {
      EXPECT_TRUE(work.seconds > 0 || std::string_view(work.work.name) == "between_ops") << work.work.name;
    }
  }
}

/// By kind, what all of it comes to.
std::map<std::string, double> amounts(const WorkLog& log) {
  std::map<std::string, double> amounts;
  for (const WorkDone& done : log) amounts[done.work.name] += done.work.amount;
  return amounts;
}

TEST(TrainingSteps, ListWhatAPassDoes) {
  TrainingCase c{.config = trainable_config("qwen3_moe")};
  const TrainingLayout layout{.keep_products = true};
  const std::unique_ptr<Communicator> self = make_self_communicator();
  Trainer trainer(*self, c.config, options_of(c, layout));
  trainer.initialise({});
  const StepBatch batch = made_up_step(c, trainer.ranks(), 1);
  WorkLog done;
  trainer.list_works(&done);
  trainer.step(batch, 1e-3);
  trainer.list_works(nullptr);
  done.push_back({work_of_sums(trainer.model())});
  done.push_back({work_of_update(trainer.model())});

  std::vector<std::vector<PlannedRecord>> slices;
  for (size_t s = 0; s + 1 < batch.slice_records.size(); ++s) {
    std::vector<PlannedRecord>& slice = slices.emplace_back();
    for (int64_t r = batch.slice_records[s]; r < batch.slice_records[s + 1]; ++r) {
      const auto first = batch.batch.record_offsets[static_cast<size_t>(r)],
                 end = batch.batch.record_offsets[static_cast<size_t>(r) + 1];
      const auto scored = std::ranges::count_if(batch.row, [&](int32_t row) { return row >= first && row < end; });
      slice.push_back({end - first, scored});
    }
  }
  const WorkLog listed = list_training_step(c.config, shape_of(c, layout), 0, batch.step_tokens, slices);
  const std::map<std::string, double> expected = amounts(done), found = amounts(listed);
  for (const auto& [name, amount] : expected) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_NEAR(found.at(name) / amount, 1, 0.1) << name;
  }
  for (const auto& [name, amount] : found) EXPECT_TRUE(expected.contains(name)) << name;
}

TEST(TrainingSteps, ARankWithoutSlicesComputesNothing) {
  const TrainingCase c{.config = trainable_config("qwen3_moe")};
  const WorkLog listed = list_training_step(c.config, shape_of(c, {.ranks = 16, .ep = 1}), 0, 1000, {});
  std::map<std::string, double> found = amounts(listed);
  EXPECT_EQ(found["grouped_ffn"] + found["grouped_ffn_taped"], 0);
  EXPECT_GT(found["update"], 0);
}

TEST(ExpectedExchange, SharesRowsByTheRouting) {
  EXPECT_NEAR(chance_of_any(0.5, 1, 8), 0.5, 1e-12);
  EXPECT_NEAR(chance_of_any(0.25, 2, 8), 1 - 6.0 / 8 * 5 / 7, 1e-12);
  EXPECT_EQ(chance_of_any(1, 2, 8), 1);
  EXPECT_EQ(chance_of_any(0, 2, 8), 0);

  // Two ranks, all assignments to the first one's experts: the second one has nothing to compute for anybody.
  const ModelConfig config = calibration_model(256, 16);
  Layout layout;
  layout.operand = DType::f32;
  layout.world_size = layout.ep = 2;
  layout.limits = {.max_tokens = 64, .max_record = 32};
  layout.exchange_bytes = 1 << 20;
  std::vector<double> share(static_cast<size_t>(config.num_layers()) * 16);
  for (size_t i = 0; i < share.size(); ++i) share[i] = i % 16 < 8 ? 1.0 / 8 : 0;
  const std::vector<PlannedRecord> records(2, {32, 31});
  const std::vector<WorkLog> works =
      ScoringSteps(config, layout, share).list(std::vector<std::vector<PlannedRecord>>{records, records});
  ASSERT_EQ(works.size(), 2U);
  const auto experts = [](const WorkLog& log) {
    double amount = 0;
    for (const WorkDone& done : log)
      if (std::string_view(done.work.name) == "grouped_ffn") amount += done.work.amount;
    return amount;
  };
  const auto sent = [](const WorkLog& log) {
    double bytes = 0;
    for (const WorkDone& done : log)
      if (is_exchange(done.work)) bytes += done.work.amount;
    return bytes;
  };
  const double k = 4, tokens = 64, d = 256;
  // The first: results of k experts a token of the other's; the second: its rows, once each.
  EXPECT_NEAR(sent(works[0]) / (3 * tokens * k * d * 4), 1, 1e-9);
  EXPECT_NEAR(sent(works[1]) / (3 * tokens * d * 4), 1, 1e-9);
  // Beside experts both compute the dense layer and the shared expert.
  EXPECT_GT(experts(works[0]), 2 * experts(works[1]));
}

}  // namespace
}  // namespace switchyard::test
