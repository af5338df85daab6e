// Attention on random inputs, and what the oracle says of them.
#pragma once

#include <cmath>
#include <ostream>
#include <vector>

#include "kernels/attention/attention.h"
#include "reference/attention.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard::test {

/// Of four heads: between the scores, above, below.
inline const std::vector<float> kSinks{0.5f, 40, -1e30f, -INFINITY};

struct AttentionCase {
  DType output;
  int64_t heads, kv_heads, head_dim;
  std::vector<int64_t> lengths;  ///< of records
  int64_t value_dim = head_dim;
  KeySpan span = {};
  std::vector<float> sinks = {};
};

inline std::ostream& operator<<(std::ostream& os, const AttentionCase& c) {
  os << name_of(c.output) << "_" << c.heads << "_" << c.kv_heads << "x" << c.head_dim;
  if (c.value_dim != c.head_dim) os << "x" << c.value_dim;
  if (c.span.kind != KeySpan::Kind::all)
    os << (c.span.kind == KeySpan::Kind::window ? "_window_" : "_chunk_") << c.span.size;
  if (!c.sinks.empty()) os << "_sinks";
  os << "_of";
  for (const int64_t n : c.lengths) os << "_" << n;
  return os;
}

inline std::vector<int64_t> offsets_of(const std::vector<int64_t>& lengths) {
  std::vector<int64_t> offsets{0};
  for (const int64_t n : lengths) offsets.push_back(offsets.back() + n);
  return offsets;
}

struct AttentionInputs {
  Tensor q, k, v;
  AttentionInputs(int64_t tokens, const AttentionCase& c)
      : q(random_tensor({tokens, c.heads, c.head_dim}, DType::f32, 1, 4)),
        k(random_tensor({tokens, c.kv_heads, c.head_dim}, DType::f32, 2)),
        v(random_tensor({tokens, c.kv_heads, c.value_dim}, DType::f32, 3)) {}
};

inline ConstView sinks_of(const AttentionCase& c) {
  return c.sinks.empty() ? ConstView{} : view_of(std::span<const float>(c.sinks));
}

/// The op on tokens [first, first + count) of the inputs, which are the case's records or others.
inline Tensor attend(const TestStream& stream, const AttentionInputs& in, const AttentionCase& c, float scale,
                     const std::vector<int64_t>& offsets, int64_t first, int64_t count, View lse = {}) {
  Tensor out({count, c.heads, c.value_dim}, c.output);
  const DType operand = attention_operand(stream.stream().device, c.output);
  const auto part = [&](const Tensor& t, float factor) {
    Tensor of({count, t.view().shape[1], t.view().shape[2]}, operand);
    for (int64_t i = 0; i < of.size(); ++i)
      of.set(i, static_cast<float>(t.at(first * of.size() / std::max<int64_t>(1, count) + i)) * factor);
    return of;
  };
  const Tensor q = part(in.q, operand == DType::f32 ? 1 : attention_factor(scale)), k = part(in.k, 1),
               v = part(in.v, 1);
  stream.run(attention, q, k, v, view_of(std::span<const int64_t>(offsets)), c.span, sinks_of(c), scale, lse, out);
  return out;
}
inline Tensor attend(const TestStream& stream, const AttentionInputs& in, const AttentionCase& c, float scale) {
  const auto offsets = offsets_of(c.lengths);
  return attend(stream, in, c, scale, offsets, 0, offsets.back());
}

inline std::vector<reference::Bounded> expected(Device device, const AttentionInputs& in, const AttentionCase& c,
                                                double scale) {
  const double rounding = device == Device::cuda && c.output == DType::bf16 ? kBFloat16Epsilon : 0;
  const auto offsets = offsets_of(c.lengths);
  std::vector<reference::Bounded> want(static_cast<size_t>(offsets.back() * c.heads * c.value_dim));
  for (size_t r = 0; r < c.lengths.size(); ++r)
    for (int64_t h = 0; h < c.heads; ++h) {
      const auto sink = c.sinks.empty() ? std::nullopt : std::optional<double>(c.sinks[static_cast<size_t>(h)]);
      const auto head =
          reference::attention_head(in.q, in.k, in.v, offsets[r], c.lengths[r], h,
                                    {c.heads, c.kv_heads, c.head_dim, c.value_dim}, c.span, sink, scale, rounding);
      for (int64_t t = 0; t < c.lengths[r]; ++t)
        std::copy_n(head.begin() + t * c.value_dim, c.value_dim,
                    want.begin() + ((offsets[r] + t) * c.heads + h) * c.value_dim);
    }
  return want;
}

}  // namespace switchyard::test
