#include "kernels/attention.h"

#include <gtest/gtest.h>

#include "reference/attention.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

struct AttentionCase {
  DType output;
  int64_t heads, kv_heads, head_dim;
  std::vector<int64_t> lengths;
};

std::ostream& operator<<(std::ostream& os, const AttentionCase& c) {
  os << name_of(c.output) << "_" << c.heads << "_" << c.kv_heads << "x" << c.head_dim << "_of";
  for (const int64_t n : c.lengths) os << "_" << n;
  return os;
}

std::vector<int64_t> offsets_of(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> offsets{0};
  for (const int64_t n : lengths) offsets.push_back(offsets.back() + n);
  return offsets;
}

struct Inputs {
  Tensor q, k, v;
  Inputs(int64_t tokens, const AttentionCase& c)
      : q(random_tensor({tokens, c.heads, c.head_dim}, DType::f32, 1, 4)),
        k(random_tensor({tokens, c.kv_heads, c.head_dim}, DType::f32, 2)),
        v(random_tensor({tokens, c.kv_heads, c.head_dim}, DType::f32, 3)) {}
};

class AttentionTest : public testing::TestWithParam<AttentionCase> {};

TEST_P(AttentionTest, AgreesWithDoublePrecision) {
  const AttentionCase c = GetParam();
  const auto offsets = offsets_of(c.lengths);
  const Inputs in(offsets.back(), c);
  const float scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
  Tensor out({offsets.back(), c.heads, c.head_dim}, c.output);
  CpuStream stream;
  attention(stream, in.q, in.k, in.v, view_of(std::span<const int64_t>(offsets)), scale, out);

  std::vector<reference::Bounded> want(static_cast<size_t>(out.size()));
  for (size_t r = 0; r < c.lengths.size(); ++r)
    for (int64_t h = 0; h < c.heads; ++h) {
      const auto head = reference::attention_head(in.q, in.k, in.v, offsets[r], c.lengths[r], h, c.heads, c.kv_heads,
                                                  c.head_dim, scale);
      for (int64_t t = 0; t < c.lengths[r]; ++t)
        std::copy_n(head.begin() + t * c.head_dim, c.head_dim,
                    want.begin() + ((offsets[r] + t) * c.heads + h) * c.head_dim);
    }
  EXPECT_TRUE(close(out, want));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    testing::Values(AttentionCase{DType::f32, 4, 2, 64, {130, 1, 0, 7}}, AttentionCase{DType::f32, 1, 1, 12, {1}},
                    AttentionCase{DType::f32, 6, 2, 16, {65, 300}}, AttentionCase{DType::f32, 4, 4, 24, {64, 129}},
                    AttentionCase{DType::f32, 5, 1, 80, {0, 140}}, AttentionCase{DType::bf16, 8, 1, 128, {17, 128}},
                    AttentionCase{DType::bf16, 3, 3, 10, {33}}, AttentionCase{DType::f32, 40, 1, 16, {70}},
                    AttentionCase{DType::f32, 2, 1, 8, {0, 0}}),
    testing::PrintToStringParamName());

// A record among others, in any place, on any number of threads: the bits of the record alone.
TEST(Attention, DependsOnTheRecordAlone) {
  const AttentionCase c{DType::f32, 4, 2, 20, {}};
  const std::vector<int64_t> lengths{50, 200, 3, 333, 1};
  const auto offsets = offsets_of(lengths);
  const Inputs in(offsets.back(), c);
  Tensor together({offsets.back(), c.heads, c.head_dim}, DType::f32);
  CpuStream one(1), three(3);
  attention(three, in.q, in.k, in.v, view_of(std::span<const int64_t>(offsets)), 0.3f, together);
  for (size_t r = 0; r < lengths.size(); ++r) {
    const std::vector<int64_t> alone_offsets{0, lengths[r]};
    Tensor alone({lengths[r], c.heads, c.head_dim}, DType::f32);
    const auto record = [&](const Tensor& t) { return t.view().slice(offsets[r], lengths[r]); };
    attention(one, record(in.q), record(in.k), record(in.v), view_of(std::span<const int64_t>(alone_offsets)), 0.3f,
              alone);
    for (int64_t t = 0; t < lengths[r]; ++t) ASSERT_TRUE(same_row_bits(alone, t, together, offsets[r] + t));
  }
}

// What follows a token does not touch it: a prefix of a record gives the bits of the whole record's beginning.
TEST(Attention, IsCausal) {
  const AttentionCase c{DType::f32, 2, 1, 16, {}};
  const Inputs in(300, c);
  const std::vector<int64_t> whole_offsets{0, 300};
  Tensor whole({300, 2, 16}, DType::f32);
  CpuStream stream;
  attention(stream, in.q, in.k, in.v, view_of(std::span<const int64_t>(whole_offsets)), 0.25f, whole);
  for (const int64_t length : {1, 64, 129, 255}) {
    const std::vector<int64_t> offsets{0, length};
    Tensor prefix({length, 2, 16}, DType::f32);
    attention(stream, in.q.view().slice(0, length), in.k.view().slice(0, length), in.v.view().slice(0, length),
              view_of(std::span<const int64_t>(offsets)), 0.25f, prefix);
    for (int64_t t = 0; t < length; ++t) ASSERT_TRUE(same_row_bits(prefix, t, whole, t)) << "prefix of " << length;
  }
}

TEST(Attention, OffsetsMustCoverTheTokens) {
  const AttentionCase c{DType::f32, 2, 1, 16, {}};
  const Inputs in(10, c);
  Tensor out({10, 2, 16}, DType::f32);
  CpuStream stream;
  for (const std::vector<int64_t>& bad : {std::vector<int64_t>{0, 9}, {0, 7, 5, 10}, {1, 10}, {0, 11}})
    EXPECT_THROW(attention(stream, in.q, in.k, in.v, view_of(std::span<const int64_t>(bad)), 1, out), Error);
}

}  // namespace
}  // namespace switchyard
