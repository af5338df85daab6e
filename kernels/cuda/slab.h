// The form in which Hopper's warpgroups take matrices: rows of 64 bf16, 128 bytes each; chunk c (16 bytes) of row r
// lies at place c ^ (r mod 8) of its row. It is the 128-byte swizzle of PTX ISA, "Shared memory matrix layout". Plain
// C++.
#pragma once

namespace switchyard::cuda {

inline constexpr int kSlabColumns = 64, kSlabChunk = 8, kSlabChunks = kSlabColumns / kSlabChunk;

/// Of the first element of chunk c of row r, in elements.
constexpr int slab_offset(int r, int c) {
  return r * kSlabColumns + (c ^ r % 8) * kSlabChunk;
}

}  // namespace switchyard::cuda
