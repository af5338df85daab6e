// The numerics id: together with the model and the record, all that a score's bits depend on.
#pragma once

#include <string>

#include "base/dtype.h"
#include "base/memory.h"
#include "kernels/cpu_isa.h"

namespace switchyard {

/// "r3/bf16/avx512_bf16/onednn-2.6.0", on a GPU "r4/bf16/sm_90/cublas-13.0.2". The revision, of CPUs or GPUs, grows
/// with every change to our kernels that changes bits.
std::string numerics_id(DType operand, Device device = Device::cpu, int device_index = 0);

}  // namespace switchyard
