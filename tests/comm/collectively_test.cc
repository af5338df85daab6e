#include "comm/collectively.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

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

TEST(Collectively, WhatTheLibraryThrowsHasACodeToo) {
  const auto code_of = [](const std::function<void()>& body) {
    ExitCode code{};
    run_thread_ranks(1, [&](Communicator& world) {
      try {
        collectively(world, body);
      } catch (const CollectiveError& error) {
        code = error.code();
      }
    });
    return code;
  };
  EXPECT_EQ(code_of([] { throw std::bad_alloc(); }), ExitCode::environment);
  EXPECT_EQ(code_of([] { static_cast<void>(std::filesystem::file_size("/nowhere")); }), ExitCode::input);
  EXPECT_EQ(code_of([] { throw std::logic_error("?"); }), ExitCode::internal);
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
