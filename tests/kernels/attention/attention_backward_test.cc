// Attention's gradients, and the logarithms of the forward pass that they are computed from.
#include "reference/attention_backward.h"

#include <gtest/gtest.h>

#include "attention_case.h"

namespace switchyard {
namespace {

using namespace test;

constexpr KeySpan kWindow{KeySpan::Kind::window, 37}, kLongWindow{KeySpan::Kind::window, 200},
    kChunk{KeySpan::Kind::chunk, 48};
reference::AttentionShape shape_of(const AttentionCase& c) {
  return {c.heads, c.kv_heads, c.head_dim, c.value_dim};
}

void poison(const Tensor& t) {
  for (int64_t i = 0; i < t.size(); ++i) t.set(i, NAN);
}

/// A case's inputs, with the gradient of the result.
struct Inputs : AttentionInputs {
  Tensor d_out;
  Inputs(int64_t tokens, const AttentionCase& c)
      : AttentionInputs(tokens, c), d_out(random_tensor({tokens, c.heads, c.value_dim}, DType::f32, 4)) {}
};

struct Gradients {
  Tensor dq, dk, dv;
  Gradients(int64_t tokens, const AttentionCase& c)
      : dq({tokens, c.heads, c.head_dim}, DType::f32),
        dk({tokens, c.kv_heads, c.head_dim}, DType::f32),
        dv({tokens, c.kv_heads, c.value_dim}, DType::f32) {
    for (const Tensor* t : {&dq, &dk, &dv}) poison(*t);
  }
};

/// Forward, then backward, on tokens [first, first + count) of the inputs.
Gradients differentiate(const TestStream& stream, const Inputs& in, const AttentionCase& c, float scale,
                        const std::vector<int64_t>& offsets, int64_t first, int64_t count) {
  const auto part = [&](const Tensor& t) { return ConstView(t.view().slice(first, count)); };
  Tensor lse({count, c.heads}, DType::f32);
  poison(lse);
  const Tensor out = attend(stream, in, c, scale, offsets, first, count, lse);
  Gradients g(count, c);
  stream.run(attention_backward, part(in.q), part(in.k), part(in.v), view_of(std::span<const int64_t>(offsets)), c.span,
             sinks_of(c), scale, out, lse, part(in.d_out), g.dq, g.dk, g.dv);
  return g;
}

class AttentionBackwardTest : public testing::TestWithParam<AttentionCase> {
 protected:
  const AttentionCase case_ = GetParam();
  const std::vector<int64_t> offsets_ = offsets_of(case_.lengths);
  const Inputs in_{offsets_.back(), case_};
  const float scale_ = 1 / std::sqrt(static_cast<float>(case_.head_dim));
};

TEST_P(AttentionBackwardTest, LogarithmsOfDenominatorsAgreeWithDoublePrecision) {
  const Tensor without = attend(TestStream(Device::cpu), in_, case_, scale_);
  Tensor lse({offsets_.back(), case_.heads}, DType::f32);
  poison(lse);
  EXPECT_TRUE(
      same_bits(attend(TestStream(Device::cpu), in_, case_, scale_, offsets_, 0, offsets_.back(), lse), without));
  std::vector<reference::Bounded> want;
  for (size_t r = 0; r < case_.lengths.size(); ++r)
    for (int64_t t = 0; t < case_.lengths[r]; ++t)
      for (int64_t h = 0; h < case_.heads; ++h) {
        const auto sink =
            case_.sinks.empty() ? std::nullopt : std::optional<double>(case_.sinks[static_cast<size_t>(h)]);
        want.push_back(reference::lse_of(
            reference::scores_of(in_.q, in_.k, offsets_[r], t, h, shape_of(case_), case_.span, sink, scale_)));
      }
  EXPECT_TRUE(close(lse, want));
}

// On few threads a record's head is one task, on many it is cut.
TEST_P(AttentionBackwardTest, AgreesWithDoublePrecisionOnAnyNumberOfThreads) {
  const auto want = reference::attention_gradients(in_.q, in_.k, in_.v, in_.d_out, offsets_, shape_of(case_),
                                                   case_.span, case_.sinks, scale_);
  const Gradients one = differentiate(TestStream(Device::cpu, 1), in_, case_, scale_, offsets_, 0, offsets_.back());
  EXPECT_TRUE(close(one.dq, want.dq));
  EXPECT_TRUE(close(one.dk, want.dk));
  EXPECT_TRUE(close(one.dv, want.dv));
  const Gradients many = differentiate(TestStream(Device::cpu, 40), in_, case_, scale_, offsets_, 0, offsets_.back());
  EXPECT_TRUE(same_bits(many.dq, one.dq));
  EXPECT_TRUE(same_bits(many.dk, one.dk));
  EXPECT_TRUE(same_bits(many.dv, one.dv));
}

std::vector<AttentionCase> backward_cases() {
  std::vector<AttentionCase> all{{DType::f32, 4, 2, 64, {130, 1, 0, 7}},  {DType::f32, 1, 1, 12, {1}},
                                 {DType::f32, 6, 2, 16, {65, 300}},       {DType::f32, 4, 4, 24, {64, 129, 145}},
                                 {DType::f32, 5, 1, 80, {0, 140}},        {DType::f32, 3, 3, 10, {33}},
                                 {DType::f32, 40, 1, 16, {70}},           {DType::f32, 2, 1, 8, {0, 0}},
                                 {DType::f32, 2, 1, 250, {67}},           {DType::f32, 150, 1, 6, {5}},
                                 {DType::f32, 8, 1, 17, {288, 144, 1}},   {DType::f32, 2, 2, 24, {200}, 16},
                                 {DType::f32, 4, 2, 10, {1, 67, 160}, 31}};
  for (const KeySpan& span : {KeySpan{KeySpan::Kind::window, 1}, kWindow, kLongWindow, kChunk,
                              KeySpan{KeySpan::Kind::chunk, 200}, KeySpan{KeySpan::Kind::window, 5000}}) {
    all.push_back({DType::f32, 4, 2, 24, {127, 1, 2, 3, 650}, 24, span});
    all.push_back({DType::f32, 4, 1, 16, {300, 1, 145}, 20, span, kSinks});
  }
  all.push_back({DType::f32, 4, 2, 16, {150, 7}, 16, {}, kSinks});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Shapes, AttentionBackwardTest, testing::ValuesIn(backward_cases()),
                         [](const auto& param) { return testing::PrintToString(param.param); });

struct Doubles {
  std::vector<double> values;
  explicit Doubles(const Tensor& t) {
    for (int64_t i = 0; i < t.size(); ++i) values.push_back(t.at(i));
  }
  double at(int64_t i) const { return values[static_cast<size_t>(i)]; }
};

// The oracle itself, against differences of the forward pass's.
TEST(AttentionBackward, OracleAgreesWithFiniteDifferences) {
  for (const KeySpan& span : {KeySpan{}, KeySpan{KeySpan::Kind::window, 3}, KeySpan{KeySpan::Kind::chunk, 4}}) {
    const AttentionCase c{DType::f32, 4, 2, 3, {7, 1, 4}, 5, span, kSinks};
    const auto offsets = offsets_of(c.lengths);
    const Inputs in(offsets.back(), c);
    constexpr double kScale = 0.6, kStep = 1e-5;
    Doubles q(in.q), k(in.k), v(in.v), d_out(in.d_out);
    const auto loss = [&] {
      double sum = 0;
      for (size_t r = 0; r < c.lengths.size(); ++r)
        for (int64_t h = 0; h < c.heads; ++h) {
          const auto out = reference::attention_head(q, k, v, offsets[r], c.lengths[r], h, shape_of(c), span,
                                                     c.sinks[static_cast<size_t>(h)], kScale);
          for (int64_t t = 0; t < c.lengths[r]; ++t)
            for (int64_t i = 0; i < c.value_dim; ++i)
              sum += d_out.at(((offsets[r] + t) * c.heads + h) * c.value_dim + i) *
                     out[static_cast<size_t>(t * c.value_dim + i)].value;
        }
      return sum;
    };
    const auto gradients = reference::attention_gradients(q, k, v, d_out, offsets, shape_of(c), span, c.sinks, kScale);
    const auto check = [&](Doubles& x, const std::vector<reference::Bounded>& gradient) {
      ASSERT_EQ(x.values.size(), gradient.size());
      for (size_t i = 0; i < gradient.size(); ++i) {
        const double value = x.values[i];
        x.values[i] = value + kStep;
        const double above = loss();
        x.values[i] = value - kStep;
        const double below = loss();
        x.values[i] = value;
        ASSERT_NEAR((above - below) / (2 * kStep), gradient[i].value, 1e-8) << i;
      }
    };
    check(q, gradients.dq);
    check(k, gradients.dk);
    check(v, gradients.dv);
  }
}

std::vector<AttentionCase> bit_cases() {
  std::vector<AttentionCase> all;
  for (const KeySpan& span : {KeySpan{}, kWindow, kLongWindow, kChunk})
    for (const auto& [head_dim, value_dim] : std::vector<std::pair<int64_t, int64_t>>{{20, 20}, {24, 40}})
      all.push_back({DType::f32, 4, 2, head_dim, {}, value_dim, span, head_dim < 24 ? kSinks : std::vector<float>()});
  return all;
}

// A record among others, in any place, on any number of threads: the bits of the record alone.
TEST(AttentionBackward, BitsDependOnTheRecordAlone) {
  const std::vector<int64_t> lengths{50, 300, 3, 0, 633, 1};
  const auto offsets = offsets_of(lengths);
  const TestStream one(Device::cpu, 1), three(Device::cpu, 3);
  for (const AttentionCase& c : bit_cases()) {
    const Inputs in(offsets.back(), c);
    const Gradients together = differentiate(three, in, c, 0.3f, offsets, 0, offsets.back());
    for (size_t r = 0; r < lengths.size(); ++r) {
      const Gradients alone = differentiate(one, in, c, 0.3f, {0, lengths[r]}, offsets[r], lengths[r]);
      for (int64_t t = 0; t < lengths[r]; ++t) {
        ASSERT_TRUE(same_row_bits(alone.dq, t, together.dq, offsets[r] + t)) << testing::PrintToString(c);
        ASSERT_TRUE(same_row_bits(alone.dk, t, together.dk, offsets[r] + t)) << testing::PrintToString(c);
        ASSERT_TRUE(same_row_bits(alone.dv, t, together.dv, offsets[r] + t)) << testing::PrintToString(c);
      }
    }
  }
}

// The gradient of a late result reaches the keys that its query sees, and no other query.
TEST(AttentionBackward, BitsDependOnWhatIsSeenAlone) {
  constexpr int64_t kTokens = 450, kChanged = 310;
  const TestStream stream(Device::cpu);
  for (const AttentionCase& c : bit_cases()) {
    const Inputs in(kTokens, c), other(kTokens, c);
    for (int64_t i = kChanged * c.heads * c.value_dim; i < in.d_out.size(); ++i)
      other.d_out.set(i, static_cast<float>(3 - in.d_out.at(i)));
    const Gradients g = differentiate(stream, in, c, 0.3f, {0, kTokens}, 0, kTokens),
                    changed = differentiate(stream, other, c, 0.3f, {0, kTokens}, 0, kTokens);
    for (int64_t t = 0; t < kTokens; ++t) {
      const bool is_seen = c.span.end_query(t) > kChanged;
      ASSERT_EQ(bool{same_row_bits(g.dq, t, changed.dq, t)}, t < kChanged) << testing::PrintToString(c) << t;
      ASSERT_EQ(bool{same_row_bits(g.dk, t, changed.dk, t)}, !is_seen) << testing::PrintToString(c) << t;
      ASSERT_EQ(bool{same_row_bits(g.dv, t, changed.dv, t)}, !is_seen) << testing::PrintToString(c) << t;
    }
  }
}

// Products too small for f32 are zeros of either sign; how many of them a chain has is a matter of blocks.
TEST(AttentionBackward, NoElementIsANegativeZero) {
  const AttentionCase c{DType::f32, 2, 1, 16, {200}};
  const Inputs in(200, c);
  for (const Tensor* t : {&in.q, &in.k, &in.d_out})
    for (int64_t i = 0; i < t->size(); ++i) t->set(i, 1e-30f * static_cast<float>(t->at(i)));
  const Gradients g = differentiate(TestStream(Device::cpu), in, c, 1, {0, 200}, 0, 200);
  for (const Tensor* t : {&g.dq, &g.dk})
    for (int64_t i = 0; i < t->size(); ++i) ASSERT_TRUE(t->at(i) == 0 && !std::signbit(t->at(i))) << i;
}

TEST(AttentionBackward, OnADeviceTheForwardPassSaysNoLogarithms) {
  if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  const AttentionCase c{DType::f32, 2, 1, 16, {5}};
  const TestStream stream(Device::cuda);
  EXPECT_THROW(attend(stream, Inputs(5, c), c, 1, {0, 5}, 0, 5, Tensor({5, 2}, DType::f32)), Error);
}

TEST(AttentionBackward, ArgumentsMustGoTogether) {
  const AttentionCase c{DType::f32, 4, 2, 16, {10}};
  const Inputs in(10, c);
  const CpuStream stream;
  const Tensor out({10, 4, 16}, DType::f32), lse({10, 4}, DType::f32);
  Gradients g(10, c);
  const auto run = [&](const std::vector<int64_t>& offsets, ConstView logarithms, ConstView d_out, View dq) {
    attention_backward(stream, in.q, in.k, in.v, view_of(std::span<const int64_t>(offsets)), {}, {}, 1, out, logarithms,
                       d_out, dq, g.dk, g.dv);
  };
  EXPECT_NO_THROW(run({0, 10}, lse, in.d_out, g.dq));
  EXPECT_THROW(run({0, 9}, lse, in.d_out, g.dq), Error);
  EXPECT_THROW(run({0, 10}, {}, in.d_out, g.dq), Error);
  EXPECT_THROW(run({0, 10}, Tensor({4, 10}, DType::f32), in.d_out, g.dq), Error);
  EXPECT_THROW(run({0, 10}, lse, in.v, g.dq), Error);
  EXPECT_THROW(run({0, 10}, lse, in.d_out, g.dk), Error);
}

// −e^(sink − lse) · Σ d_out ⊙ out, of a forward pass in double precision; beyond reach of all scores nothing, or all.
TEST(AttentionSinksBackward, AgreesWithDoublePrecision) {
  const AttentionCase c{DType::f32, 4, 2, 12, {5, 1, 40}, 12, kWindow, kSinks};
  const auto offsets = offsets_of(c.lengths);
  const Inputs in(offsets.back(), c);
  const float scale = 0.3f;
  Tensor lse({offsets.back(), c.heads}, DType::f32), got({offsets.back(), c.heads}, DType::f32);
  poison(got);
  const Tensor out = attend(TestStream(Device::cpu), in, c, scale, offsets, 0, offsets.back(), lse);
  attention_sinks_backward(CpuStream(2), sinks_of(c), out, lse, in.d_out, got);
  for (size_t r = 0; r < c.lengths.size(); ++r)
    for (int64_t t = 0; t < c.lengths[r]; ++t)
      for (int64_t head = 0; head < c.heads; ++head) {
        const double sink = static_cast<double>(kSinks[static_cast<size_t>(head)]);
        const reference::Scores scores =
            reference::scores_of(in.q, in.k, offsets[r], t, head, shape_of(c), c.span, sink, scale);
        const double p = std::exp(sink - reference::log_sum_exp(scores.values));
        const int64_t row = (offsets[r] + t) * c.heads + head;
        double delta = 0, size = 0;
        for (int64_t i = row * 12; i < (row + 1) * 12; ++i) {
          delta += in.d_out.at(i) * out.at(i);
          size += std::abs(in.d_out.at(i) * out.at(i));
        }
        EXPECT_NEAR(got.at(row), -p * delta, 1e-5 * p * size) << "token " << t << ", head " << head;
      }
  EXPECT_THROW(attention_sinks_backward(CpuStream(), Tensor({3}, DType::f32), out, lse, in.d_out, got), Error);
}

}  // namespace
}  // namespace switchyard
