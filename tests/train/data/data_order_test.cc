#include "train/data/data_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using Places = std::vector<RecordPlace>;

Places places(const DataOrder& order, int64_t first, int64_t count) {
  Places all;
  for (int64_t i = first; i < first + count; ++i) all.push_back(order.place(i));
  return all;
}

std::set<std::pair<int64_t, int64_t>> distinct(const Places& all) {
  std::set<std::pair<int64_t, int64_t>> set;
  for (const RecordPlace& place : all) set.emplace(place.dataset, place.record);
  return set;
}

TEST(DataOrder, AnEpochHasEachRecordOnceInAnOrderOfItsOwn) {
  const DataOrder order({.sizes = {5, 1, 17}, .step_records = 4, .seed = 1});
  std::vector<Places> epochs;
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    epochs.push_back(places(order, epoch * 23, 23));
    const auto all = distinct(epochs.back());
    EXPECT_EQ(all.size(), 23u);
    EXPECT_EQ(*all.rbegin(), (std::pair<int64_t, int64_t>{2, 16}));
    EXPECT_TRUE(all.contains({1, 0}) && all.contains({0, 4}));
    for (int64_t before = 0; before < epoch; ++before) EXPECT_NE(epochs[static_cast<size_t>(before)], epochs.back());
  }
  const DataOrder other({.sizes = {5, 1, 17}, .step_records = 4, .seed = 2});
  EXPECT_NE(places(other, 0, 23), epochs[0]);
}

// A run that goes on with another build must go on in the same order. (Computed by other software.)
TEST(DataOrder, StaysWhatItIs) {
  const DataOrder order({.sizes = {5, 1, 17}, .step_records = 4, .seed = 1});
  EXPECT_EQ(places(order, 0, 6), (Places{{2, 4}, {2, 15}, {2, 16}, {0, 1}, {2, 6}, {2, 13}}));
  EXPECT_EQ(places(order, 23, 4), (Places{{2, 6}, {2, 0}, {0, 0}, {2, 9}}));
}

TEST(DataOrder, InTheFilesOrderOneFollowsTheOther) {
  const DataOrder order({.sizes = {2, 3}, .step_records = 4, .order = RecordOrder::file, .seed = 9});
  EXPECT_EQ(order.records(1), (Places{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
  EXPECT_EQ(order.records(2), (Places{{1, 2}, {0, 0}, {0, 1}, {1, 0}}));
}

TEST(DataOrder, AStepByItselfIsWhatItIsInTheSequence) {
  for (const std::vector<double>& weights : {std::vector<double>(), std::vector<double>{3, 1, 0.5}}) {
    const DataOrder::Options options{.sizes = {50, 7, 21}, .weights = weights, .step_records = 6, .seed = 3};
    Places sequence;
    for (int64_t step = 1; step <= 60; ++step)
      std::ranges::copy(DataOrder(options).records(step), std::back_inserter(sequence));
    const DataOrder one(options);
    EXPECT_EQ(places(one, 0, 360), sequence);
    for (const int64_t step : {41, 2, 60, 1})
      EXPECT_EQ(one.records(step), Places(sequence.begin() + (step - 1) * 6, sequence.begin() + step * 6));
  }
}

TEST(DataOrder, WithWeightsEachFileHasItsShareOfEveryStepAndEpochsOfItsOwn) {
  const std::vector<double> weights = {7, 2, 1};
  const std::vector<int64_t> sizes = {30, 11, 200};
  const DataOrder order({.sizes = sizes, .weights = weights, .step_records = 3, .seed = 4});
  std::vector<std::vector<int64_t>> read(3);
  for (int64_t step = 1; step <= 300; ++step) {
    for (const RecordPlace& place : order.records(step))
      read[static_cast<size_t>(place.dataset)].push_back(place.record);
    for (size_t i = 0; i < 3; ++i)
      ASSERT_LT(std::abs(static_cast<double>(read[i].size()) - weights[i] / 10 * 3 * static_cast<double>(step)), 1);
  }
  for (size_t i = 0; i < 3; ++i) {
    std::set<std::vector<int64_t>> orders;
    for (auto at = read[i].begin(); read[i].end() - at >= sizes[i]; at += sizes[i]) {
      const std::vector<int64_t> epoch(at, at + sizes[i]);
      EXPECT_EQ(std::set(epoch.begin(), epoch.end()).size(), epoch.size());
      EXPECT_TRUE(orders.insert(epoch).second) << "an order for the second time";
    }
  }
}

TEST(DataOrder, EpochsAreSteps) {
  const DataOrder order({.sizes = {20, 3}, .step_records = 4});
  EXPECT_EQ(order.num_records(), 23);
  EXPECT_EQ(order.steps_in(1), 6);
  EXPECT_EQ(order.steps_in(3), 18);
  EXPECT_EQ(order.steps_in(4), 23);
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--epochs", "23 records"}, [&] { order.steps_in(INT64_MAX / 22); }));
}

}  // namespace
}  // namespace switchyard
