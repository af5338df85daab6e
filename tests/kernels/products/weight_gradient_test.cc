#include "kernels/products/weight_gradient.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>
#include <numeric>

#include "base/device.h"
#include "kernels/cpu_isa.h"
#include "reference/weight_gradient.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

/// Rows of groups and slices, with numbers for their operands.
struct Problem {
  DType operand;
  int64_t n, k;
  SliceRange slices;
  std::vector<int64_t> counts;  ///< [groups · slices]
  std::vector<int64_t> offsets{0};
  Tensor dy, x;
  bool squared = false;
  std::vector<ElementBits> wanted = {};

  Problem(DType dtype, int64_t n_, int64_t k_, const SliceRange& range, const std::vector<int64_t>& rows)
      : operand(dtype), n(n_), k(k_), slices(range), counts(rows), dy({sum(), n}, dtype), x({sum(), k}, dtype) {
    for (const int64_t count : counts) offsets.push_back(offsets.back() + count);
    dy = random_tensor({sum(), n}, dtype, 1);
    x = random_tensor({sum(), k}, dtype, 2);
  }

  int64_t sum() const { return std::accumulate(counts.begin(), counts.end(), int64_t{0}); }
  int64_t num_groups() const { return std::ssize(counts) / slices.count(); }
  int64_t num_nodes() const { return std::ssize(tree_nodes(slices)); }
  SlicedRows rows() const { return {slices, offsets, squared}; }
  /// Where a slice of a group begins.
  int64_t offset(int64_t group, int64_t slice) const {
    return offsets[static_cast<size_t>(group * slices.count() + slice - slices.first)];
  }
  bool has_rows(int64_t group) const { return offset(group, slices.first) < offset(group, slices.end); }

  /// [groups · nodes · n, k], one result behind the other; NaN where nothing was written.
  Tensor gradient(int num_threads = 2) const { return gradient(num_threads, dy, x); }
  Tensor gradient(int num_threads, const ListedRows& dy_rows, const ListedRows& x_rows) const {
    const CpuStream stream(num_threads);
    Tensor results({num_groups() * num_nodes() * n, k}, DType::f32);
    for (int64_t i = 0; i < results.size(); ++i) results.set(i, std::numeric_limits<float>::quiet_NaN());
    std::vector<View> out;
    for (int64_t i = 0; i < num_groups() * num_nodes(); ++i)
      out.push_back(has_rows(i / num_nodes()) ? results.view().slice(i * n, n) : View{});
    weight_gradient(stream, dy_rows, x_rows, rows(), wanted, out);
    return results;
  }

  /// The same, as it is defined.
  Tensor defined() const {
    Tensor results({num_groups() * num_nodes() * n, k}, DType::f32);
    const std::vector<SliceRange> nodes = tree_nodes(slices);
    for (int64_t row = 0; row < results.view().rows(); ++row)
      for (int64_t j = 0; j < k; ++j) {
        const int64_t result = row / n, group = result / num_nodes(), i = row % n;
        const float value = reference::sum_up_the_tree([&](int64_t r) { return static_cast<float>(dy.at(r * n + i)); },
                                                       [&](int64_t r) { return static_cast<float>(x.at(r * k + j)); },
                                                       [&](int64_t slice) { return offset(group, slice); },
                                                       nodes[static_cast<size_t>(result % num_nodes())], squared);
        results.set(row * k + j, has_rows(group) ? value : std::numeric_limits<float>::quiet_NaN());
      }
    return results;
  }
};

struct WeightGradientCase {
  const char* name;
  int64_t n, k;
  SliceRange slices;
  std::vector<int64_t> counts;
};

std::ostream& operator<<(std::ostream& os, const WeightGradientCase& c) {
  return os << c.name;
}

const WeightGradientCase kCases[] = {
    {"one_element", 1, 1, {0, 1}, {1}},
    {"one_slice", 13, 33, {0, 1}, {5, 0, 70}},
    {"two_slices", 24, 64, {0, 2}, {3, 0, 0, 9, 0, 0, 4, 4}},
    {"eight_uneven_slices", 25, 31, {0, 8}, {1, 9, 0, 3, 0, 0, 7, 2, 0, 0, 0, 0, 5, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 6}},
    {"slices_three_to_eight", 12, 32, {3, 8}, {2, 0, 3, 0, 1, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0}},
    {"slices_one_to_seven", 5, 17, {1, 7}, {2, 1, 3, 4, 1, 2}},
    {"several_blocks", 300, 290, {0, 2}, {2, 3}},
    {"more_rows_than_are_packed_at_once", 26, 40, {0, 4}, {700, 3, 0, 900, 20, 1, 2, 3}},
    {"a_slice_ends_where_a_pack_does", 3, 5, {2, 8}, {512, 0, 512, 0, 0, 0}},
};

