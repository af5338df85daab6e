// MXFP4 (OCP Microscaling Formats 1.0) as gpt-oss is released: 32 weights of a row share a scale, 2^(s − 127), and are
// 16 bytes of two E2M1 codes each, the one of lower index in the low half.
#include <bit>
#include <limits>

#include "model/weight_format.h"

namespace switchyard::formats {
namespace {

constexpr size_t kBlock = 32;

constexpr float kValues[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                               -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};

void decode(std::span<const std::byte> stored, const RowScales& scales, std::span<float> out) {
  const auto* codes = reinterpret_cast<const uint8_t*>(stored.data());
  float* weight = out.data();
  for (const float scale : scales.values)
    for (size_t i = 0; i < kBlock / 2; ++i, ++codes, weight += 2) {
      weight[0] = kValues[*codes & 15] * scale;
      weight[1] = kValues[*codes >> 4] * scale;
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

std::string read(const Json& description, QuantisedWeights& weights) {
  for (const auto& [field, value] : description.items())
    if (!value.is_null() && field != "quant_method" && field != "modules_to_not_convert" && field != "dequantize")
      return fmt::format("\"{}\" {}", field, brief(value));
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
