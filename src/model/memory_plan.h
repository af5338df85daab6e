// Memory of one rank, predicted before anything is allocated.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "model/config/model_config.h"
#include "model/decoder.h"

namespace switchyard {

struct MemoryRequest {
  DType operand = DType::f32;
  ExpertPlacement placement;  ///< on the ranks that share the experts
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
  size_t scratch = 0;      ///< of the kernels; rotary tables
  size_t bookkeeping = 0;  ///< of the host, where another device computes
  Device device = Device::cpu;

  size_t peak() const;       ///< of the device
  size_t host_peak() const;  ///< of the host; on the CPU the same
};

/// What a decoder takes of the device that computes, at most.
struct DecoderMemory {
  size_t arena = 0;    ///< of forward() and score()
  size_t held = 0;     ///< rotary tables, and an exchange's counters
  size_t working = 0;  ///< of ops: of each thread on the CPU, of the stream on a CUDA device
};

/// Runs a decoder of such a model on shapes alone. exchange: a measuring one; works: what it does, if that is wanted.
DecoderMemory measure_decoder(const ModelConfig& config, DType operand, const DecoderLimits& limits, Exchange& exchange,
                              WorkLog* works = nullptr);

MemoryPlan plan_memory(const ModelConfig& config, const MemoryRequest& request);

}  // namespace switchyard