class WeightGradientTest : public testing::TestWithParam<std::tuple<DType, WeightGradientCase>> {
 protected:
  static Problem problem() {
    const auto& [operand, c] = GetParam();
    return {operand, c.n, c.k, c.slices, c.counts};
  }
};

TEST_P(WeightGradientTest, AgreesWithDoublePrecision) {
  const Problem p = problem();
  const Tensor gradient = p.gradient();
  const std::vector<SliceRange> nodes = tree_nodes(p.slices);
  for (int64_t result = 0; result < p.num_groups() * p.num_nodes(); ++result) {
    const int64_t group = result / p.num_nodes();
    if (!p.has_rows(group)) continue;
    Tensor got({p.n, p.k}, DType::f32);
    std::copy_n(gradient.data<float>() + result * got.size(), got.size(), got.data<float>());
    const SliceRange& node = nodes[static_cast<size_t>(result % p.num_nodes())];
    EXPECT_TRUE(close(
        got, reference::weight_gradient(p.dy, p.x, p.n, p.k, p.offset(group, node.first), p.offset(group, node.end))))
        << "group " << group << ", slices from " << node.first;
  }
}

// Whatever the threads, and with them the blocks.
TEST_P(WeightGradientTest, BitsAreThoseOfTheDefinition) {
  Problem p = problem();
  for (const bool squared : {false, true}) {
    p.squared = squared;
    const Tensor defined = p.defined();
    for (const int num_threads : {1, 2, 3, 16})
      EXPECT_TRUE(same_bits(p.gradient(num_threads), defined)) << num_threads << (p.squared ? ", squared" : "");
  }
}

TEST_P(WeightGradientTest, WhereRowsLieChangesNothing) {
  const Problem p = problem();
  const CpuStream stream;
  const int64_t num_rows = p.sum();
  const Tensor dy({num_rows + 2, p.n}, p.operand), x({num_rows, p.k}, p.operand);
  std::vector<int32_t> dy_row, x_row;
  for (int64_t i = 0; i < num_rows; ++i) {
    dy_row.push_back(static_cast<int32_t>(num_rows + 1 - i));
    x_row.push_back(static_cast<int32_t>((i + num_rows / 3) % num_rows));
    copy(stream, p.dy.view().slice(i, 1), dy.view().slice(dy_row.back(), 1));
    copy(stream, p.x.view().slice(i, 1), x.view().slice(x_row.back(), 1));
  }
  const Tensor plain = p.gradient();
  EXPECT_TRUE(same_bits(p.gradient(2, {dy, dy_row}, {x, x_row}), plain));
  EXPECT_TRUE(same_bits(p.gradient(2, p.dy, {x, x_row}), plain));
}

