// What the machine can multiply: the denominator of share_of_ceiling.
#pragma once

#include "base/dtype.h"
#include "base/stream.h"

namespace switchyard::bench {

/// The best GFLOP/s, of several runs, of a 2048³ product of this type: by oneDNN with threads of its own, or with
/// one-thread products side by side on the pool, whichever is faster.
double ceiling_gflops(const Stream& stream, DType dtype);

}  // namespace switchyard::bench
