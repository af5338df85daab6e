#include "model/checkpoint/model_hash.h"

#include <gtest/gtest.h>

#include <atomic>

#include "comm/collectively.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

PartHash part(const std::string& id, uint64_t bytes) {
  return {id, hash_of(std::as_bytes(std::span(&bytes, 1)))};
}

TEST(ModelHash, IsOfAllPartsWhoeverReadThem) {
  const Hash128 alone = combine_hashes({part("dense", 1), part("expert 0", 2), part("expert 1", 3)});
  run_thread_ranks(2, [&](Communicator& group) {
    const bool first = group.rank() == 0;
    EXPECT_EQ(hash_of_model(group, {first ? part("expert 1", 3) : part("expert 0", 2), part("dense", 1)}), alone);
  });
}

TEST(ModelHash, AllLearnThatTwoHaveReadDifferentBytes) {
  std::atomic<int> told{0};
  run_thread_ranks(3, [&](Communicator& group) {
    const std::vector<PartHash> mine = {part("dense", group.rank() == 2 ? 7 : 1)};
    EXPECT_TRUE(
        fails(ExitCode::input, {"tensor dense: ranks read different bytes"}, [&] { hash_of_model(group, mine); }));
    ++told;
  });
  EXPECT_EQ(told, 3);
}

TEST(ModelHash, GroupsMustHaveReadTheSameModel) {
  std::atomic<int> told{0};
  run_thread_ranks(4, [&](Communicator& world) {
    const Hash128 hash = part("model", world.rank() < 2 ? 1 : 2).hash;
    try {
      require_same_model(world, hash, "models/tiny");
    } catch (const CollectiveError& error) {
      EXPECT_STREQ(error.what(), "rank 2: models/tiny: expert groups read different models; is the directory shared?");
      ++told;
    }
    require_same_model(world, part("model", 1).hash, "models/tiny");
  });
  EXPECT_EQ(told, 4);
}

}  // namespace
}  // namespace switchyard::test
