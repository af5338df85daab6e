// MXFP4 (OCP Microscaling Formats 1.0) as gpt-oss is released: 32 weights of a row share a scale, 2^(s − 127), and are
// 16 bytes of two E2M1 codes each, the one of lower index in the low half.
#include <bit>
#include <cstring>
#include <limits>

#include "model/checkpoint/weight_format.h"

namespace switchyard::formats {
namespace {

constexpr size_t kBlock = 32;

using U32x8 = uint32_t __attribute__((vector_size(32)));
using F32x8 = float __attribute__((vector_size(32)));

/// E2M1: sign, two bits of exponent with bias 1, one of mantissa. Eight codes to what they stand for, the first in a
/// word's low bits. Exact: a subnormal number, m / 2, is 1 + m / 2 less 1.
F32x8 e2m1(uint32_t word) {
  const U32x8 codes = (U32x8{} + word) >> U32x8{0, 4, 8, 12, 16, 20, 24, 28};
  const U32x8 magnitude = codes & 7, is_subnormal = std::bit_cast<U32x8>(magnitude < 2);  // all bits, or none
  const U32x8 number = (magnitude << 22) + ((126u - is_subnormal) << 23);
  const U32x8 excess = is_subnormal & std::bit_cast<uint32_t>(1.0f);
  const F32x8 value = std::bit_cast<F32x8>(number) - std::bit_cast<F32x8>(excess);
  return std::bit_cast<F32x8>(std::bit_cast<U32x8>(value) | (codes & 8) << 28);
}

void decode(std::span<const std::byte> stored, const RowScales& scales, std::span<float> out) {
  const std::byte* codes = stored.data();
  float* weight = out.data();
  for (const float scale : scales.values)
    for (size_t i = 0; i < kBlock / 8; ++i, codes += 4, weight += 8) {
      uint32_t word;
      std::memcpy(&word, codes, sizeof word);
      const F32x8 weights = e2m1(word) * scale;
      std::memcpy(weight, &weights, sizeof weights);
    }
}

/// E8M0: 0 is 2^−127, 255 is NaN.
void decode_scales(std::span<const std::byte> stored, const RowScales&, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const auto exponent = static_cast<uint32_t>(stored[i]);
    const float power = exponent == 0 ? 0x1p-127f : std::bit_cast<float>(exponent << 23);
    out[i] = exponent == 255 ? std::numeric_limits<float>::quiet_NaN() : power;
  }
}

/// Fields at a value that changes nothing here.
bool is_known(std::string_view field, const Json& value) {
  return value.is_null() || field == "quant_method" || (field == "dequantize" && value.is_boolean()) ||
         (field == "modules_to_not_convert" && is_list_of_names(value));
}

std::string read(const Json& description, QuantisedWeights& weights) {
  for (const auto& [field, value] : description.items())
    if (!is_known(field, value)) return fmt::format("\"{}\" {}", field, brief(value));
  weights.block_rows = 1;
  weights.block_columns = kBlock;
  return {};
}

std::vector<int64_t> codes_shape(std::vector<int64_t> shape) {
  shape.back() /= int64_t{kBlock};
  shape.push_back(kBlock / 2);
  return shape;
}

constexpr StoredDType kCodes[] = {{"U8", decode}}, kScales[] = {{"U8", decode_scales}};

}  // namespace

extern const WeightFormat mxfp4{.method = "mxfp4",
                                .read = read,
                                .codes_suffix = "_blocks",
                                .scales_suffix = "_scales",
                                .codes = kCodes,
                                .scales = kScales,
                                .codes_shape = codes_shape,
                                .whole_blocks = true};

}  // namespace switchyard::formats
