// Windows, chunks, sinks and heads whose values have another size than their keys.
#include <gtest/gtest.h>

#include "attention_case.h"

namespace switchyard {
namespace {

using namespace test;

KeySpan window(int64_t size) {
  return {KeySpan::Kind::window, size};
}
KeySpan chunk(int64_t size) {
  return {KeySpan::Kind::chunk, size};
}

class AttentionSpans : public testing::TestWithParam<std::tuple<Device, DType, AttentionCase>> {};

TEST_P(AttentionSpans, AgreeWithDoublePrecision) {
  auto [device, output, c] = GetParam();
  if (const std::string why = why_skipped(device); !why.empty()) GTEST_SKIP() << why;
  c.output = output;
  const AttentionInputs in(offsets_of(c.lengths).back(), c);
  const float scale = 1 / std::sqrt(static_cast<float>(c.head_dim));
  EXPECT_TRUE(close(attend(TestStream(device), in, c, scale), expected(device, in, c, scale)));
}

std::vector<AttentionCase> span_cases() {
  std::vector<AttentionCase> all;
  const auto add = [&](int64_t kv_heads, int64_t head_dim, int64_t value_dim, const std::vector<int64_t>& lengths,
                       const KeySpan& span, const std::vector<float>& sinks) {
    all.push_back({DType::f32, 4, kv_heads, head_dim, lengths, value_dim, span, sinks});
  };
  for (const KeySpan& span : {window(1), window(2), window(37), window(64), window(128), window(129), window(1000),
                              chunk(1), chunk(48), chunk(128), chunk(8192)}) {
    add(2, 24, 24, {127, 1, 2, 3, 300, 128, 129}, span, {});
    add(1, 24, 24, {127, 1, 2, 3, 300, 128, 129}, span, kSinks);
  }
  for (const KeySpan& span : {window(37), window(128), chunk(48)}) add(2, 16, 16, {700, 1, 300}, span, kSinks);
  for (const KeySpan& span : {KeySpan{}, window(37), window(128), chunk(48)})
    for (const auto& [head_dim, value_dim] :
         std::vector<std::pair<int64_t, int64_t>>{{24, 16}, {16, 24}, {64, 64}, {192, 128}, {10, 7}, {40, 200}})
      add(value_dim % 128 == 0 ? 4 : 2, head_dim, value_dim, {1, 67, 200}, span,
          head_dim < 64 ? kSinks : std::vector<float>());
  return all;
}

std::string name_of_case(const testing::TestParamInfo<AttentionSpans::ParamType>& info) {
  auto [device, output, c] = info.param;
  c.output = output;
  return fmt::format("{}_{}", name_of(device), testing::PrintToString(c));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionSpans,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16),
                                          testing::ValuesIn(span_cases())),
                         name_of_case);

class AttentionRowBits : public testing::TestWithParam<std::tuple<Device, DType>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device()); !why.empty()) GTEST_SKIP() << why;
  }
  Device device() const { return std::get<0>(GetParam()); }
  std::vector<AttentionCase> span_cases() const {
    std::vector<AttentionCase> all;
    for (const KeySpan& span : {KeySpan{}, window(37), window(128), chunk(48)})
      for (const auto& [head_dim, value_dim] : std::vector<std::pair<int64_t, int64_t>>{{20, 20}, {100, 100}, {24, 16}})
        all.push_back({std::get<1>(GetParam()),
                       4,
                       2,
                       head_dim,
                       {},
                       value_dim,
                       span,
                       head_dim < 100 ? kSinks : std::vector<float>()});
    return all;
  }
};

// A record among others, in any place, on any number of threads: the bits of the record alone.
TEST_P(AttentionRowBits, DependOnTheRecordAlone) {
  const std::vector<int64_t> lengths{50, 140, 3, 0, 233, 1};
  const auto offsets = offsets_of(lengths);
  const TestStream one(device(), 1), three(device(), 3);
  for (const AttentionCase& c : span_cases()) {
    const AttentionInputs in(offsets.back(), c);
    const Tensor together = attend(three, in, c, 0.3f, offsets, 0, offsets.back());
    for (size_t r = 0; r < lengths.size(); ++r) {
      const Tensor alone = attend(one, in, c, 0.3f, {0, lengths[r]}, offsets[r], lengths[r]);
      for (int64_t t = 0; t < lengths[r]; ++t)
        ASSERT_TRUE(same_row_bits(alone, t, together, offsets[r] + t)) << testing::PrintToString(c);
    }
  }
}

