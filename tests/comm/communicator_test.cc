#include "comm/communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/comm/checks.h"

namespace switchyard::test {
namespace {

class ThreadRanks : public testing::TestWithParam<std::tuple<int, Check>> {};

TEST_P(ThreadRanks, Check) {
  const auto& [size, check] = GetParam();
  std::atomic<int> num_run = 0;
  run_thread_ranks(size, [&, expected_size = size, body = check.body](Communicator& world) {
    EXPECT_EQ(world.kind(), "threads");
    EXPECT_EQ(world.size(), expected_size);
    body(world);
    ++num_run;
  });
  EXPECT_EQ(num_run, size);
}

INSTANTIATE_TEST_SUITE_P(All, ThreadRanks,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7), testing::ValuesIn(communicator_checks())),
                         [](const auto& test) {
                           return std::string(std::get<1>(test.param).name) + "_" +
                                  std::to_string(std::get<0>(test.param));
                         });

class SelfRank : public testing::TestWithParam<Check> {};

TEST_P(SelfRank, Check) {
  const auto self = make_self_communicator();
  EXPECT_EQ(self->kind(), "self");
  GetParam().body(*self);
}

INSTANTIATE_TEST_SUITE_P(All, SelfRank, testing::ValuesIn(communicator_checks()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(SelfFailure, AbortEndsTheProcess) {
  EXPECT_EXIT(make_self_communicator()->abort(69), testing::ExitedWithCode(69), "");
}

/// What the other ranks are in when rank 1 fails.
struct Blocked {
  const char* name;
  void (*operation)(Communicator&);
};

std::ostream& operator<<(std::ostream& out, const Blocked& blocked) {
  return out << blocked.name;
}

class FailingRank : public testing::TestWithParam<Blocked> {};

TEST_P(FailingRank, EndsTheOthersInstead) {
  std::atomic<int> num_ended = 0;
  try {
    run_thread_ranks(4, [&](Communicator& world) {
      if (world.rank() == 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(3));  // the others are waiting by then
        fail(ExitCode::input, "rank 1 has had enough");
      }
      try {
        GetParam().operation(world);
        ADD_FAILURE() << "rank " << world.rank() << " went on";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::environment) << error.what();
        ++num_ended;
        throw;
      }
    });
    FAIL() << "no error came out";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 1 has had enough");
    EXPECT_EQ(error.code(), ExitCode::input);
  }
  EXPECT_EQ(num_ended, 3);
}

void wait_for_a_transfer(Communicator& world) {
  std::vector<int32_t> send(4), recv(4);
  const std::vector<int64_t> rows(4, 1);
  world.start_all_to_all_v({}, view_of(std::span<const int32_t>(send)), rows, {recv.data(), {4}, DType::i32}, rows)
      .wait();
}

void poll_a_transfer(Communicator& world) {
  std::vector<int32_t> send(4), recv(4);
  const std::vector<int64_t> rows(4, 1);
  Pending pending =
      world.start_all_to_all_v({}, view_of(std::span<const int32_t>(send)), rows, {recv.data(), {4}, DType::i32}, rows);
  while (!pending.poll()) {
  }
}

INSTANTIATE_TEST_SUITE_P(All, FailingRank,
                         testing::Values(Blocked{"barrier", [](Communicator& c) { c.barrier(); }},
                                         Blocked{"all_reduce",
                                                 [](Communicator& c) { c.all_reduce_one(1.0, ReduceOp::sum); }},
                                         Blocked{"gather", [](Communicator& c) { c.gather_bytes({}, 0); }},
                                         Blocked{"split", [](Communicator& c) { c.split(c.rank() % 2, 0); }},
                                         Blocked{"broadcast", [](Communicator& c) { c.broadcast_string("", 0); }},
                                         Blocked{"wait", wait_for_a_transfer}, Blocked{"poll", poll_a_transfer}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ThreadFailure, FailureInOneGroupEndsTheOther) {
  EXPECT_THROW(run_thread_ranks(4,
                                [](Communicator& world) {
                                  const auto part = world.split(world.rank() / 2, 0);
                                  if (world.rank() == 3) fail(ExitCode::input, "enough");
                                  while (true) part->barrier();
                                }),
               Error);
}

TEST(ThreadFailure, TheTransfersOfAFailingRankAreFinishedFirst) {
  std::atomic<int> num_received = 0;
  EXPECT_THROW(run_thread_ranks(3,
                                [&](Communicator& world) {
                                  std::vector<int32_t> send(3, 5), recv(3);
                                  const std::vector<int64_t> rows(3, 1);
                                  if (world.rank() != 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
                                  Pending pending =
                                      world.start_all_to_all_v({}, view_of(std::span<const int32_t>(send)), rows,
                                                               {recv.data(), {3}, DType::i32}, rows);
                                  if (world.rank() == 0) fail(ExitCode::input, "enough");
                                  pending.wait();
                                  if (recv == send) ++num_received;
                                  world.barrier();
                                }),
               Error);
  EXPECT_EQ(num_received, 2);
}

TEST(ThreadFailure, UnequalCountsAreAnError) {
  EXPECT_THROW(run_thread_ranks(2,
                                [](Communicator& world) {
                                  std::vector<int32_t> send(4), recv(4);
                                  const std::vector<int64_t> send_rows{2, 2}, recv_rows{1, 2};
                                  world
                                      .start_all_to_all_v({}, view_of(std::span<const int32_t>(send)), send_rows,
                                                          {recv.data(), {4}, DType::i32}, recv_rows)
                                      .wait();
                                }),
               Error);
}

TEST(ThreadFailure, AbortEndsAll) {
  try {
    run_thread_ranks(3, [](Communicator& world) {
      if (world.rank() == 2) world.abort(76);
      world.barrier();
    });
    FAIL() << "no error came out";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::timeout);
  }
}

}  // namespace
}  // namespace switchyard::test
