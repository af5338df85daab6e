#include "comm/ordered_sum.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/comm/checks.h"
#include "tests/comm/slice_parts.h"

namespace switchyard::test {
namespace {

class ThreadOrderedSum : public testing::TestWithParam<std::tuple<int, Check>> {};

TEST_P(ThreadOrderedSum, Check) {
  const auto& [size, check] = GetParam();
  run_thread_ranks(size, [body = check.body](Communicator& world) { body(world); });
}

INSTANTIATE_TEST_SUITE_P(All, ThreadOrderedSum,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7), testing::ValuesIn(ordered_sum_checks())),
                         [](const auto& test) {
                           return std::get<1>(test.param).name + "_" + std::to_string(std::get<0>(test.param));
                         });

TEST(OrderedReduceScatter, SlicesThatMakeNoTreeAreAnInternalError) {
  EXPECT_THROW(run_thread_ranks(2,
                                [](Communicator& world) {
                                  const std::vector<SliceRange> slices = {{0, 2}, {2, 3}};
                                  const std::vector<ElementRange> wanted = {{0, 1}, {1, 2}};
                                  std::vector<float> values(2), out(1);
                                  const View node{values.data(), {2}, DType::f32};
                                  Arena arena(1000);
                                  ThreadPool pool(1);
                                  Stream stream;
                                  stream.pool = &pool;
                                  ordered_reduce_scatter(stream, arena, world, slices, {&node, 1}, wanted, 1000,
                                                         {out.data(), {1}, DType::f32});
                                }),
               Error);
}

constexpr int64_t kElements = 5000;  // two tasks

/// As a kernel does: the whole of each node of the piece.
void add_piece(const Stream& stream, NodeSums& sums, const SliceRange& piece) {
  const auto nodes = tree_nodes(piece);
  const auto buffers = sums.begin(piece);
  ASSERT_EQ(buffers.size(), nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    ASSERT_EQ(buffers[i].shape, Shape({kElements}));
    for (int64_t e = 0; e < kElements; ++e) buffers[i].as<float>()[e] = node_sum(nodes[i], e);
  }
  sums.commit(stream);
}

void expect_sums_of(const NodeSums& sums, const SliceRange& slices) {
  const auto nodes = tree_nodes(slices);
  ASSERT_EQ(std::vector(sums.nodes().begin(), sums.nodes().end()), nodes);
  ASSERT_EQ(sums.sums().size(), nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i)
    for (int64_t e = 0; e < kElements; e += 7)
      ASSERT_EQ(sums.sums()[i].as<float>()[e], node_sum(nodes[i], e)) << "node " << i << ", element " << e;
}

/// Pieces of 1, 2, …, of all slices at once, and of uneven sizes.
TEST(NodeSums, AreTheSameWhateverThePieces) {
  for (const int num_threads : {1, 3}) {
    ThreadPool pool(num_threads);
    Stream stream;
    stream.pool = &pool;
    for (const SliceRange slices : {SliceRange{0, 8}, SliceRange{3, 8}, SliceRange{1, 7}, SliceRange{6, 7}})
      for (int64_t size = 1; size <= 9; ++size) {
        NodeSums sums(kElements);
        int64_t at = slices.first;
        for (int64_t piece = 0; at < slices.end; ++piece) {
          const int64_t end = std::min(slices.end, at + (size < 9 ? size : 1 + piece % 3));
          add_piece(stream, sums, {at, end});
          at = end;
          expect_sums_of(sums, {slices.first, at});
        }
      }
  }
}

TEST(NodeSums, TheFirstNodeComesToLieWhereItIsWanted) {
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  std::vector<float> target(kElements);
  const View first{target.data(), {kElements}, DType::f32};
  NodeSums all(kElements, first);
  for (int64_t slice = 0; slice < 8; ++slice) add_piece(stream, all, {slice, slice + 1});
  expect_sums_of(all, {0, 8});
  EXPECT_EQ(all.sums()[0].data, target.data());
  NodeSums some(kElements, first);
  add_piece(stream, some, {3, 6});
  add_piece(stream, some, {6, 8});
  expect_sums_of(some, {3, 8});
  EXPECT_EQ(some.sums()[0].data, target.data());
}

TEST(NodeSums, APieceWithoutSlicesChangesNothing) {
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  NodeSums sums(kElements);
  add_piece(stream, sums, {2, 2});
  add_piece(stream, sums, {2, 5});
  add_piece(stream, sums, {5, 5});
  expect_sums_of(sums, {2, 5});
}

TEST(NodeSums, PiecesOutOfOrderAreInternalErrors) {
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  NodeSums sums(kElements);
  sums.begin({0, 2});
  EXPECT_THROW(sums.begin({2, 3}), Error);
  sums.commit(stream);
  EXPECT_THROW(sums.begin({3, 4}), Error);
}

/// The most buffers at one time over all pairs of what is there and a piece: any pieces can lead there.
TEST(NodeSums, BytesAreThoseOfTheWorstPieces) {
  const size_t each = allocation_bytes({kElements}, DType::f32, Device::cpu);
  for (int64_t first = 0; first < 20; ++first)
    for (int64_t end = first; end <= 40; ++end) {
      size_t most = 0;
      for (int64_t a = first; a < end; ++a)
        for (int64_t b = a + 1; b <= end; ++b)
          most = std::max(most, tree_nodes({first, a}).size() + tree_nodes({a, b}).size());
      EXPECT_EQ(NodeSums::bytes(kElements, {first, end}, false), most * each) << first << " … " << end;
      EXPECT_EQ(NodeSums::bytes(kElements, {first, end}, true), (most - (most > 0 ? 1 : 0)) * each);
    }
}

TEST(NodeSums, BuffersAreUsedAgain) {
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  NodeSums sums(kElements);
  std::vector<const void*> seen;
  for (int64_t slice = 0; slice < 16; ++slice) {
    const View buffer = sums.begin({slice, slice + 1})[0];
    if (std::ranges::find(seen, buffer.data) == seen.end()) seen.push_back(buffer.data);
    std::ranges::fill(buffer.span<float>(), 1.0f);
    sums.commit(stream);
  }
  EXPECT_EQ(seen.size(), 5u);  // of 8, 4, 2 and 1 slices, and the next one
}

}  // namespace
}  // namespace switchyard::test
