#include "jobs/collectively.h"

#include <gtest/gtest.h>

#include <atomic>

namespace switchyard {
namespace {

TEST(Collectively, EveryRankLearnsOfTheLowestFailure) {
  std::atomic<int> told{0};
  run_thread_ranks(4, [&](Communicator& world) {
    try {
      collectively(world, [&] {
        if (world.rank() >= 2) fail(ExitCode::input, "cannot read part {}", world.rank());
      });
    } catch (const CollectiveError& error) {
      EXPECT_EQ(error.code(), ExitCode::input);
      EXPECT_STREQ(error.what(), "rank 2: cannot read part 2");
      ++told;
    }
  });
  EXPECT_EQ(told, 4);
}

TEST(Collectively, GoesOnWhenNobodyFails) {
  run_thread_ranks(3, [](Communicator& world) {
    int calls = 0;
    collectively(world, [&] { ++calls; });
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(world.all_reduce_one(int64_t{1}, ReduceOp::sum), 3);
  });
}

}  // namespace
}  // namespace switchyard
