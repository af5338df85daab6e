#include <gtest/gtest.h>

#include <algorithm>

#include "comm/ordered_sum.h"
#include "tests/comm/checks.h"
#include "tests/comm/slice_parts.h"

namespace switchyard::test {
namespace {

/// Ranks' slices: as evenly as can be, all at one rank, or the first ranks one each and the next the rest.
std::vector<std::vector<SliceRange>> ways_to_share(int64_t slices, int64_t ranks) {
  std::vector<SliceRange> even, last, greedy;
  for (int64_t r = 0; r < ranks; ++r) {
    even.push_back({slices * r / ranks, slices * (r + 1) / ranks});
    last.push_back(r + 1 < ranks ? SliceRange{0, 0} : SliceRange{0, slices});
    const bool takes_the_rest = r + 1 == ranks || r == 2;
    greedy.push_back({r > 2 ? slices : std::min(r, slices), takes_the_rest ? slices : std::min(r + 1, slices)});
  }
  return {even, last, greedy};
}

/// Ranks' elements: in order of the ranks, backwards with gaps, and all for one rank.
std::vector<std::vector<ElementRange>> ways_to_want(int64_t elements, int64_t ranks) {
  std::vector<ElementRange> in_order, backwards, one;
  for (int64_t r = 0; r < ranks; ++r) {
    in_order.push_back({elements * r / ranks, elements * (r + 1) / ranks});
    const int64_t back = ranks - 1 - r;
    const int64_t first = elements * back / ranks;
    backwards.push_back({first, std::max(first, elements * (back + 1) / ranks - r % 3)});
    one.push_back(r == ranks / 2 ? ElementRange{1, elements} : ElementRange{});
  }
  return {in_order, backwards, one};
}

struct Nodes {
  std::vector<std::vector<float>> values;
  std::vector<View> views;

  Nodes(const SliceRange& slices, int64_t elements) {
    for (const SliceRange& node : tree_nodes(slices)) {
      std::vector<float>& sums = values.emplace_back();
      for (int64_t i = 0; i < elements; ++i) sums.push_back(node_sum(node, i));
    }
    for (std::vector<float>& sums : values) views.push_back({sums.data(), {elements}, DType::f32});
  }
};

void expect_sums(Communicator& world, int64_t slices, const std::vector<SliceRange>& slices_of_rank, int64_t elements,
                 const std::vector<ElementRange>& wanted, int64_t bytes_at_once) {
  const auto me = static_cast<size_t>(world.rank());
  const Nodes mine(slices_of_rank[me], elements);
  const ElementRange range = wanted[me];
  std::vector<float> out(static_cast<size_t>(range.count()) + 1, -7.0f);
  const size_t predicted = ordered_reduce_scatter_bytes(slices_of_rank, wanted, bytes_at_once);
  Arena arena(predicted);
  ThreadPool pool(2);
  Stream stream;
  stream.pool = &pool;
  ordered_reduce_scatter(stream, arena, world, slices_of_rank, mine.views, wanted, bytes_at_once,
                         {out.data(), {range.count()}, DType::f32});
  EXPECT_EQ(arena.mark(), 0u);
  EXPECT_LE(static_cast<int64_t>(arena.high_water()), std::max<int64_t>(bytes_at_once + 128, 4096));
  const auto used = static_cast<int64_t>(arena.high_water());
  EXPECT_EQ(world.all_reduce_one(used, ReduceOp::max), static_cast<int64_t>(predicted));
  for (int64_t i = 0; i < range.count(); ++i)
    EXPECT_EQ(out[static_cast<size_t>(i)], node_sum({0, slices}, range.first + i))
        << "element " << range.first + i << " of " << slices << " slices, rank " << world.rank();
  EXPECT_EQ(out.back(), -7.0f);
}

void every_rank_gets_the_sum_over_all_slices(Communicator& world) {
  for (const int64_t slices : {1, 2, 8, 32})
    for (const auto& slices_of_rank : ways_to_share(slices, world.size()))
      for (const auto& wanted : ways_to_want(41, world.size()))
        for (const int64_t bytes : {0, 3000, 1 << 20}) expect_sums(world, slices, slices_of_rank, 41, wanted, bytes);
}

void more_elements_than_a_task_has(Communicator& world) {
  const int64_t elements = 10'000;
  expect_sums(world, 8, ways_to_share(8, world.size())[0], elements, ways_to_want(elements, world.size())[1], 1 << 16);
}

void nobody_wants_anything(Communicator& world) {
  const std::vector<ElementRange> wanted(static_cast<size_t>(world.size()));
  expect_sums(world, 4, ways_to_share(4, world.size())[0], 5, wanted, 100);
}

}  // namespace

std::vector<Check> ordered_sum_checks() {
  return {{"every_rank_gets_the_sum_over_all_slices", every_rank_gets_the_sum_over_all_slices},
          {"more_elements_than_a_task_has", more_elements_than_a_task_has},
          {"nobody_wants_anything", nobody_wants_anything}};
}

}  // namespace switchyard::test
