// Which tensors a checkpoint must hold, where the parts of the model lie in them, and that nothing is left over.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors.h"
#include "model/checkpoint/weight_format.h"
#include "model/config/family.h"
#include "model/config/model_config.h"
#include "model/parameters.h"

namespace switchyard {

/// A matrix or vector inside a checkpoint: a whole tensor, or one expert's slice of a fused one.
struct StoredMatrix {
  const TensorInfo* tensor = nullptr;
  uint64_t first_byte = 0, bytes = 0;
  uint64_t first_element = 0;     ///< in the tensor
  int64_t rows = 0, columns = 0;  ///< as stored; a vector is one row
  DecodeRow* decode = nullptr;
  std::string id;  ///< the tensor's name, "#expert" behind it for a slice

  size_t elements() const { return static_cast<size_t>(rows * columns); }
  size_t row_bytes() const { return bytes / static_cast<size_t>(rows); }
};

/// A matrix or vector of the model in a checkpoint.
struct TensorPart {
  StoredMatrix weights;                       ///< numbers, or codes
  std::optional<StoredMatrix> scales;         ///< of codes, one for each block
  int64_t block_rows = 0, block_columns = 0;  ///< where there are scales
  bool transposed = false;                    ///< stored [in, out]
  bool interleaved = false;                   ///< outputs are stored one of gate, one of up, …
};

/// A head that is stored although it is tied, and must equal the embeddings.
struct TiedCopy {
  TensorPart embed, head;
};

/// The whole model as parts of a checkpoint.
class TensorTable {
 public:
  /// Finds every tensor of the model by its family's rules. Fails (input), naming all tensors that are missing, unknown
  /// (claimed by no rule), of another shape or of a dtype other than F32, BF16, F16 or those of the configuration's
  /// weight format; of many the first few. Tensors without elements, and those that are computed from the
  /// configuration, are skipped with a line that counts them.
  TensorTable(const Checkpoint& checkpoint, const ModelConfig& config, std::string_view subject);

  /// What the checkpoint has of a tensor: parts that are it, one below the other.
  std::vector<TensorPart> parts_of(const StoredTensor& tensor) const;

  const std::optional<TiedCopy>& tied_copy() const { return tied_copy_; }
  /// Tensors of the checkpoint that are no part of the model, by name.
  const std::vector<std::string>& skipped() const { return skipped_; }
  const TensorLayout& layout() const { return layout_; }
  const Checkpoint& checkpoint() const { return checkpoint_; }
  const ModelConfig& config() const { return config_; }

 private:
  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  const TensorLayout& layout_;
  std::optional<TiedCopy> tied_copy_;
  std::vector<std::string> skipped_;
};

/// Fails (input) where the headers of a model's files, or of its deltas, are not what the configuration says. Nothing
/// else of them is read.
void check_headers(const ModelConfig& config, const std::filesystem::path& directory,
                   std::span<const std::filesystem::path> deltas);

}  // namespace switchyard
