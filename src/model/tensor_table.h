// Which tensors a checkpoint must hold, where the parts of the model lie in them, and that nothing is left over.
#pragma once

#include <string>
#include <vector>

#include "base/tensor.h"
#include "io/safetensors.h"
#include "model/config.h"
#include "model/family.h"

namespace switchyard {

/// A matrix or vector of the model inside a checkpoint: a whole tensor, or one expert's slice of a fused one.
struct TensorPart {
  const TensorInfo* tensor = nullptr;
  uint64_t first_byte = 0, bytes = 0;
  int64_t rows = 0, columns = 0;  ///< as stored
  bool transposed = false;        ///< stored [in, out]
  std::string id;                 ///< the tensor's name, "#expert" behind it for a slice
};

struct AttentionParts {
  TensorPart norm, q, k, v, o, q_norm, k_norm;
};

/// gate and up, or both in `gate_up`.
struct FfnParts {
  TensorPart gate, up, gate_up, down;
  bool is_fused() const { return gate_up.tensor != nullptr; }
};

struct LayerParts {
  AttentionParts attention;
  TensorPart ffn_norm;
  TensorPart router;              ///< moe layers
  std::vector<FfnParts> experts;  ///< moe layers
  std::vector<FfnParts> shared;   ///< one or none
  std::vector<FfnParts> dense;    ///< one in dense layers
};

/// The whole model as parts of a checkpoint.
struct TensorTable {
  TensorPart embed, norm, head;  ///< head: without a tensor when tied
  TensorPart tied_copy;          ///< a head that is stored although it is tied, and must equal embed
  std::vector<LayerParts> layers;
};

/// Finds every tensor of the model by its family's rules. Fails (input), naming all tensors that are missing, unknown
/// (claimed by no rule), of another shape or of a dtype other than F32, BF16, F16; of many the first few. Tensors
/// without elements, and those that are computed from the configuration, are skipped with a line that counts them.
TensorTable make_tensor_table(const Checkpoint& checkpoint, const ModelConfig& config, std::string_view subject);

}  // namespace switchyard