// What is wanted is as it is beside everything else; of what is not, not all is there.
TEST_P(WeightGradientTest, WantedElementsAreThoseOfAll) {
  Problem p = problem();
  const Tensor all = p.gradient();
  const int64_t elements = p.n * p.k;
  std::vector<uint64_t> words(static_cast<size_t>((elements + 70) / 64 + 1));
  const auto has = [&](int64_t i) { return (words[static_cast<size_t>((i + 5) / 64)] >> ((i + 5) % 64) & 1) != 0; };
  for (int64_t i = 0; i < elements; ++i)
    if (random_bits(9, static_cast<uint64_t>(i)) % 400 == 0)
      words[static_cast<size_t>((i + 5) / 64)] |= uint64_t{1} << ((i + 5) % 64);
  p.wanted.assign(static_cast<size_t>(p.num_groups()), {words.data(), 5});
  const Tensor some = p.gradient();
  int64_t missing = 0;
  for (int64_t i = 0; i < all.size(); ++i) {
    const bool is_there =
        std::bit_cast<uint32_t>(some.data<float>()[i]) == std::bit_cast<uint32_t>(all.data<float>()[i]);
    if (has(i % elements)) {
      ASSERT_TRUE(is_there) << i;
    }
    missing += is_there ? 0 : 1;
  }
  if (elements > 10'000) {
    EXPECT_GT(missing, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, WeightGradientTest,
                         testing::Combine(testing::Values(DType::f32, DType::bf16), testing::ValuesIn(kCases)),
                         [](const auto& param) {
                           return std::string(switchyard::name_of(std::get<0>(param.param))) + "_" +
                                  std::get<1>(param.param).name;
                         });

// Of each group others.
void expect_lists(Problem p) {
  const Tensor all = p.gradient();
  const int64_t elements = p.n * p.k, bits = p.num_groups() * elements + 5;
  std::vector<uint64_t> words(static_cast<size_t>((bits + 63) / 64));
  std::vector<int64_t> counts;
  int64_t count = 0;
  for (int64_t bit = 0; bit <= bits; ++bit) {
    if (bit % ElementBits::kCounted == 0) counts.push_back(count);
    if (bit == bits || random_bits(9, static_cast<uint64_t>(bit)) % 7 != 0) continue;
    words[static_cast<size_t>(bit / 64)] |= uint64_t{1} << (bit % 64);
    ++count;
  }
  for (int64_t group = 0; group < p.num_groups(); ++group)
    p.wanted.push_back({words.data(), 5 + group * elements, counts.data()});
  for (const int num_threads : {1, 3}) {
    const Tensor lists = poisoned({count}, DType::f32);
    std::vector<View> out;
    for (const ElementBits& of_group : p.wanted)
      out.push_back(lists.view().slice(of_group.before(0), of_group.before(elements) - of_group.before(0)));
    weight_gradient(CpuStream(num_threads), p.dy, p.x, p.rows(), p.wanted, out);
    for (int64_t group = 0; group < p.num_groups(); ++group) {
      const float* next = out[static_cast<size_t>(group)].as<float>();
      p.wanted[static_cast<size_t>(group)].for_each(0, elements, [&](int64_t i) {
        const float expected = p.has_rows(group) ? all.data<float>()[group * elements + i] : 0;
        ASSERT_EQ(std::bit_cast<uint32_t>(*next++), std::bit_cast<uint32_t>(expected)) << group << ", " << i;
      });
    }
  }
}

TEST(WeightGradient, AListHasWhatIsWantedInOrder) {
  for (const WeightGradientCase& c : kCases) {
    if (tree_nodes(c.slices).size() != 1) continue;
    SCOPED_TRACE(c.name);
    for (const DType operand : {DType::f32, DType::bf16}) expect_lists({operand, c.n, c.k, c.slices, c.counts});
  }
}

// Of a group without rows, among others and alone.
TEST(WeightGradient, OfNoRowsIsZero) {
  for (const std::vector<int64_t>& offsets : {std::vector<int64_t>{0, 0, 0, 0}, {0, 0, 0, 0, 2, 2, 5}}) {
    const SlicedRows rows{{1, 4}, offsets};  // of two nodes
    const Tensor dy = random_tensor({offsets.back(), 7}, DType::f32, 1),
                 x = random_tensor({offsets.back(), 40}, DType::f32, 2);
    const Tensor sums = poisoned({rows.num_groups() * 2 * 7, 40}, DType::f32);
    std::vector<View> out;
    for (int64_t i = 0; i < rows.num_groups() * 2; ++i) out.push_back(sums.view().slice(i * 7, 7));
    weight_gradient(CpuStream(), dy, x, rows, {}, out);
    Tensor first({14, 40}, DType::f32);
    copy(CpuStream(), sums.view().slice(0, 14), first.view());
    EXPECT_TRUE(same_bits(first, Tensor({14, 40}, DType::f32)));
  }
}

// Any run of slices, most of them without rows.
TEST(WeightGradient, BitsAreThoseOfTheDefinitionWhicheverSlicesHaveRows) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const auto first = static_cast<int64_t>(random_bits(seed, 0) % 20),
               count = 1 + static_cast<int64_t>(random_bits(seed, 1) % 40);
    std::vector<int64_t> counts;
    for (uint64_t i = 0; i < 2 * static_cast<uint64_t>(count); ++i)
      counts.push_back(random_bits(seed, 2 + i) % 3 == 0 ? static_cast<int64_t>(random_bits(seed, 200 + i) % 4) : 0);
    const Problem p(DType::f32, 2, 3, {first, first + count}, counts);
    EXPECT_TRUE(same_bits(p.gradient(), p.defined())) << "slices from " << first << ", " << count << " of them";
  }
}

// So large that they are written past the caches, where they are aligned for it, or not.
TEST(WeightGradient, LargeResultsHaveTheSameBits) {
  for (const int64_t k : {1504, 1503}) {
    const Problem p(DType::f32, 1501, k, {0, 2}, {2, 1});
    EXPECT_TRUE(same_bits(p.gradient(), p.defined())) << k;
  }
}

constexpr int64_t kN = 14, kK = 37;

