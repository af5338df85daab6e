#include "plan/price_list.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "exchange/travel.h"

namespace switchyard::test {
namespace {

Work pass(double bytes) {
  return {.name = "cast", .amount = bytes, .size = {bytes}};
}

/// A gigabyte a second, whatever the size; between two ranks a tenth of that, and a millisecond a flight.
Profile profile() {
  Profile profile;
  profile.machine.device = "cpu";
  LayoutRates layout{1, 2, 4};
  LayoutRates between{2, 2, 4};
  for (const double bytes : {1e3, 1e6, 1e9, 1e10}) {
    layout.rates.add(pass(bytes), bytes / 1e9);
    layout.rates.add(work_of_travel(bytes, 2), 1e-3 + bytes / 1e8);
    between.rates.add(work_of_travel(bytes, 4), 1e-2 + bytes / 1e7);
  }
  profile.layouts = {layout, between};
  return profile;
}

TEST(PriceList, RanksMeetInEveryExchange) {
  const Profile of_machine = profile();
  PriceList prices(of_machine, {.ranks_on_host = 2, .threads = 4});
  const WorkLog slow = {{pass(3e9)}, {work_of_travel(1e6, 2)}, {pass(1e9)}};
  const WorkLog fast = {{pass(1e9)}, {work_of_travel(1e6, 2)}, {pass(2e9)}};
  const StepSeconds step = prices.seconds_of_step(std::vector{slow, fast});
  EXPECT_NEAR(step.exchange, 1e-3 + 1e-2, 2e-3);
  EXPECT_NEAR(step.useful, 3.5, 1e-3);
  EXPECT_NEAR(step.all, 3 + 2 + step.exchange, 1e-3);
  EXPECT_TRUE(prices.notes().empty());
}

TEST(PriceList, SaysWhatItHasNotSeen) {
  const Profile of_machine = profile();
  PriceList prices(of_machine, {.ranks_on_host = 4, .threads = 2});
  EXPECT_NEAR(prices.seconds_of(pass(1e6)), 2e-3, 1e-5);  // half as many threads
  EXPECT_EQ(prices.seconds_of({.name = "gemm", .amount = 1e9, .size = {1, 1, 1}}), 0);
  prices.seconds_of(pass(1e12));
  const std::vector<std::string> notes = prices.notes();
  const auto says = [&](const std::string& words) {
    return std::ranges::any_of(notes, [&](const std::string& note) { return note.find(words) != std::string::npos; });
  };
  EXPECT_TRUE(says("4 ranks a node × 2 threads, from 2 × 4"));
  EXPECT_TRUE(says("cast (100 times"));
  EXPECT_TRUE(says("gemm in f32"));
}

TEST(PriceList, MoreThreadsAreNothingToFilesAndGpus) {
  Profile of_machine = profile();
  const Work file{.name = "commit", .amount = 1e6, .size = {1e6}};
  of_machine.layouts.front().rates.add(file, 0.5);
  PriceList more(of_machine, {.ranks_on_host = 2, .threads = 8});
  EXPECT_NEAR(more.seconds_of(file), 0.5, 1e-6);
  EXPECT_NEAR(more.seconds_of(pass(1e6)), 0.5e-3, 1e-5);
  of_machine.machine.device = "a GPU";
  EXPECT_NEAR(PriceList(of_machine, {.ranks_on_host = 2, .threads = 8}).seconds_of(pass(1e6)), 1e-3, 1e-5);
}

TEST(PriceList, WhatTheWorldDoesIsTakenFromWhereItsHostsAre) {
  Profile of_machine = profile();
  const auto sums = [](double ranks) { return Work{.name = "sums_of_gradients", .amount = 1e6, .size = {1e6, ranks}}; };
  of_machine.layouts[0].rates.add(sums(1), 1);
  of_machine.layouts[0].rates.add(sums(2), 2);
  of_machine.layouts[1].rates.add(sums(4), 9);
  const auto seconds = [&](double ranks, int hosts) {
    return PriceList(of_machine, {.ranks_on_host = 2, .threads = 4, .hosts_of_world = hosts}).seconds_of(sums(ranks));
  };
  EXPECT_NEAR(seconds(1, 1), 1, 0.1);
  EXPECT_NEAR(seconds(2, 1), 2, 0.1);
  EXPECT_NEAR(seconds(4, 2), 9, 0.1);
  EXPECT_NEAR(seconds(8, 4), 9, 0.1);
}

TEST(PriceList, LargerGroupsSendMoreMessages) {
  const Profile of_machine = profile();
  PriceList prices(of_machine, {.ranks_on_host = 2, .threads = 4, .hosts_of_group = 4});
  const double four =
      PriceList(of_machine, {.ranks_on_host = 2, .threads = 4, .hosts_of_group = 2}).seconds_of(work_of_travel(1e6, 4));
  EXPECT_NEAR(four, 1e-2 + 1e-1, 2e-2);
  // Three quarters of the bytes cross in place of a half; each further rank is a message more.
  const double eight = prices.seconds_of(work_of_travel(1e6, 8));
  EXPECT_GT(eight, 1.4 * four);
  EXPECT_LT(eight, 2.5 * four);
  PriceList alone(of_machine, {.ranks_on_host = 2, .threads = 4});
  EXPECT_EQ(alone.seconds_of(work_of_travel(0, 1)), 0);
}

}  // namespace
}  // namespace switchyard::test
