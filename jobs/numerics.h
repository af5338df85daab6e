// The numerics id: together with the model and the record, all that a score's bits depend on (DESIGN, contract 1).
#pragma once

#include <string>

#include "base/dtype.h"
#include "kernels/cpu_isa.h"

namespace switchyard {

/// "r1/bf16/avx512_bf16/onednn-2.6.0". The revision grows with every change to our kernels that changes bits.
std::string numerics_id(DType operand);

}  // namespace switchyard
