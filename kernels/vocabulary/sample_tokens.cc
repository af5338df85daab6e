#include "kernels/vocabulary/sample_tokens.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/row_blocks.h"
#include "kernels/vocabulary/cpu/tile_sums.h"
#include "kernels/vocabulary/cross_entropy.h"

namespace switchyard {
namespace {

/// A row on its way to its token.
struct Draw {
  int64_t row = 0, tile = 0;
  float max = 0;      ///< of the tile's logits
  double wanted = 0;  ///< Σ e^(logit − max) over the tile's tokens up to the one that is drawn exceeds it
  double log_sum = 0;
  double sum = 0;  ///< so far
  int32_t token = -1;
  float logit = 0;  ///< of the token; of the last one that might be it, until it is found
  bool found = false;

  /// The next columns of the tile.
  void go_on(const float* logits, int64_t first_column, int64_t columns) {
    for (int64_t j = 0; j < columns && !found; ++j) {
      const float e = exp_f32(logits[j] - max);
      if (e == 0 && token >= 0) continue;  // never drawn, unless the tile begins with it
      sum += static_cast<double>(e);
      token = static_cast<int32_t>(first_column + j);
      logit = logits[j];
      found = sum > wanted;
    }
  }
};

/// sums: [tiles] of the row
Draw choose_tile(int64_t row, const TileSum* sums, int64_t tiles, double uniform) {
  const float best =
      std::max_element(sums, sums + tiles, [](const TileSum& a, const TileSum& b) { return a.max < b.max; })->max;
  const auto scale = [&](int64_t t) { return std::exp(static_cast<double>(sums[t].max) - static_cast<double>(best)); };
  double total = 0;
  for (int64_t t = 0; t < tiles; ++t) total += static_cast<double>(sums[t].sum) * scale(t);
  const double wanted = uniform * total;
  Draw draw{.row = row, .log_sum = static_cast<double>(best) + std::log(total)};
  double before = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    const double sum = static_cast<double>(sums[t].sum) * scale(t);
    if (sum > 0) {  // the last such one, where roundings leave the end of the sum short
      draw.tile = t;
      draw.max = sums[t].max;
      draw.wanted = (wanted - before) / scale(t);
    }
    before += sum;
    if (before > wanted) break;
  }
  return draw;
}

struct SampleScratch : PanelScratch {
  size_t x;  ///< [kRows, d], the operand's type
  explicit SampleScratch(const MatrixPanels& panels)
      : PanelScratch(panels), x(layout.add(static_cast<size_t>(kRows) * panels.row_bytes())) {}
};

}  // namespace

namespace cpu {

size_t sample_tokens_bytes(ConstView, const PackedMatrix& head, ConstView, ConstView, View, View) {
  return SampleScratch(head.impl().panels).layout.bytes();
}

// A task is a tile and some of the rows whose tokens it has: they are gathered, and multiplied panel by panel.
void sample_tokens(const Stream& stream, ConstView x, const PackedMatrix& head, ConstView sums, ConstView uniform,
                   View token, View logprob) {
  const int64_t rows = x.rows(), tiles = num_vocabulary_tiles(head.n());
  SWITCHYARD_CHECK(x.dtype == head.operand() && x.row_elements() == head.k() && uniform.dtype == DType::f64 &&
                       uniform.elements() == rows && token.elements() == rows && logprob.elements() == rows &&
                       sums.elements() >= cross_entropy_scratch(rows, head.n()),
                   "sample_tokens: x {} {}, head {} [{}, {}], sums {}, uniform {} {}, token {}, logprob {}",
                   name_of(x.dtype), x.shape.str(), name_of(head.operand()), head.n(), head.k(), sums.shape.str(),
                   name_of(uniform.dtype), uniform.shape.str(), token.shape.str(), logprob.shape.str());
  if (rows == 0) return;
  const PackedMatrix::Impl& matrix = head.impl();
  const MatrixPanels& panels = matrix.panels;
  const SampleScratch layout(panels);
  const auto* tile_sums = reinterpret_cast<const TileSum*>(sums.as<float>());
  std::vector<Draw> draws(static_cast<size_t>(rows));
  for_row_blocks(stream, rows, [&](int64_t first, int64_t count) {
    for (int64_t r = first; r < first + count; ++r)
      draws[static_cast<size_t>(r)] = choose_tile(r, tile_sums + r * tiles, tiles, uniform.as<double>()[r]);
  });
  std::ranges::stable_sort(draws, {}, &Draw::tile);
  std::vector<std::span<Draw>> blocks;
  for (size_t first = 0; first < draws.size(); first += blocks.back().size()) {
    size_t count = 1;
    while (count < PanelScratch::kRows && first + count < draws.size() &&
           draws[first + count].tile == draws[first].tile)
      ++count;
    blocks.push_back(std::span(draws).subspan(first, count));
  }
  stream.parallel_for(std::ssize(blocks), [&](int64_t task, int) {
    const std::span<Draw> block = blocks[static_cast<size_t>(task)];
    std::byte* memory = thread_scratch(layout.layout.bytes());
    auto* logits = reinterpret_cast<float*>(memory + layout.out);
    for (size_t i = 0; i < block.size(); ++i)
      std::memcpy(memory + layout.x + i * panels.row_bytes(),
                  static_cast<const std::byte*>(x.data) + static_cast<size_t>(block[i].row) * panels.row_bytes(),
                  panels.row_bytes());
    const int64_t first_panel = block.front().tile * kTilePanels;
    for (int64_t p = first_panel; p < std::min(panels.count(), first_panel + kTilePanels); ++p) {
      const std::byte* weights = matrix.prepared(p, memory + layout.widened);
      panels.product(p).run(memory + layout.x, std::ssize(block), weights, logits, memory + layout.workspace);
      for (size_t i = 0; i < block.size(); ++i)
        block[i].go_on(logits + static_cast<int64_t>(i) * panels.columns(p), panels.first_column(p), panels.columns(p));
    }
    for (const Draw& draw : block) {
      token.as<int32_t>()[draw.row] = draw.token;
      logprob.as<float>()[draw.row] = static_cast<float>(static_cast<double>(draw.logit) - draw.log_sum);
    }
  });
}

}  // namespace cpu
}  // namespace switchyard
