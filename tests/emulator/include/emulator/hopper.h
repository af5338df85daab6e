// The bodies of kernels/cuda/hopper.h and warpgroup_product.h. From the first init_phases() of a block on its races are
// not watched: who is ordered by phases is not followed.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "emulator/block.h"

namespace switchyard::emulator {

void init_phases(uint64_t* barrier, int count);
/// Announces `bytes` as well.
void arrive(uint64_t* barrier, int bytes);
void wait_for_phase(uint64_t* barrier, uint32_t parity, Place place = Place::current());
void named_barrier(int id, int threads, Place place = Place::current());
/// Done at once.
void copy_bulk(void* to, const void* from, int bytes, uint64_t* barrier);

void store_matrix_x2_transposed(BFloat16* row, uint32_t first, uint32_t second, Place place = Place::current());

/// d += a bᵀ: 16 rows of this warp's part of slab a, n rows of slab b, their columns 16 step …; done at once, summed as
/// mma_m16n8k16_bf16 does.
void wgmma_m64k16_bf16(float* d, int n, const BFloat16* a, const BFloat16* b, int step, Place place = Place::current());

/// SWITCHYARD_EMULATED_ARCHITECTURE: 90, or 80, which has no warpgroup products.
int architecture();
/// From now on wgmma's bits depend on n.
void break_wgmma_widths(bool broken);

}  // namespace switchyard::emulator
