// How a checkpoint stores the weights of a tensor: as numbers, or as codes with a tensor of scales beside them. Which
// tensors of the file those are, what they must look like, and how a row of them becomes numbers.
// Adding one is a file under formats/ and a line in the table of weight_format.cc.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"
#include "model/config/model_config.h"

namespace switchyard {

/// The scales of a row of a matrix: values[c / block_columns] is that of column c. None where weights are numbers.
struct RowScales {
  std::span<const float> values = {};
  int64_t block_columns = 0;
};

/// A row's stored bytes to f32. A weight is its code's value times its scale, rounded once to f32 (to nearest, ties to
/// even): the same as an F32 checkpoint of these products. Codes that are no number become NaN.
using DecodeRow = void(std::span<const std::byte> stored, const RowScales& scales, std::span<float> out);

/// A dtype that a tensor may have, in the file's own spelling, and what it means.
struct StoredDType {
  std::string_view name;
  DecodeRow* decode;
};

DecodeRow decode_f32, decode_bf16, decode_f16;
inline constexpr StoredDType kPlainDTypes[] = {{"F32", decode_f32}, {"BF16", decode_bf16}, {"F16", decode_f16}};

const StoredDType* find_dtype(std::span<const StoredDType> dtypes, std::string_view name);  ///< null when there is none

/// A format of codes and scales.
struct WeightFormat {
  std::string_view method;  ///< config.json's quant_method
  /// Fills in the blocks from quantization_config. Returns what about it is not implemented, or is wrong, or "".
  std::string (*read)(const Json& description, QuantisedWeights& weights);
  /// Tensor NAME of the model is NAME + codes_suffix and NAME + scales_suffix in the file.
  std::string_view codes_suffix, scales_suffix;
  std::span<const StoredDType> codes, scales;
  /// The codes' tensor, for weights of this shape; its rows are the weights' rows.
  std::vector<int64_t> (*codes_shape)(std::vector<int64_t> shape);
  bool whole_blocks;  ///< a row must be a whole number of blocks
};

const WeightFormat* find_weight_format(std::string_view method);  ///< null when there is none

/// A tensor that the file must have.
struct WantedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const StoredDType> dtypes;
};

/// What must be in a checkpoint for one tensor of the model.
struct StoredForm {
  WantedTensor weights;                       ///< numbers, or codes
  std::optional<WantedTensor> scales = {};    ///< of codes
  int64_t block_rows = 0, block_columns = 0;  ///< that share a scale
  std::string problem = {};                   ///< why it cannot be, or ""
};

/// Of the tensor of this name and shape. Plain numbers, unless the configuration names a format of codes and scales and
/// the checkpoint has either of this tensor (then it needs both); a vector is always plain.
StoredForm stored_form(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& name,
                       const std::vector<int64_t>& shape);

/// Whether modules_to_not_convert, or its like, is what it should be.
bool is_list_of_names(const Json& value);

/// How many blocks there are along an axis, one that its end cuts short included.
int64_t num_blocks(int64_t extent, int64_t block);

}  // namespace switchyard
