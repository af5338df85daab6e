// The decoder's arena: measured on shapes alone, it is what a batch of max_tokens takes when everything is asked of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <tuple>

#include "model/engine.h"
#include "tests/support/placements.h"

namespace switchyard::test {
namespace {

struct ArenaUse {
  size_t used = 0, predicted = 0;
};

struct ArenaCase {
  int num_ranks = 1;
  int64_t max_tokens = 200;
  int64_t exchange_bytes = int64_t{1} << 20;
  MakePlacement placement = ExpertPlacement::blocks;
  int micro_batches = 1;
  int64_t record = 40;  ///< tokens of each but the last
  Device device = Device::cpu;
};

/// Every rank runs one batch of max_tokens tokens, and scores every row. The largest use of any rank; all predict the
/// same.
ArenaUse arena_use(const std::filesystem::path& model, DType operand, const ArenaCase& c) {
  const ModelConfig config = read_model_config(model);
  std::vector<size_t> used(static_cast<size_t>(c.num_ranks)), predicted(used.size());
  run_thread_ranks(c.num_ranks, [&](Communicator& world) {
    EngineOptions options{operand, 1, {c.max_tokens, c.record, c.micro_batches}, c.exchange_bytes, c.device};
    options.placement = c.placement(config.num_experts(), c.num_ranks);
    Engine engine(config, checkpoint_weights(model), options, world);
    Batch batch;
    for (int64_t left = c.max_tokens; left > 0; left -= c.record) {
      std::vector<int32_t> record(static_cast<size_t>(std::min(left, c.record)));
      for (size_t i = 0; i < record.size(); ++i)
        record[i] = static_cast<int32_t>((static_cast<int64_t>(i) * 7 + left + world.rank()) % config.vocab_size);
      batch.add(record);
    }
    const auto rank = static_cast<size_t>(world.rank());
    predicted[rank] = engine.arena().capacity();
    Arena arena(2 * predicted[rank], c.device);
    std::vector<int32_t> row(batch.ids.size());
    std::iota(row.begin(), row.end(), 0);
    const View states = engine.decoder().forward(engine.stream(), arena, batch);
    engine.decoder().score(engine.stream(), arena, states, row, batch.ids);
    used[rank] = arena.high_water();
  });
  EXPECT_EQ(std::ranges::max(predicted), std::ranges::min(predicted));
  return {std::ranges::max(used), predicted[0]};
}

class DecoderArena : public ::testing::TestWithParam<std::tuple<const char*, DType>> {
 protected:
  ArenaUse use(const ArenaCase& c) const {
    const auto& [name, operand] = GetParam();
    return arena_use(std::filesystem::path(SWITCHYARD_TEST_DATA) / "models" / name, operand, c);
  }
};

TEST_P(DecoderArena, OfOneRankIsPredictedExactly) {
  for (const int64_t tokens : {1, 2, 37, 40, 200}) {
    const ArenaUse a = use({.max_tokens = tokens});
    EXPECT_EQ(a.used, a.predicted) << tokens << " tokens";
  }
}

/// Lists go there: most when every token is a record.
TEST_P(DecoderArena, OfACudaDeviceIsPredictedExactly) {
  if (num_devices() == 0) GTEST_SKIP() << why_no_devices();
  for (const int64_t tokens : {1, 37, 200}) {
    const ArenaUse a = use({.max_tokens = tokens, .record = 1, .device = Device::cuda});
    EXPECT_EQ(a.used, a.predicted) << tokens << " tokens";
  }
}

/// Both halves' arenas are of the largest half that may be, whatever a batch has.
TEST_P(DecoderArena, OfTwoMicroBatchesIsPredictedExactly) {
  for (const int ranks : {1, 2, 3})
    for (const int64_t record : {1, 40, 200}) {
      const ArenaUse a = use({.num_ranks = ranks, .micro_batches = 2, .record = record});
      EXPECT_EQ(a.used, a.predicted) << ranks << " ranks, records of " << record;
    }
}

/// One rank sends another as many tokens as a round holds: the exchange has all its buffers.
TEST_P(DecoderArena, OfSeveralRanksIsPredictedExactlyWhenTheExchangeTakesRounds) {
  for (const int ranks : {2, 3})
    for (const auto& [name, placement] : all_placements()) {
      const ArenaUse a = use({.num_ranks = ranks, .exchange_bytes = 10'000, .placement = placement});
      EXPECT_EQ(a.used, a.predicted) << ranks << " ranks, " << name;
    }
}

/// In one round the exchange takes what the most tokens between two ranks need, at most max_tokens.
TEST_P(DecoderArena, OfSeveralRanksIsBounded) {
  for (const int ranks : {2, 3, 7}) {
    const ArenaUse a = use({.num_ranks = ranks});
    EXPECT_LE(a.used, a.predicted) << ranks << " ranks";
    EXPECT_GT(a.used, a.predicted / 3) << ranks << " ranks";
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderArena,
                         ::testing::Combine(::testing::Values("qwen3moe-dense", "mixtral-sharded", "switchyard-tied"),
                                            ::testing::Values(DType::f32, DType::bf16)),
                         [](const auto& each) {
                           std::string name = std::string(std::get<0>(each.param)) + "_" +
                                              std::string(name_of(std::get<1>(each.param)));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace switchyard::test
