#include "kernels/vocabulary/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/row_blocks.h"
#include "kernels/vocabulary/cpu/tile_sums.h"

namespace switchyard {
namespace {

constexpr int64_t kRowsPerTask = 512;

// Σ e^(x − max). A logit that is not finite makes the sum NaN: 0 · logit does, and is nothing otherwise.
float sum_of_exp(const float* x, int64_t count, float max) {
  const F32x8 top = broadcast(max);
  F32x8 lanes = broadcast(0);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const F32x8 logit = load(x + i);
    lanes += fma(logit, broadcast(0), exp(logit - top));
  }
  float sum = sum_of_lanes(lanes);
  for (; i < count; ++i) sum += exp_f32(x[i] - max) + 0 * x[i];
  return sum;
}

void add_panel(const float* logits, int64_t first_column, int64_t columns, int32_t target, TileSum& partial) {
  const float top = max_of(logits, columns);
  if (top > partial.max) {
    partial.sum *= exp_f32(partial.max - top);
    partial.max = top;
    const float* place = std::find(logits, logits + columns, top);
    partial.argmax = static_cast<int32_t>(first_column + (place - logits));
  }
  partial.sum += sum_of_exp(logits, columns, partial.max);
  if (target >= first_column && target < first_column + columns) partial.target_logit = logits[target - first_column];
}

/// lse: null: not wanted
void finish_row(const TileSum* partials, int64_t tiles, int32_t target, float* lse, float& logprob, int32_t& argmax) {
  const TileSum* best = partials;
  for (const TileSum* p = partials; p < partials + tiles; ++p)
    if (p->max > best->max) best = p;
  double sum = 0;
  for (const TileSum* p = partials; p < partials + tiles; ++p)
    sum += static_cast<double>(p->sum) * std::exp(static_cast<double>(p->max) - static_cast<double>(best->max));
  const double logit = partials[target / kTileColumns].target_logit;
  const double top = best->max, log_sum = std::log(sum);
  if (lse != nullptr) *lse = static_cast<float>(top + log_sum);
  logprob = static_cast<float>(logit - top - log_sum);
  argmax = best->argmax;
}

}  // namespace

int64_t cross_entropy_scratch(int64_t rows, int64_t vocab) {
  return rows * num_vocabulary_tiles(vocab) * static_cast<int64_t>(sizeof(TileSum) / sizeof(float));
}

void check_targets(ConstView target, int64_t vocab) {
  const std::span<const int32_t> targets = target.span<int32_t>();
  const auto outside = std::ranges::find_if(targets, [&](int32_t id) { return id < 0 || id >= vocab; });
  SWITCHYARD_CHECK(outside == targets.end(), "cross_entropy: row {} has target {} of {}", outside - targets.begin(),
                   *outside, vocab);
}

namespace cpu {

size_t cross_entropy_bytes(ConstView, const PackedMatrix& head, ConstView, View, View, View, View) {
  return PanelScratch(head.impl().panels).layout.bytes();
}

// A task is a tile of the vocabulary and a block of rows: its panels are multiplied and reduced one by one.
void cross_entropy(const Stream& stream, ConstView x, const PackedMatrix& head, ConstView target, View scratch,
                   View lse, View logprob, View argmax) {
  const int64_t rows = x.rows(), vocab = head.n(), tiles = num_vocabulary_tiles(vocab);
  SWITCHYARD_CHECK(x.dtype == head.operand() && x.row_elements() == head.k() && target.elements() == rows &&
                       logprob.elements() == rows && argmax.elements() == rows &&
                       (lse.data == nullptr || lse.elements() == rows) && head.impl().order == RowOrder::plain,
                   "cross_entropy: x {} {}, head {} [{}, {}], target {}, lse {}, logprob {}, argmax {}",
                   name_of(x.dtype), x.shape.str(), name_of(head.operand()), vocab, head.k(), target.shape.str(),
                   lse.shape.str(), logprob.shape.str(), argmax.shape.str());
  SWITCHYARD_CHECK(scratch.dtype == DType::f32 && scratch.elements() >= cross_entropy_scratch(rows, vocab),
                   "cross_entropy: scratch {} {} for {} rows", name_of(scratch.dtype), scratch.shape.str(), rows);
  check_targets(target, vocab);
  if (rows == 0) return;
  const PackedMatrix::Impl& matrix = head.impl();
  const MatrixPanels& panels = matrix.panels;
  const PanelScratch layout(panels);
  const int64_t num_blocks = (rows + kRowsPerTask - 1) / kRowsPerTask;
  const auto* in = static_cast<const std::byte*>(x.data);
  const auto* targets = target.as<int32_t>();
  auto* partials = reinterpret_cast<TileSum*>(scratch.as<float>());

  stream.parallel_for(num_blocks * tiles, [&](int64_t task, int) {
    const int64_t tile = task % tiles, begin = task / tiles * kRowsPerTask, end = std::min(rows, begin + kRowsPerTask);
    std::byte* memory = thread_scratch(layout.layout.bytes());
    auto* logits = reinterpret_cast<float*>(memory + layout.out);
    for (int64_t r = begin; r < end; ++r)
      partials[r * tiles + tile] = {-kInfinity, 0, 0, static_cast<int32_t>(tile * kTileColumns)};
    for (int64_t p = tile * kTilePanels; p < std::min(panels.count(), (tile + 1) * kTilePanels); ++p) {
      const std::byte* weights = matrix.prepared(p, memory + layout.widened);
      for (int64_t first = begin; first < end; first += PanelScratch::kRows) {
        const int64_t count = std::min(PanelScratch::kRows, end - first);
        panels.product(p).run(in + static_cast<size_t>(first) * panels.row_bytes(), count, weights, logits,
                              memory + layout.workspace);
        for (int64_t r = first; r < first + count; ++r)
          add_panel(logits + (r - first) * panels.columns(p), panels.first_column(p), panels.columns(p), targets[r],
                    partials[r * tiles + tile]);
      }
    }
  });
  for_row_blocks(stream, rows, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r)
      finish_row(partials + r * tiles, tiles, targets[r], lse.data == nullptr ? nullptr : lse.as<float>() + r,
                 logprob.as<float>()[r], argmax.as<int32_t>()[r]);
  });
}

}  // namespace cpu
}  // namespace switchyard