// What follows a token does not touch it: a prefix of a record gives the bits of the whole record's beginning.
TEST_P(AttentionRowBits, AreCausal) {
  const TestStream stream(device());
  for (const AttentionCase& c : span_cases()) {
    const AttentionInputs in(300, c);
    const Tensor whole = attend(stream, in, c, 0.25f, {0, 300}, 0, 300);
    for (const int64_t length : {1, 64, 129, 255}) {
      const Tensor prefix = attend(stream, in, c, 0.25f, {0, length}, 0, length);
      for (int64_t t = 0; t < length; ++t)
        ASSERT_TRUE(same_row_bits(prefix, t, whole, t)) << testing::PrintToString(c) << ", prefix of " << length;
    }
  }
}

// Keys and values that a row does not see do not touch it.
TEST_P(AttentionRowBits, DependOnVisibleKeysAlone) {
  const TestStream stream(device());
  for (const AttentionCase& c : span_cases()) {
    const AttentionInputs in(300, c), other(300, c);
    constexpr int64_t kChanged = 140;
    for (const Tensor* t : {&other.k, &other.v})
      for (int64_t i = 0; i < kChanged * t->view().row_elements(); ++i) t->set(i, static_cast<float>(3 - t->at(i)));
    const Tensor out = attend(stream, in, c, 0.3f, {0, 300}, 0, 300),
                 changed = attend(stream, other, c, 0.3f, {0, 300}, 0, 300);
    for (int64_t t = 0; t < 300; ++t) {
      const bool same{same_row_bits(out, t, changed, t)}, sees_none = c.span.first_key(t) >= kChanged;
      if (t >= kChanged && !sees_none) continue;  // what it sees has changed, but may not matter
      ASSERT_EQ(same, sees_none) << testing::PrintToString(c) << ", row " << t;
    }
  }
}

// A window or a chunk as long as the record, or longer.
TEST_P(AttentionRowBits, OfASpanThatLeavesOutNothingAreThoseOfNone) {
  const TestStream stream(device());
  for (AttentionCase c : span_cases()) {
    c.lengths = {200, 1, 129};
    const AttentionInputs in(330, c);
    c.span = {};
    const Tensor all = attend(stream, in, c, 0.3f);
    for (const KeySpan& span : {window(200), window(5000), chunk(200), chunk(8192)}) {
      c.span = span;
      ASSERT_TRUE(same_bits(attend(stream, in, c, 0.3f), all)) << testing::PrintToString(c);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, AttentionRowBits,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16)),
                         [](const auto& param) {
                           return fmt::format("{}_{}", name_of(std::get<0>(param.param)),
                                              switchyard::name_of(std::get<1>(param.param)));
                         });

TEST(Attention, ArgumentsMustGoTogether) {
  const AttentionCase good{DType::f32, 4, 2, 16, {10}};
  const CpuStream stream;
  const auto offsets = offsets_of(good.lengths);
  const auto run = [&](const AttentionCase& c, const Shape& out_shape) {
    const AttentionInputs in(10, c);
    Tensor out(out_shape, DType::f32);
    attention(stream, in.q, in.k, in.v, view_of(std::span<const int64_t>(offsets)), c.span, sinks_of(c), 1, {}, out);
  };
  EXPECT_NO_THROW(run(good, {10, 4, 16}));
  AttentionCase bad = good;
  bad.span = window(0);
  EXPECT_THROW(run(bad, {10, 4, 16}), Error);
  bad = good;
  bad.sinks = {1, 2};
  EXPECT_THROW(run(bad, {10, 4, 16}), Error);
  bad = good;
  bad.value_dim = 8;
  EXPECT_THROW(run(bad, {10, 4, 16}), Error);
}

}  // namespace
}  // namespace switchyard
