// Memory of one rank, predicted before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "model/config.h"
#include "model/decoder.h"

namespace switchyard {

struct MemoryRequest {
  DType operand = DType::f32;
  int num_ranks = 1;  ///< that share the experts
  int threads = 1;
  DecoderLimits limits;
  int64_t exchange_bytes = 0;  ///< budget
  Device device = Device::cpu;
};

/// Bytes of the rank that hosts most experts, of the device that computes; on the CPU all of it is the host's.
struct MemoryPlan {
  size_t weights = 0;      ///< packed, for good
  size_t loading = 0;      ///< of the host, on top of them while they are read
  size_t activations = 0;  ///< the arena without the exchange
  size_t exchange = 0;     ///< buffers and, on the CPU, bookkeeping
  size_t scratch = 0;      ///< of the kernels; rotary table
  size_t bookkeeping = 0;  ///< of the host, where another device computes
  Device device = Device::cpu;

  size_t peak() const;       ///< of the device
  size_t host_peak() const;  ///< of the host; on the CPU the same
};

/// Workspace of a CUDA stream that a decoder of these limits runs on; max_entries: of the exchange (ExchangeScratch).
size_t device_workspace_bytes(const ModelConfig& config, DType operand, const DecoderLimits& limits,
                              int64_t max_entries);

MemoryPlan plan_memory(const ModelConfig& config, const MemoryRequest& request);

}  // namespace switchyard
