#include "train/parameters/parameter_space.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

class ParameterSpaceTest : public testing::TestWithParam<std::pair<std::string, ModelConfig>> {
 protected:
  const ModelConfig& config_ = GetParam().second;
  const ParameterSpace space_{config_};
};

TEST_P(ParameterSpaceTest, HasEveryParameterOnce) {
  EXPECT_EQ(space_.num_elements(), config_.total_parameters());
  std::set<std::string> names;
  int64_t next = 0;
  for (const ParameterPlace& place : places_of(space_)) {
    EXPECT_TRUE(names.insert(place.parameter.name()).second) << place.parameter.name();
    EXPECT_EQ(place.first, next) << place.parameter.name();
    next += place.count;
    const auto [block, offset] = space_.place_of(place.parameter);
    EXPECT_EQ(space_.blocks()[block].first + offset, place.first) << place.parameter.name();
  }
  EXPECT_EQ(next, space_.num_elements());
}

TEST_P(ParameterSpaceTest, NamesElements) {
  for (const ParameterPlace& place : places_of(space_)) {
    const std::string last = place.parameter.shape.rank() == 1
                                 ? fmt::format("[{}]", place.count - 1)
                                 : fmt::format("[{}, {}]", place.parameter.shape[0] - 1, place.parameter.shape[1] - 1);
    EXPECT_EQ(space_.element_name(place.first + place.count - 1), place.parameter.name() + last);
  }
}

TEST_P(ParameterSpaceTest, ChunksAreOfOneBlock) {
  int64_t chunks = 0;
  for (size_t block = 0; block < space_.blocks().size(); ++block) {
    EXPECT_EQ(space_.first_chunk(block), chunks);
    chunks += space_.num_chunks(block);
    EXPECT_GE(space_.num_chunks(block) * ParameterSpace::kChunkElements, space_.blocks()[block].elements);
  }
  EXPECT_EQ(space_.num_chunks(), chunks);
}

INSTANTIATE_TEST_SUITE_P(Models, ParameterSpaceTest, testing::ValuesIn(trainable_configs()),
                         [](const auto& test) { return test.param.first; });

TEST(TrainRanks, EveryElementHasOneOwner) {
  const ModelConfig config = trainable_config("switchyard");
  const ParameterSpace space(config);
  for (const auto& [ranks, ep] : {std::pair(1, 1), {3, 1}, {4, 2}, {6, 3}, {7, 7}})
    run_thread_ranks(ranks, [&, ep = ep](Communicator& world) {
      const TrainRanks all(world, ep, config, 8);
      for (size_t block = 0; block < space.blocks().size(); ++block) {
        std::vector<int> owners(static_cast<size_t>(space.blocks()[block].elements));
        for (const ElementRange& range : all.owned(space, block))
          for (int64_t i = range.first; i < range.end; ++i) ++owners[static_cast<size_t>(i)];
        EXPECT_TRUE(std::ranges::all_of(owners, [](int n) { return n == 1; })) << space.blocks()[block].name();
      }
    });
}

}  // namespace
}  // namespace switchyard::test
