#include "kernels/products/cpu/pack_panel.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "kernels/cpu/vector_math.h"

namespace switchyard {
namespace {

constexpr int64_t kInputs = 8, kOutputs = 16;  // moved at a time: a line of outputs for each input, or each two

void write(float* to, float w) {
  *to = w;
}
void write(BFloat16* to, float w) {
  *to = to_bfloat16(w);
}

// Half a line. Panels are read much later, when the caches have long had other things.
template <class T, class V>
void write_half(T* to, V half, bool past_caches) {
  if (past_caches)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), std::bit_cast<__m256i>(half));
  else
    std::memcpy(to, &half, sizeof half);
}

template <class T, int64_t Together>
struct Packer {
  const PanelPart& part;
  int64_t k;
  const PanelLayout& layout;
  T* panel;

  const float* source(int64_t j, int64_t i) const { return part.w + j * part.output_stride + i * part.input_stride; }
  T* place(int64_t j, int64_t i) const {
    const int64_t output = part.first + j;
    return panel + output / layout.outputs * layout.block_stride + i / Together * layout.input_stride +
           output % layout.outputs * Together + i % Together;
  }

  /// kOutputs outputs from j on, kInputs inputs from i on, or as many as there are.
  void pack(int64_t j, int64_t i) const {
    const bool in_one_block = (part.first + j) % layout.outputs + kOutputs <= layout.outputs;
    if (j + kOutputs <= part.count && i + kInputs <= k && in_one_block) return pack_lines(source(j, i), place(j, i));
    for (int64_t a = j; a < std::min(j + kOutputs, part.count); ++a)
      for (int64_t b = i; b < std::min(i + kInputs, k); ++b) write(place(a, b), *source(a, b));
  }

  void pack_lines(const float* from, T* to) const {
    alignas(32) float turned[kInputs * kOutputs];
    int64_t stride = part.input_stride;
    if (part.input_stride == 1) {
      for (int64_t half = 0; half < kOutputs; half += kLanes)
        transpose_8x8(from + half * part.output_stride, part.output_stride, turned + half, kOutputs);
      from = turned;
      stride = kOutputs;
    }
    const bool whole_lines = std::bit_cast<uintptr_t>(to) % 64 == 0 && layout.input_stride * sizeof(T) % 64 == 0;
    for (int64_t i = 0; i < kInputs; i += Together, from += Together * stride, to += layout.input_stride)
      for (int64_t half = 0; half < kOutputs; half += kLanes) {
        if constexpr (std::is_same_v<T, float>)
          write_half(to + half, load(from + half), whole_lines);
        else if constexpr (Together == 2)
          write_half(to + 2 * half, bfloat16_pairs(load(from + half), load(from + stride + half)), whole_lines);
        else
          store(to + half, load(from + half));
      }
  }

  /// Along the rows of the source, in whole lines, while the next rows are on their way.
  void run() const {
    const bool turned = part.input_stride == 1;
    const int64_t rows = turned ? part.count : k, columns = turned ? k : part.count;
    const int64_t row_stride = turned ? part.output_stride : part.input_stride;
    for (int64_t row = 0; row < rows; row += 16)
      for (int64_t column = 0; column < columns; column += 16) {
        for (int64_t next = row + 16; next < std::min(row + 32, rows); ++next)
          __builtin_prefetch(part.w + next * row_stride + column);
        const int64_t j = turned ? row : column, i = turned ? column : row;
        pack(j, i);
        if (i + kInputs < k) pack(j, i + kInputs);
      }
    _mm_sfence();
  }
};

template <class T, int64_t Together>
void unpack(const T* panel, const PanelLayout& layout, int64_t k, const PanelRows& rows) {
  const auto place = [&](int64_t j, int64_t i) {
    const int64_t output = rows.first + j;
    return panel + output / layout.outputs * layout.block_stride + i / Together * layout.input_stride +
           output % layout.outputs * Together + i % Together;
  };
  for (int64_t j = 0; j < rows.count; j += kLanes)
    for (int64_t i = 0; i < k; i += kLanes) {
      const bool in_one_block = (rows.first + j) % layout.outputs + kLanes <= layout.outputs;
      if constexpr (std::is_same_v<T, float>) {
        if (j + kLanes <= rows.count && i + kLanes <= k && in_one_block) {
          transpose_8x8(place(j, i), layout.input_stride, rows.w + j * k + i, k);
          continue;
        }
      }
      for (int64_t a = j; a < std::min(j + kLanes, rows.count); ++a)
        for (int64_t b = i; b < std::min(i + kLanes, k); ++b) rows.w[a * k + b] = load_part(place(a, b), 1)[0];
    }
}

}  // namespace

void unpack_part(const std::byte* panel, const PanelLayout& layout, DType stored, int64_t k, const PanelRows& rows) {
  if (stored == DType::f32)
    unpack<float, 1>(reinterpret_cast<const float*>(panel), layout, k, rows);
  else if (layout.together == 1)
    unpack<BFloat16, 1>(reinterpret_cast<const BFloat16*>(panel), layout, k, rows);
  else
    unpack<BFloat16, 2>(reinterpret_cast<const BFloat16*>(panel), layout, k, rows);
}

void pack_part(const PanelPart& part, int64_t k, const PanelLayout& layout, DType stored, std::byte* panel) {
  if (stored == DType::f32)
    Packer<float, 1>{part, k, layout, reinterpret_cast<float*>(panel)}.run();
  else if (layout.together == 1)
    Packer<BFloat16, 1>{part, k, layout, reinterpret_cast<BFloat16*>(panel)}.run();
  else
    Packer<BFloat16, 2>{part, k, layout, reinterpret_cast<BFloat16*>(panel)}.run();
}

}  // namespace switchyard
