// The one list of a model's tensors: what they are called, how large they are, and where they lie in memory. Whatever
// is done with all of them walks it: finding them in a checkpoint, reading, random ones, counting, predicting memory.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config/model_config.h"
#include "model/weights.h"

namespace switchyard {

/// A tensor as the mathematics has it: each expert's projections are tensors of their own.
struct Parameter {
  static constexpr std::string_view kSelectionBias = ".e_score_correction_bias";  ///< kind of a router's

  int64_t layer = -1;                 ///< -1: of no layer
  int64_t expert = -1;                ///< -1: of no expert that a router chooses
  std::string_view block = {};        ///< within the layer: "self_attn.", "mlp.experts."
  std::string_view module = {};       ///< within the block: "q_proj"; "lm_head" where there is no layer
  std::string_view kind = ".weight";  ///< which of the module's tensors it is: ".bias"
  Shape shape = {};                   ///< [out, in], or [n]
  bool around_one = false;            ///< norms are, others around zero

  /// Canonical, Hugging Face's: "model.layers.3.mlp.experts.17.up_proj.weight".
  std::string name() const;
  int64_t row_elements() const { return shape.rank() == 1 ? 1 : shape[1]; }  ///< a vector has rows of one value
  /// What is before the module, without an expert's number: "model.layers.3.mlp.experts.".
  std::string block_name() const;
};

/// Rows [first, first + count) of a parameter.
struct ParameterRows {
  Parameter parameter;
  int64_t first = 0, count = 0;

  size_t elements() const { return static_cast<size_t>(count * parameter.row_elements()); }
};

/// A tensor as it lies in memory: one parameter, or those of gate and up one below the other.
struct StoredTensor {
  std::array<Parameter, 2> parts = {};
  size_t num_parts = 1;
  bool packed = false;  ///< a PackedMatrix, for products; else an OwnedTensor
  bool f32 = false;     ///< whatever the operand
  RowOrder order = RowOrder::plain;
  bool tied = false;  ///< one more copy of the parameter visited before it
  /// Where there are weights, one of the two.
  OwnedTensor* tensor = nullptr;
  PackedMatrix* matrix = nullptr;

  std::span<const Parameter> parameters() const { return std::span(parts).first(num_parts); }
  bool in_layer() const { return parts[0].layer >= 0; }
  bool of_expert() const { return parts[0].expert >= 0; }
  Shape shape() const;  ///< of all its parameters
  DType dtype(DType operand) const { return f32 ? DType::f32 : operand; }
  PackedMatrix matrix_of_shape(DType operand, Device device) const;  ///< of a packed one
  size_t bytes(DType operand, Device device) const;                  ///< of memory
};

/// Visits every tensor. Those of experts only for `experts`, in this order, in each layer that has any. weights: as
/// empty_weights() makes them, with as many experts; null where a configuration is all there is.
void for_each_tensor(const ModelConfig& config, std::span<const int> experts, ModelWeights* weights,
                     const std::function<void(const StoredTensor&)>& visit);

/// visit(parameter, copies): every parameter once; of the experts' only one expert's, of which `experts` are meant.
template <class Visit>
void for_each_parameter(const ModelConfig& config, int64_t experts, const Visit& visit) {
  constexpr std::array kOne = {0};
  for_each_tensor(config, kOne, nullptr, [&](const StoredTensor& tensor) {
    if (tensor.tied) return;
    for (const Parameter& p : tensor.parameters()) visit(p, p.expert < 0 ? int64_t{1} : experts);
  });
}

}  // namespace switchyard
