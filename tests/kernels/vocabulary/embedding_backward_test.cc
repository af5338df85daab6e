#include <gtest/gtest.h>

#include <cmath>

#include "kernels/vocabulary/embedding.h"
#include "reference/bounded.h"
#include "support/compare.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

using namespace test;

struct EmbeddingBackwardCase {
  int64_t vocab, dim;
  SliceRange slices;
  std::vector<int64_t> offsets;  // of the tokens of each slice
};

// Ids are drawn unevenly: some many times in every slice, some once, some never.
const EmbeddingBackwardCase kCases[] = {{40, 19, {0, 1}, {0, 30}},
                                        {300, 8, {0, 8}, {0, 50, 90, 90, 130, 131, 200, 280, 300}},
                                        {600, 33, {1, 7}, {0, 100, 100, 100, 250, 400, 777}},
                                        {5, 1, {2, 4}, {0, 0, 3}},
                                        {7, 130, {0, 4}, {0, 0, 0, 0, 0}}};

struct EmbeddingBackwardBatch {
  const EmbeddingBackwardCase& c;
  Tensor ids, dy;
  explicit EmbeddingBackwardBatch(const EmbeddingBackwardCase& batch)
      : c(batch), ids({c.offsets.back()}, DType::i32), dy(random_tensor({c.offsets.back(), c.dim}, DType::f32, 2)) {
    for (int64_t t = 0; t < ids.size(); ++t) {
      const float u = random_uniform(1, static_cast<uint64_t>(t));
      ids.data<int32_t>()[t] = static_cast<int32_t>(u * u * u * static_cast<float>(c.vocab));
    }
  }
  /// Of slices [first, end), a tensor a node.
  std::vector<Tensor> backward(const Stream& stream, const SliceRange& slices, int64_t first_id, int64_t num_ids,
                               bool squared = false) const {
    const auto begin = c.offsets.begin() + (slices.first - c.slices.first);
    std::vector<int64_t> offsets(begin, begin + slices.count() + 1);
    const int64_t first = offsets[0], count = offsets.back() - first;
    for (int64_t& offset : offsets) offset -= first;
    std::vector<Tensor> results;
    std::vector<View> views;
    for (size_t j = 0; j < tree_nodes(slices).size(); ++j) {
      results.push_back(poisoned({num_ids, c.dim}, DType::f32));
      views.push_back(results.back());
    }
    embedding_backward(stream, ids.view().slice(first, count), dy.view().slice(first, count),
                       {slices, offsets, squared}, first_id, views);
    return results;
  }
  std::vector<Tensor> backward(const Stream& stream) const { return backward(stream, c.slices, 0, c.vocab); }
};

Tensor sum_of(const Tensor& a, const Tensor& b) {
  Tensor sum(a.view().shape, DType::f32);
  for (int64_t i = 0; i < a.size(); ++i) sum.data<float>()[i] = a.data<float>()[i] + b.data<float>()[i];
  return sum;
}

TEST(EmbeddingBackward, AgreesWithDoublePrecision) {
  for (const EmbeddingBackwardCase& c : kCases) {
    const EmbeddingBackwardBatch batch(c);
    const std::vector<Tensor> got = batch.backward(CpuStream());
    const std::vector<SliceRange> nodes = tree_nodes(c.slices);
    for (size_t j = 0; j < nodes.size(); ++j) {
      std::vector<reference::Bounded> want(static_cast<size_t>(c.vocab * c.dim), reference::Bounded{0, 0});
      const auto offset = [&](int64_t slice) { return c.offsets[static_cast<size_t>(slice - c.slices.first)]; };
      const int64_t first = offset(nodes[j].first), end = offset(nodes[j].end);
      for (int64_t t = first; t < end; ++t)
        for (int64_t i = 0; i < c.dim; ++i) {
          const double value = batch.dy.at(t * c.dim + i);
          auto& sum = want[static_cast<size_t>(batch.ids.data<int32_t>()[t] * c.dim + i)];
          sum = {sum.value + value,
                 sum.bound + static_cast<double>(end - first) * reference::kEpsilon * std::abs(value)};
        }
      EXPECT_TRUE(close(got[j], want)) << c.vocab << " ids, node " << j;
    }
  }
}

// A slice's tokens are one chain, as is seen by adding them up one by one.
TEST(EmbeddingBackward, ASlicesTokensAreAddedInOrder) {
  const EmbeddingBackwardBatch batch(kCases[0]);
  Tensor want({40, 19}, DType::f32);
  for (int64_t t = 0; t < 30; ++t)
    for (int64_t i = 0; i < 19; ++i)
      want.data<float>()[batch.ids.data<int32_t>()[t] * 19 + i] += batch.dy.data<float>()[t * 19 + i];
  EXPECT_TRUE(same_bits(batch.backward(CpuStream())[0], want));
}

