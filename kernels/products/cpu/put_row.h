// Internal to kernels/: from a product in scratch to where it belongs.
#pragma once

#include "kernels/cpu/past_caches.h"
#include "kernels/products/gemm.h"

namespace switchyard {

/// y[i] = (or +=) a product's row. past_caches: of whole lines, to be stored past the caches; then the task ends with
/// _mm_sfence().
template <class T>
void put_row(const float* product, int64_t columns, GemmOutput output, bool past_caches, T* y) {
  const auto take = [&](int64_t i, auto read, auto write) { write(y + i, read(product + i)); };
  if (past_caches)
    for_lanes_past_caches(columns, take);
  else if (output == GemmOutput::store)
    for_lanes(columns, take);
  else
    for_lanes(columns, [&](int64_t i, auto read, auto write) { write(y + i, read(y + i) + read(product + i)); });
}

}  // namespace switchyard
