// Internal to kernels/: the micro-kernel of weight gradients, a tile of sums of outer products.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/vector_math_16.h"
#include "kernels/products/cpu/chain_steps.h"

namespace switchyard {

/// A tile: kOuterRows of the sums' rows by kOuterColumns of their columns.
inline constexpr int64_t kOuterRows = 12, kOuterColumns = 32, kOuterTile = kOuterRows * kOuterColumns;

/// What the steps make of a tile: of Σ aᵀ b over rows. An element is an f32, or two bf16: a row's in the upper half,
/// and the next row's in the lower.
struct OuterProducts {
  const float* a;  ///< [rows or pairs of rows, kOuterRows]
  const float* b;  ///< [likewise, kOuterColumns]
  std::span<const ChainStep> steps;
  float* stack;            ///< [stack_depth, kOuterTile]
  float* const* nodes;     ///< each node's matrix
  int64_t offset, stride;  ///< the tile's first element in these, and the distance of their rows
  int64_t rows, columns;   ///< of the tile, where the matrix ends within it
  bool past_caches;        ///< nodes that are aligned for it are written to memory without a place in the caches
};

/// Chains begin at +0 and end with + 0; one that goes on later may get it on the way too, where it changes nothing of
/// the end. The same bits from each of the two.
void sum_outer_products_avx2(const OuterProducts& tile);
void sum_outer_products_avx512(const OuterProducts& tile);
/// The same of pairs of bf16, and the same bits but of subnormal numbers, which VDPBF16PS takes for zeros: it adds the
/// upper half's product, then the lower half's, each rounded as a fused multiply-add (Intel SDM, volume 2).
void sum_outer_pairs_avx512_bf16(const OuterProducts& tile);

enum class OuterElement : uint8_t { f32, bf16_pair };
/// By this CPU's widest registers; pairs where bf16 products run natively.
inline void sum_outer_products(const OuterProducts& tile, OuterElement element) {
  if (element == OuterElement::bf16_pair) return sum_outer_pairs_avx512_bf16(tile);
  (has_avx512() ? sum_outer_products_avx512 : sum_outer_products_avx2)(tile);
}

}  // namespace switchyard
