#include "comm/watched_communicator.h"

#include <gtest/gtest.h>

#include <map>

namespace switchyard {
namespace {

using Names = std::vector<std::pair<std::string, int64_t>>;

Names sequences(const Pulse& pulse) {
  Names all;
  for (const auto& [name, sequence] : pulse.read().communicators) all.emplace_back(name, sequence);
  return all;
}

TEST(PulseTest, LeavingOneCommunicatorLeavesNoOther) {
  Pulse pulse;
  const int a = pulse.add_communicator("a", {4, 2}), b = pulse.add_communicator("b", {2});
  EXPECT_EQ(pulse.read().waiting, -1);
  EXPECT_TRUE(pulse.read().waits_with.empty());
  pulse.arrive(a);
  pulse.wait(a);
  pulse.arrive(b);
  pulse.leave(b);
  EXPECT_EQ(pulse.read().waiting, a);
  EXPECT_EQ(pulse.read().waits_with, (std::vector<int>{4, 2}));
  pulse.wait(b);
  EXPECT_EQ(pulse.read().waits_with, std::vector<int>{2});
  pulse.leave(b);
  EXPECT_EQ(pulse.read().waiting, -1);
  EXPECT_EQ(sequences(pulse), (Names{{"a", 1}, {"b", 1}}));
}

TEST(PulseTest, HasRoomForAnyNumberOfCommunicators) {
  Pulse pulse;
  for (int i = 0; i < 1000; ++i) pulse.arrive(pulse.add_communicator(std::to_string(i), {i}));
  pulse.wait(999);
  EXPECT_EQ(pulse.read().communicators.size(), 1000u);
  EXPECT_EQ(pulse.read().waits_with, std::vector<int>{999});
}

TEST(WatchedCommunicatorTest, CountsOperationsOfEachCommunicator) {
  run_thread_ranks(4, [](Communicator& inner) {
    // The thread's own communicator outlives the watched one, which only borrows it here.
    Pulse pulse;
    const auto world = watch_communicator(inner.split(0, inner.rank()), pulse);
    world->barrier();
    const auto group = world->split(world->rank() / 2, world->rank());
    group->all_reduce_one(int64_t{1}, ReduceOp::sum);
    group->barrier();
    const auto other = world->split(world->rank() % 2, world->rank());
    const auto part = other->split(0, -other->rank());
    part->barrier();
    EXPECT_EQ(sequences(pulse), (Names{{"world", 3}, {"world/1", 2}, {"world/2", 1}, {"world/2/1", 1}}));
    EXPECT_EQ(pulse.read().waiting, -1);
  });
}

/// In any groups, ordered by any keys; and parts of parts.
TEST(WatchedCommunicatorTest, KnowsWhichRanksOfTheWorldItWaitsFor) {
  run_thread_ranks(6, [](Communicator& inner) {
    Pulse pulse;
    const auto world = watch_communicator(inner.split(0, inner.rank()), pulse);
    const auto third = world->split(world->rank() % 2, -world->rank());         // {4, 2, 0} and {5, 3, 1}
    const auto pair = third->split(third->rank() == 1 ? 1 : 0, third->rank());  // {4, 0}, {2}, {5, 1}, {3}
    const std::map<int, std::vector<int>> members = {{0, {4, 0}}, {1, {5, 1}}, {2, {2}},
                                                     {3, {3}},    {4, {4, 0}}, {5, {5, 1}}};
    const int rank = inner.rank();
    const auto transfer = [&](Communicator& group) {
      const std::vector<int64_t> none(static_cast<size_t>(group.size()));
      const View nothing{nullptr, {0}, DType::i32};
      return group.start_all_to_all_v({}, nothing, none, nothing, none);
    };
    // Ranks 0 and 1 come first and find that their partners have not come.
    if (rank >= 2) inner.barrier();
    Pending first = transfer(*third), second = transfer(*pair);
    if (rank < 2) {
      EXPECT_FALSE(first.poll());
      EXPECT_EQ(pulse.read().waits_with, (std::vector<int>{4 + rank, 2 + rank, rank}));
      EXPECT_FALSE(second.poll());
      EXPECT_EQ(pulse.read().waits_with, members.at(rank));
      inner.barrier();
    }
    first.wait();
    second.wait();
    EXPECT_EQ(pulse.read().waiting, -1);
    EXPECT_EQ(sequences(pulse), (Names{{"world", 1}, {"world/1", 2}, {"world/1/1", 1}}));
  });
}

}  // namespace
}  // namespace switchyard