// What each slice gives alone, added up by hand, is what the nodes give: eight slices, four, two.
TEST(EmbeddingBackward, NodesAreTheSumsOfTheirSlices) {
  const EmbeddingBackwardBatch batch(kCases[1]);
  std::vector<Tensor> level;
  for (int64_t s = 0; s < 8; ++s) level.push_back(std::move(batch.backward(CpuStream(), {s, s + 1}, 0, 300)[0]));
  for (int64_t size = 2; size <= 8; size *= 2) {
    std::vector<Tensor> above;
    for (size_t j = 0; j < level.size(); j += 2) above.push_back(sum_of(level[j], level[j + 1]));
    for (int64_t s = 0; s < 8; s += size)
      EXPECT_TRUE(
          same_bits(batch.backward(CpuStream(), {s, s + size}, 0, 300)[0], above[static_cast<size_t>(s / size)]))
          << size << " slices from " << s;
    level = std::move(above);
  }
}

TEST(EmbeddingBackward, SquaresAreThoseOfTheSlices) {
  const EmbeddingBackwardBatch batch(kCases[2]);
  const std::vector<Tensor> got = batch.backward(CpuStream(), batch.c.slices, 0, 600, true);
  std::vector<Tensor> squares;
  for (int64_t s = 1; s < 7; ++s) {
    squares.push_back(std::move(batch.backward(CpuStream(), {s, s + 1}, 0, 600)[0]));
    for (float& x : squares.back().view().span<float>()) x *= x;
  }
  // Nodes {1}, {2, 3}, {4, 5}, {6}.
  EXPECT_TRUE(same_bits(got[0], squares[0]));
  EXPECT_TRUE(same_bits(got[1], sum_of(squares[1], squares[2])));
  EXPECT_TRUE(same_bits(got[2], sum_of(squares[3], squares[4])));
  EXPECT_TRUE(same_bits(got[3], squares[5]));
}

TEST(EmbeddingBackward, BitsDependNeitherOnThreadsNorOnTheRangeOfIds) {
  for (const EmbeddingBackwardCase& c : kCases) {
    const EmbeddingBackwardBatch batch(c);
    const std::vector<Tensor> all = batch.backward(CpuStream(1)), again = batch.backward(CpuStream(3));
    for (size_t j = 0; j < all.size(); ++j) EXPECT_TRUE(same_bits(again[j], all[j]));
    for (int64_t first = 0; first < c.vocab; first += 37) {
      const int64_t count = std::min<int64_t>(37, c.vocab - first);
      const std::vector<Tensor> some = batch.backward(CpuStream(2), c.slices, first, count);
      for (size_t j = 0; j < all.size(); ++j)
        for (int64_t id = 0; id < count; ++id) ASSERT_TRUE(same_row_bits(some[j], id, all[j], first + id));
    }
  }
}

// Nowhere is a −0, which one that adds a zero would have turned into a zero.
TEST(EmbeddingBackward, NothingIsMinusZero) {
  const EmbeddingBackwardBatch batch(kCases[1]);
  for (int64_t i = 0; i < batch.dy.size(); ++i) batch.dy.set(i, -0.0f);
  const Tensor got = std::move(batch.backward(CpuStream())[0]);
  for (int64_t i = 0; i < got.size(); ++i) ASSERT_FALSE(std::signbit(got.data<float>()[i])) << i;
}

TEST(EmbeddingBackward, OfNoSlicesIsNone) {
  const std::vector<int64_t> offsets{0};
  EXPECT_NO_THROW(
      embedding_backward(CpuStream(), i32_tensor({}), Tensor({0, 4}, DType::f32), {{5, 5}, offsets}, 0, {}));
}

TEST(EmbeddingBackward, WhatDoesNotFitIsRefused) {
  const std::vector<int64_t> offsets{0, 1, 2, 3};
  const Tensor dy({3, 4}, DType::f32), table({10, 4}, DType::f32), narrow({10, 3}, DType::f32);
  const auto refused = [&](std::string_view part, const SliceRange& slices, const std::vector<View>& dtable) {
    return fails(ExitCode::internal, {part}, [&] {
      embedding_backward(CpuStream(), i32_tensor({1, 2, 3}), dy, {slices, offsets}, 0, dtable);
    });
  };
  EXPECT_FALSE(refused("", {1, 4}, {table, table}));
  EXPECT_TRUE(refused("1 results for 2 nodes", {1, 4}, {table}));
  EXPECT_TRUE(refused("[10, 3]", {1, 4}, {table, narrow}));
  EXPECT_TRUE(refused("3 groups", {0, 1}, {table}));
}

}  // namespace
}  // namespace switchyard
