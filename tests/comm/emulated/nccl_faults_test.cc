// What goes wrong between GPUs, on emulated ones.
#include <gtest/gtest.h>
#include <nccl.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/device.h"
#include "comm/collectively.h"
#include "comm/nccl_communicator.h"
#include "tests/comm/all_to_all.h"
#include "tests/comm/checks.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

using std::chrono::milliseconds;

std::unique_ptr<Communicator> with_nccl(Communicator& world, milliseconds timeout = std::chrono::seconds(20)) {
  auto communicator = add_nccl(world.split(0, world.rank()), world.rank(), timeout);
  world.barrier();  // all are connected
  return communicator;
}

/// A rank's device, its stream, and a transfer that has not started.
struct Rank {
  explicit Rank(Communicator& communicator)
      : device(communicator.rank()), stream(device.over(Stream{})), rows(communicator, 2, stream) {}
  DeviceStream device;
  Stream stream;
  AllToAll rows;
};

class NcclFaults : public testing::Test {
 protected:
  void SetUp() override {
    if (num_devices() < 3) GTEST_SKIP() << "too few emulated devices";
  }
  void TearDown() override { EXPECT_EQ(emulated_nccl::num_communicators(), 0); }
};

TEST_F(NcclFaults, TwoRanksOnOneDevice) {
  run_thread_ranks(3, [](Communicator& world) {
    EXPECT_TRUE(fails(ExitCode::environment, {"invalid usage", "Duplicate GPU", "one rank per GPU", "--share-gpu"},
                      [&] { add_nccl(world.split(0, world.rank()), world.rank() / 2); }));
  });
}

TEST_F(NcclFaults, ARankThatDoesNotCome) {
  run_thread_ranks(2, [](Communicator& world) {
    if (world.rank() == 0) {
      EXPECT_TRUE(fails(ExitCode::timeout, {"2 ranks", "0.05 s"}, [&] { with_nccl(world, milliseconds(50)); }));
    } else {  // as far as the barrier
      const auto host = world.split(0, world.rank());
      in_group(*host, [] {});
      std::vector<uint8_t> id(NCCL_UNIQUE_ID_BYTES);
      host->broadcast({id.data(), {std::ssize(id)}, DType::u8}, 0);
      host->barrier();
    }
  });
}

TEST_F(NcclFaults, AnErrorUnderWayReachesAllRanks) {
  emulated_nccl::fail_next_group(1, ncclSystemError);
  run_thread_ranks(3, [](Communicator& world) {
    const auto communicator = with_nccl(world);
    Rank rank(*communicator);
    const char* expected = world.rank() == 1 ? "unhandled system error" : "remote process exited";
    EXPECT_TRUE(fails(ExitCode::environment, {"NCCL", expected}, [&] { rank.rows.start().wait(); }));
    EXPECT_TRUE(fails(ExitCode::environment, {"failed before"}, [&] { rank.rows.start(); }));
    world.barrier();
  });
}

TEST_F(NcclFaults, PollingFindsTheError) {
  emulated_nccl::fail_next_group(0, ncclInternalError);
  run_thread_ranks(2, [](Communicator& world) {
    const auto communicator = with_nccl(world);
    Rank rank(*communicator);
    EXPECT_TRUE(fails(ExitCode::environment, {"NCCL"}, [&] {
      for (Pending pending = rank.rows.start(); !pending.poll();) std::this_thread::yield();
    }));
    world.barrier();
  });
}

/// What the watchdog ends otherwise: the waiting rank is unwound in the middle of a transfer.
TEST_F(NcclFaults, ATransferThatTheOtherRankNeverStarts) {
  std::atomic<int> num_polls = 0;
  EXPECT_TRUE(fails(ExitCode::timeout, {"waited long enough"}, [&] {
    run_thread_ranks(2, [&](Communicator& world) {
      const auto communicator = with_nccl(world);
      Rank rank(*communicator);
      if (world.rank() == 0) {
        Pending first = rank.rows.start(), second = rank.rows.start(), third = rank.rows.start();
        for (; num_polls < 100; ++num_polls) EXPECT_FALSE(first.poll() || third.poll());
        fail(ExitCode::timeout, "waited long enough");
      }
      world.barrier();
    });
  }));
  EXPECT_EQ(num_polls, 100);
}

TEST_F(NcclFaults, LettingGoDoesNotWaitForARankThatFailed) {
  run_thread_ranks(2, [](Communicator& world) {
    auto communicator = with_nccl(world);
    Rank rank(*communicator);
    if (world.rank() == 0) {
      const Pending pending = rank.rows.start();
      world.barrier();
    } else {
      world.barrier();
      EXPECT_THROW(
          {
            const auto doomed = std::move(communicator);
            fail(ExitCode::input, "enough");
          },
          Error);
    }
    world.barrier();
  });
}

TEST_F(NcclFaults, UnequalCounts) {
  run_thread_ranks(2, [](Communicator& world) {
    const auto communicator = with_nccl(world);
    const Rank rank(*communicator);
    OwnedTensor rows({8, 4}, DType::f32, Device::cuda), received({8, 4}, DType::f32, Device::cuda);
    const std::vector<int64_t> three{3, 3}, two{2, 2};
    EXPECT_TRUE(fails(ExitCode::environment, {"NCCL"}, [&] {
      std::vector<int64_t> expected = three;
      expected[static_cast<size_t>(1 - world.rank())] = 2;
      communicator->start_all_to_all_v(rank.stream, rows.view(), three, received.view(), expected).wait();
    }));
    world.barrier();
  });
}

TEST_F(NcclFaults, ARankThatEndsLater) {
  run_thread_ranks(2, [](Communicator& world) {
    auto communicator = with_nccl(world, milliseconds(50));
    if (world.rank() == 0) communicator.reset();
    world.barrier();
  });
}

TEST_F(NcclFaults, AbortEndsAll) {
  EXPECT_TRUE(fails(ExitCode::timeout, {"rank 2 aborts"}, [] {
    run_thread_ranks(3, [](Communicator& world) {
      const auto communicator = with_nccl(world);
      Rank rank(*communicator);
      const Pending pending = rank.rows.start();
      if (world.rank() == 2) communicator->abort(76);
      world.barrier();
    });
  }));
}

TEST_F(NcclFaults, WaitingPollsTheHost) {
  run_thread_ranks(2, [](Communicator& world) {
    const auto communicator = with_nccl(world);
    Rank rank(*communicator);
    std::atomic<bool> polled = false;
    rank.stream.poll = [&] { polled = true; };
    if (world.rank() == 0) {
      Pending pending = rank.rows.start();
      pending.wait();
      EXPECT_TRUE(polled);
    } else {
      std::this_thread::sleep_for(milliseconds(5));
      rank.rows.start().wait();
    }
    rank.rows.verify();
  });
}

}  // namespace
}  // namespace switchyard::test