/// A group's sum over slices [0, 8) from the results of two ranges.
Tensor merged(const Problem& a, const Problem& b) {
  struct Node {
    SliceRange slices;
    std::vector<float> sum;
  };
  std::vector<Node> nodes;
  for (const Problem* part : {&a, &b}) {
    const Tensor gradient = part->gradient();
    const float* next = gradient.data<float>();
    for (const SliceRange& slices : tree_nodes(part->slices)) {
      nodes.push_back({slices, {next, next + kN * kK}});
      next += kN * kK;
      for (size_t i = nodes.size(); i > 1 && are_halves(nodes[i - 2].slices, nodes[i - 1].slices); --i) {
        for (size_t e = 0; e < nodes[i - 2].sum.size(); ++e) nodes[i - 2].sum[e] += nodes[i - 1].sum[e];
        nodes[i - 2].slices.end = nodes[i - 1].slices.end;
        nodes.pop_back();
      }
    }
  }
  EXPECT_EQ(nodes.size(), 1u);
  Tensor sum({kN, kK}, DType::f32);
  std::copy(nodes[0].sum.begin(), nodes[0].sum.end(), sum.data<float>());
  return sum;
}

TEST(WeightGradient, NodesOfRangesAddUpToTheWhole) {
  const std::vector<int64_t> counts{3, 0, 5, 2, 0, 0, 4, 1};
  const Problem whole(DType::f32, kN, kK, {0, 8}, counts);
  for (int64_t cut = 1; cut < 8; ++cut) {
    const auto part = [&](int64_t first, int64_t end) {
      Problem p(DType::f32, kN, kK, {first, end}, {counts.begin() + first, counts.begin() + end});
      std::copy_n(whole.dy.data<float>() + whole.offset(0, first) * kN, p.dy.size(), p.dy.data<float>());
      std::copy_n(whole.x.data<float>() + whole.offset(0, first) * kK, p.x.size(), p.x.data<float>());
      return p;
    };
    EXPECT_TRUE(same_bits(merged(part(0, cut), part(cut, 8)), whole.gradient())) << "[0, " << cut << ")";
  }
}

TEST(WeightGradient, AGroupsBitsDoNotDependOnOthers) {
  Problem two(DType::f32, kN, kK, {0, 2}, {4, 3, 5, 6});
  const Problem one(DType::f32, kN, kK, {0, 2}, {4, 3});
  two.dy.set(8 * kN, INFINITY);
  const Tensor both = two.gradient(), alone = one.gradient();
  for (int64_t row = 0; row < kN; ++row) EXPECT_TRUE(same_row_bits(both, row, alone, row));
}

// Products that are −0, or so small that they are rounded to it: a part is +0 then, as if there were no row.
TEST(WeightGradient, IsNeverMinusZero) {
  Problem p(DType::f32, 2, 3, {0, 4}, {2, 1, 0, 1});
  for (const float dy : {-0.0f, 0.0f, -1e-30f, -0x1p-149f})
    for (const float x : {0.0f, 1e-30f, 0x1p-149f}) {
      for (int64_t i = 0; i < p.dy.size(); ++i) p.dy.set(i, dy);
      for (int64_t i = 0; i < p.x.size(); ++i) p.x.set(i, x);
      EXPECT_TRUE(same_bits(p.gradient(), Tensor({2, 3}, DType::f32))) << dy << " times " << x;
    }
}

TEST(WeightGradient, KeepsSubnormalNumbers) {
  Problem p(DType::f32, 1, 1, {0, 2}, {1, 1});
  for (int64_t r = 0; r < 2; ++r) {
    p.dy.set(r, 0x1p-100f);
    p.x.set(r, 0x1p-40f);
  }
  EXPECT_EQ(p.gradient().data<float>()[0], 0x1p-139f);
}

// An operand, and a sum.
TEST(WeightGradient, NativeProductsTakeSubnormalNumbersForZeros) {
  for (const auto& [dy, x] : {std::pair{0x1p-130f, 1.0f}, {0x1p-100f, 0x1p-40f}}) {
    Problem p(DType::bf16, 1, 1, {0, 1}, {1});
    p.dy.set(0, dy);
    p.x.set(0, x);
    EXPECT_EQ(p.gradient().data<float>()[0], has_native_bf16() ? 0 : dy * x);
  }
}

TEST(WeightGradient, KeepsWhatIsNotFinite) {
  for (const DType operand : {DType::f32, DType::bf16}) {
    Problem p(operand, kN, kK, {0, 2}, {3, 2});
    const Tensor before = p.gradient();
    p.dy.set(1 * kN + 5, std::numeric_limits<float>::quiet_NaN());
    p.x.set(4 * kK + 7, -INFINITY);
    const Tensor after = p.gradient();
    for (int64_t i = 0; i < kN; ++i)
      for (int64_t j = 0; j < kK; ++j) {
        const double got = after.at(i * kK + j);
        if (i == 5)
          EXPECT_TRUE(std::isnan(got)) << i << ", " << j;
        else if (j == 7)
          EXPECT_EQ(got, p.dy.at(4 * kN + i) < 0 ? INFINITY : -INFINITY) << i << ", " << j;
        else
          EXPECT_EQ(got, before.at(i * kK + j)) << i << ", " << j;
      }
  }
}

}  // namespace
}  // namespace switchyard
