#include "kernels/attention/prepare_heads.h"

#include <algorithm>
#include <optional>

#include "kernels/attention/cpu/turn.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/cpu/norm_row.h"

namespace switchyard {

void check_prepare_heads(ConstView x, ConstView positions, const HeadSteps& steps, ConstView y) {
  SWITCHYARD_CHECK(x.shape.rank() == 3 && y.shape == x.shape && x.dtype == DType::f32 &&
                       positions.elements() == x.rows() &&
                       (steps.norm_weight.data == nullptr || steps.norm_weight.elements() == x.shape[2]),
                   "prepare_heads: x {} {}, positions {}, norm {}, y {}", name_of(x.dtype), x.shape.str(),
                   positions.shape.str(), steps.norm_weight.shape.str(), y.shape.str());
  if (steps.turn()) check_rope(positions, steps.cos_sin, steps.first, x);
}

namespace cpu {
namespace {

/// Vectors of some length, and what is done to each.
class Heads {
 public:
  Heads(const HeadSteps& steps, int64_t head_dim) : steps_(steps), dim_(head_dim) {
    if (steps.turn()) table_.emplace(steps.cos_sin, steps.pairs);
  }

  void check(int32_t position, int64_t token) const {
    if (table_) table_->check(position, token);
    if (steps_.factors.rows() > 0)
      SWITCHYARD_CHECK(position >= 0 && position < steps_.factors.rows(),
                       "prepare_heads: position {} of token {}, {} factors", position, token, steps_.factors.rows());
  }

  void prepare(const float* x, int32_t position, float* y) const {
    if (steps_.norm == QkNorm::before_rotary)
      norm(x, y);
    else if (y != x)
      std::copy_n(x, dim_, y);
    if (table_) table_->turn(position, y + steps_.first);
    if (steps_.norm == QkNorm::after_rotary) norm(y, y);
    if (steps_.factors.rows() > 0) multiply(y, steps_.factors.as<float>()[position]);
    if (steps_.factor != 1) multiply(y, steps_.factor);
  }

 private:
  void norm(const float* x, float* y) const {
    const F32x8 scale = broadcast(inverse_rms_of(x, dim_, steps_.eps));
    for_lanes(dim_, NormLane<float>{x, steps_.norm_weight.as<float>(), scale, y});
  }
  void multiply(float* y, float factor) const {
    for_lanes(dim_, [&](int64_t i, auto read, auto write) { write(y + i, read(y + i) * broadcast(factor)); });
  }

  const HeadSteps& steps_;
  int64_t dim_;
  std::optional<RotaryTable<Turn::forth>> table_;
};

}  // namespace

void prepare_heads(const Stream& stream, ConstView x, ConstView positions, const HeadSteps& steps, View y) {
  check_prepare_heads(x, positions, steps, y);
  SWITCHYARD_CHECK(y.dtype == DType::f32, "prepare_heads: y is {}, on a CPU f32", name_of(y.dtype));
  const int64_t num_heads = x.shape[1], head_dim = x.shape[2];
  const Heads heads(steps, head_dim);
  const auto* position = positions.as<int32_t>();
  const auto* from = x.as<float>();
  auto* to = y.as<float>();
  for_row_blocks(stream, x.rows(), [&](int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; ++t) {
      heads.check(position[t], t);
      for (int64_t i = t * num_heads * head_dim; i < (t + 1) * num_heads * head_dim; i += head_dim)
        heads.prepare(from + i, position[t], to + i);
    }
  });
}

}  // namespace cpu
}  // namespace switchyard
