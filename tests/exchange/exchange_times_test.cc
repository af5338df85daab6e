// Where a rank's time goes when another one is slow: whoever computes does useful work, whoever waits for it waits.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "exchange/travel.h"
#include "tests/exchange/exchange_case.h"

namespace switchyard::test {
namespace {

constexpr int kRanks = 4, kSlow = 2;
constexpr std::chrono::milliseconds kSleep(600);
constexpr double kLong = 0.45, kShort = 0.25;  // seconds, of a machine that does other things too

/// A call in layer 1 of 2, by rank. before: of the call; experts: what they do beside their work.
template <class Before, class During>
std::vector<ExchangeTimes> times_of(const Before& before, const During& during) {
  std::vector<ExchangeTimes> times(kRanks);
  run_thread_ranks(kRanks, [&](Communicator& world) {
    ExchangeCase c;
    c.num_layers = 2;
    c.layer = 1;
    const auto scaling = scaling_experts(c.placement(c.num_experts, kRanks), world.rank());
    bool local = true;  // the first call has this rank's rows, the second the others'
    before(world.rank());
    const auto result = run_exchange(world, c, [&](const Stream& stream, ConstView x, const GroupedRows& rows, View y) {
      during(world.rank(), std::exchange(local, false));
      scaling(stream, x, rows, y);
    });
    times[static_cast<size_t>(world.rank())] = result.counters.times[1];
    EXPECT_EQ(result.counters.times[0].wait, 0);
  });
  return times;
}

TEST(ExchangeTimes, TheOthersWaitForALateRank) {
  const auto times = times_of(
      [](int rank) {
        if (rank == kSlow) std::this_thread::sleep_for(kSleep);
      },
      [](int, bool) {});
  for (int rank = 0; rank < kRanks; ++rank) {
    const ExchangeTimes& t = times[static_cast<size_t>(rank)];
    if (rank == kSlow) {
      EXPECT_LT(t.wait, kShort);
    } else {
      EXPECT_GT(t.wait, kLong) << rank;
    }
    EXPECT_LT(t.transfer, kShort) << rank;
    EXPECT_LT(t.useful, kShort) << rank;
  }
}

/// Be it for itself or for others: they wait for rows not sent yet, and nothing of it is transfer.
TEST(ExchangeTimes, SlowComputingIsUsefulWork) {
  for (const bool for_itself : {true, false}) {
    SCOPED_TRACE(for_itself);
    const auto times = times_of([](int) {},
                                [&](int rank, bool local) {
                                  if (rank == kSlow && local == for_itself) std::this_thread::sleep_for(kSleep);
                                });
    for (int rank = 0; rank < kRanks; ++rank) {
      const ExchangeTimes& t = times[static_cast<size_t>(rank)];
      EXPECT_EQ(t.useful > kLong, rank == kSlow) << rank << ": " << t.useful;
      EXPECT_EQ(t.wait > kLong, rank != kSlow) << rank << ": " << t.wait;
      EXPECT_LT(std::min(t.useful, t.wait), kShort) << rank;
      EXPECT_LT(t.transfer, kShort) << rank;
    }
  }
}

TEST(Meetings, WhatOthersWereBusyForIsWaitedForAndTheRestIsAJourney) {
  Meetings meetings;
  ExchangeTimes first, second;
  meetings.arrive();
  std::this_thread::sleep_for(kSleep / 10);
  meetings.met(std::vector<int32_t>{0, 0, 0}, first);  // whatever they say: they began when they liked
  EXPECT_GE(first.wait, 0.06);
  EXPECT_EQ(first.transfer, 0);

  std::this_thread::sleep_for(kSleep / 10);
  const int32_t busy = meetings.arrive();
  EXPECT_GE(busy, 60'000);
  std::this_thread::sleep_for(kSleep / 6);
  meetings.met(std::vector<int32_t>{busy, busy + 20'000, busy - 5'000}, second);
  EXPECT_NEAR(second.wait, 0.02, 1e-5);
  EXPECT_GE(second.transfer, 0.08);

  // What a flight waits for that was under way, nobody was busy for.
  std::this_thread::sleep_for(kSleep / 10);
  FlightClock flight = meetings.flight();
  std::this_thread::sleep_for(kSleep / 6);
  flight.waited(0, 0, second);
  EXPECT_LT(meetings.arrive(), 150'000);
}

}  // namespace
}  // namespace switchyard::test
