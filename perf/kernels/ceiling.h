// What the machine can multiply, write and copy: the denominators of shares.
#pragma once

#include "base/dtype.h"
#include "base/stream.h"

namespace switchyard::bench {

/// The best GFLOP/s, of several runs, of a 2048³ product of this type: by oneDNN with threads of its own, or with
/// one-thread products side by side on the pool, whichever is faster.
double ceiling_gflops(const Stream& stream, DType dtype);

/// The best GB/s, of several runs, at which the pool's threads write memory, past the caches or through them, whichever
/// is faster.
double ceiling_write_gbytes(const Stream& stream);

/// The same of copying from memory to memory: bytes read and bytes written.
double ceiling_copy_gbytes(const Stream& stream);

}  // namespace switchyard::bench
