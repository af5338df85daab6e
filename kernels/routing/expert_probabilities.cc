#include "kernels/routing/expert_probabilities.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/routing/cpu/softmax.h"
#include "kernels/row_blocks.h"
#include "kernels/scratch.h"

namespace switchyard::cpu {
namespace {

using F64x4 = double __attribute__((vector_size(32)));

constexpr int64_t kColumns = 32;  // a task's experts

/// What makes probabilities of a token's logits.
struct Denominator {
  float top, sum;
};

struct Softmax {
  static Denominator denominator(const float* logits, int64_t experts) {
    const float top = max_of(logits, experts);
    return {top, sum_of_exp(logits, experts, top)};
  }
  static F32x8 probability(F32x8 logit, const Denominator& of) { return exp(logit - of.top) / of.sum; }
};

struct Sigmoid {
  static Denominator denominator(const float* logits, int64_t experts) {
    F32x8 lanes = broadcast(0);
    int64_t i = 0;
    for (; i + kLanes <= experts; i += kLanes) lanes += sigmoid(load(logits + i));
    float sum = sum_of_lanes(lanes);
    for (; i < experts; ++i) sum += sigmoid_f32(logits[i]);
    return {0, sum};
  }
  static F32x8 probability(F32x8 logit, const Denominator& of) { return sigmoid(logit) / of.sum; }
};

/// Some experts' sums over tokens [first, end).
template <class Scores>
void add_up(const float* logits, int64_t experts, int64_t columns, const Denominator* denominators, int64_t first,
            int64_t end, double* to) {
  std::array<F64x4, kColumns / 4> sums{};
  for (int64_t t = first; t < end; ++t)
    for_lanes(columns, [&](int64_t i, auto read, auto) {  // what lanes beyond the last column add up is not looked at
      const F32x8 p = Scores::probability(read(logits + t * experts + i), denominators[t]);
      F64x4* sum = sums.data() + i / 4;
      sum[0] += __builtin_convertvector(__builtin_shufflevector(p, p, 0, 1, 2, 3), F64x4);
      sum[1] += __builtin_convertvector(__builtin_shufflevector(p, p, 4, 5, 6, 7), F64x4);
    });
  std::memcpy(to, sums.data(), static_cast<size_t>(columns) * sizeof(double));
}

template <class Scores>
void add_all(const Stream& stream, ConstView logits, const SlicedRows& rows, View sums) {
  const int64_t tokens = logits.rows(), experts = logits.row_elements(), slices = rows.slices.count();
  const auto* in = logits.as<float>();
  auto* out = sums.as<double>();
  // The caller's block, which no task of these loops asks for.
  auto* denominators =
      reinterpret_cast<Denominator*>(thread_scratch(static_cast<size_t>(tokens) * sizeof(Denominator)));
  for_row_blocks(stream, tokens, [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; ++t) denominators[t] = Scores::denominator(in + t * experts, experts);
  });
  const int64_t num_blocks = (experts + kColumns - 1) / kColumns;
  stream.parallel_for(slices * num_blocks, [&](int64_t task, int) {
    const int64_t slice = task / num_blocks, column = task % num_blocks * kColumns;
    const auto offset = rows.offsets.begin() + slice;
    add_up<Scores>(in + column, experts, std::min(kColumns, experts - column), denominators, offset[0], offset[1],
                   out + slice * experts + column);
  });
}

}  // namespace

size_t expert_probabilities_bytes(ConstView logits, RouterScores, const SlicedRows&, View) {
  return static_cast<size_t>(logits.rows()) * sizeof(Denominator);
}

void expert_probabilities(const Stream& stream, ConstView logits, RouterScores scores, const SlicedRows& rows,
                          View sums) {
  const int64_t tokens = logits.rows(), experts = logits.row_elements(), slices = rows.slices.count();
  if (slices == 0) return;
  SWITCHYARD_CHECK(
      rows.num_groups() == 1 && rows.num_rows() == tokens && sums.rows() == slices && sums.row_elements() == experts,
      "expert_probabilities: logits {}, {} rows of {} groups in {} slices, sums {}", logits.shape.str(),
      rows.num_rows(), rows.num_groups(), slices, sums.shape.str());
  (scores == RouterScores::softmax ? add_all<Softmax> : add_all<Sigmoid>)(stream, logits, rows, sums);
}

}  // namespace switchyard::cpu
