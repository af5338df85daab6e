// The decoder's arena: predicted exactly, as soon as a batch has max_tokens and everything is asked of it.
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

/// Every rank runs one batch of max_tokens tokens (records of 40 tokens, a shorter last one), and scores every
/// row. The largest use of any rank; all predict the same.
ArenaUse arena_use(const std::filesystem::path& model, DType operand, int num_ranks, int64_t max_tokens,
                   int64_t exchange_bytes, const MakePlacement& make_placement) {
  constexpr int64_t kRecord = 40;
  const ModelConfig config = read_model_config(model);
  std::vector<size_t> used(static_cast<size_t>(num_ranks)), predicted(used.size());
  run_thread_ranks(num_ranks, [&](Communicator& world) {
    EngineOptions options{operand, 1, {max_tokens, kRecord}, exchange_bytes};
    options.placement = make_placement(config.num_experts(), num_ranks);
    Engine engine(config, checkpoint_weights(model), options, world);
    Batch batch;
    for (int64_t left = max_tokens; left > 0; left -= kRecord) {
      std::vector<int32_t> record(static_cast<size_t>(std::min(left, kRecord)));
      for (size_t i = 0; i < record.size(); ++i)
        record[i] = static_cast<int32_t>((static_cast<int64_t>(i) * 7 + left + world.rank()) % config.vocab_size);
      batch.add(record);
    }
    const auto rank = static_cast<size_t>(world.rank());
    predicted[rank] = engine.arena().capacity();
    Arena arena(2 * predicted[rank]);
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
  ArenaUse use(int num_ranks, int64_t max_tokens, int64_t exchange_bytes = int64_t{1} << 20,
               const MakePlacement& placement = ExpertPlacement::blocks) const {
    const auto& [name, operand] = GetParam();
    return arena_use(std::filesystem::path(SWITCHYARD_TEST_DATA) / "models" / name, operand, num_ranks, max_tokens,
                     exchange_bytes, placement);
  }
};

TEST_P(DecoderArena, OfOneRankIsPredictedExactly) {
  for (const int64_t tokens : {1, 2, 37, 40, 200}) {
    const ArenaUse a = use(1, tokens);
    EXPECT_EQ(a.used, a.predicted) << tokens << " tokens";
  }
}

/// One rank sends another as many tokens as a round holds: the exchange has all its buffers.
TEST_P(DecoderArena, OfSeveralRanksIsPredictedExactlyWhenTheExchangeTakesRounds) {
  for (const int ranks : {2, 3})
    for (const auto& [name, placement] : all_placements()) {
      const ArenaUse a = use(ranks, 200, 10'000, placement);
      EXPECT_EQ(a.used, a.predicted) << ranks << " ranks, " << name;
    }
}

/// In one round the exchange takes what the most tokens between two ranks need, at most max_tokens.
TEST_P(DecoderArena, OfSeveralRanksIsBounded) {
  for (const int ranks : {2, 3, 7}) {
    const ArenaUse a = use(ranks, 200);
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
