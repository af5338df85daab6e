// The numerics id: together with the model and the record, all that a score's bits depend on.
#pragma once

#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/memory.h"
#include "comm/communicator.h"
#include "kernels/cpu_isa.h"
#include "model/config/model_config.h"

namespace switchyard {

/// On CPUs "r3/bf16/avx512_bf16/onednn-2.6.0", on a GPU "r6/bf16/sm_90/cublas-13.0.2", and, where cuBLASLt multiplies,
/// a hash of the algorithms that it does so with. The revision, of CPUs or GPUs, grows with every change to our kernels
/// that changes bits. device_index < 0: of a GPU that is not here.
struct Numerics {
  std::string id;
  std::vector<std::string> algorithms;  ///< of each product that cuBLASLt makes: "f32 [4096, 2048]: algorithm 66, …"
};
Numerics numerics_of(const ModelConfig& config, DType operand, Device device = Device::cpu, int device_index = 0);

/// Up to the id's first '/'.
std::string numerics_revision(std::string_view id);
std::string numerics_revision(Device device);

/// Fails (environment) naming a rank whose id is another one than rank 0's. Collective.
void require_same_numerics(Communicator& world, const std::string& id);

}  // namespace switchyard
