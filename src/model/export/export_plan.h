// What a written model is made of: which tensors are in which file, and which rows of which parameters each of them is.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/safetensors_writer.h"
#include "model/checkpoint/tensor_table.h"

namespace switchyard {

/// What tensors are written in: all in one dtype, or each in that of the checkpoint that the model began as.
enum class ExportDType : uint8_t { base, f32, bf16 };

/// Fills out with the values of these rows, [count, columns].
using RowSource = std::function<void(const ParameterRows& rows, std::span<float> out)>;

/// A tensor of a file.
struct ExportTensor {
  TensorSpec spec;
  /// All that it is made of, top to bottom: of a fused tensor one expert's after the other's.
  std::vector<Parameter> parameters = {};
  size_t num_together = 1;   ///< of these form a matrix of the tensor: gate's and up's, where they are fused
  bool transposed = false;   ///< stored [in, out]
  bool interleaved = false;  ///< gate's and up's outputs are stored by turns
  bool tied = false;         ///< a stored copy of tied embeddings

  bool is_turned() const { return transposed || interleaved; }
};

struct ExportFile {
  std::string name;
  std::vector<ExportTensor> tensors;  ///< in the file's order
};

/// The same on every rank that makes it of the same base.
struct ExportPlan {
  std::vector<ExportFile> files = {};
  std::optional<DType> dtype = {};         ///< of all tensors; none: each has its own
  std::vector<std::string> left_out = {};  ///< tensors of the base that are no part of the text model

  uint64_t bytes() const;        ///< of all tensors
  size_t working_bytes() const;  ///< of memory that write_model() takes
  /// visit(rows): everything that write_model() asks for, in its order. A stored copy of tied embeddings is asked for
  /// by itself.
  void for_each_request(const std::function<void(const ParameterRows&)>& visit) const;
};

/// A file's tensors take at most so many bytes, unless one alone takes more: as transformers writes them.
inline constexpr uint64_t kMaxFileBytes = 5'000'000'000;

/// Weights that are converted at once, at most unless one row, or an expert's matrices that are stored turned, have
/// more.
inline constexpr int64_t kExportedAtOnce = int64_t{1} << 20;

/// In a checkpoint's own layout: names, fused experts, orientation, a stored copy of a tied head. Where its tensors are
/// codes of a weight format, numbers in their place, in the layout that the family's numbers have; ExportDType::base
/// is refused then (input), naming a tensor. What is no part of the text model is left out.
ExportPlan plan_export(const TensorTable& base, ExportDType dtype, uint64_t max_file_bytes = kMaxFileBytes);

/// Of a model that began as a configuration alone, `init` (config.json, or a directory that has it): in the layout that
/// the family has on the hub. ExportDType::base: the dtype that it names, F32 where it names none.
ExportPlan plan_export(const ModelConfig& config, const std::filesystem::path& init, ExportDType dtype,
                       uint64_t max_file_bytes = kMaxFileBytes);

/// visit(rows): what of a tensor is converted and written at once; the rows of a piece lie one below the other.
void for_each_piece(const ExportTensor& tensor, const std::function<void(std::span<const ParameterRows>)>& visit);

}  // namespace switchyard
