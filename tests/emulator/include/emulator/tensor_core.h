// The bodies of kernels/cuda/tensor_core.h.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "emulator/block.h"

namespace switchyard::emulator {

/// d += a b with the fragments of the PTX manual. An element is summed by fused multiply-adds in f32, k ascending; a
/// GPU's order is not documented.
void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Place place = Place::current());

/// `num` (1, 2 or 4) matrices to r[0 … num - 1].
void ldmatrix(uint32_t* r, int num, const BFloat16* row, bool transpose, Place place = Place::current());

/// cp.async: what `from` holds when this thread waits for the copy's group comes to `to` then and not before.
void copy_async(void* to, const void* from, int bytes, bool valid);
void commit_copies();
void wait_for_copies(int groups);

}  // namespace switchyard::emulator
