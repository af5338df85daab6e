// Internal to kernels/: weights from where they lie into a panel, in the order in which oneDNN reads it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace switchyard {

/// Of a panel of W [n, k]: blocks of so many outputs; in a block the inputs one after the other, alone or two at a time
/// (`together`), and of these the block's outputs side by side. In elements:
/// (output j, input i) lies at j / outputs · block_stride + i / together · input_stride + j % outputs · together + i %
/// together
struct PanelLayout {
  int64_t outputs, block_stride, input_stride, together;
};

/// Where an output's weights of some input lie, in elements of the panel.
inline int64_t place_in_panel(const PanelLayout& layout, int64_t output, int64_t input) {
  return output / layout.outputs * layout.block_stride + input / layout.together * layout.input_stride +
         output % layout.outputs * layout.together + input % layout.together;
}

/// Some outputs of a panel. Their weights lie at w[j · output_stride + i · input_stride], one of the strides is 1.
struct PanelPart {
  const float* w;
  int64_t output_stride, input_stride;
  int64_t first, count;  ///< in the panel
};

/// Writes the part's weights and nothing else, as f32 or rounded to bf16 as to_bfloat16() does.   k: inputs
void pack_part(const PanelPart& part, int64_t k, const PanelLayout& layout, DType stored, std::byte* panel);

/// Some outputs of a panel, on their way back to rows: those of output first + j to w[j · k …].
struct PanelRows {
  float* w;
  int64_t first, count;
};
/// What pack_part() has written, as f32.
void unpack_part(const std::byte* panel, const PanelLayout& layout, DType stored, int64_t k, const PanelRows& rows);

}  // namespace switchyard
