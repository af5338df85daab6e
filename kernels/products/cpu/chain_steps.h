// Internal to kernels/: in which order a weight gradient's rows are summed: slices one by one, their parts up the tree.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/slice_tree.h"

namespace switchyard {

/// A slice's part of a sum, or a piece of it: a chain of fused multiply-adds over so many further rows. Parts that wait
/// for others lie on a stack of tiles.
struct ChainStep {
  int64_t rows;
  int64_t depth;         ///< tiles on the stack beforehand
  bool resumes;          ///< the chain was left at [depth]
  bool squares = false;  ///< the chain, when it ends: its square is the part
  int merges = 0;        ///< of these tiles, the top one first, how many are added to the chain afterwards
  int node = -1;         ///< whose sum it is then; −1: it is put on the stack
};

/// The steps that sum a group's rows into the nodes of its slices. offsets: [slices.count() + 1]; squared: as
/// SlicedRows have it. Slices without rows take none: a part is never −0, so that nothing is what it adds.
std::vector<ChainStep> chain_steps(const SliceRange& slices, std::span<const int64_t> offsets, bool squared = false);

/// What falls on the rows [first, end), counted from the first step's. A chain that goes on later is left on the stack.
std::vector<ChainStep> steps_between(std::span<const ChainStep> steps, int64_t first, int64_t end);

/// Tiles on the stack of so many slices at most, with the chain that is left there.
int64_t stack_depth(const SliceRange& slices);

}  // namespace switchyard
