// FP8 E4M3 with a scale for each block of weights, as DeepSeek-V3 and Qwen3-*-FP8 are released (transformers'
// "finegrained_fp8"): W[r, c] = q[r, c] · scale_inv[r / block_rows, c / block_columns], the scale a factor despite its
// name. Which modules are quantised is seen from the tensors; how activations would be is of no concern to the weights.
#include <algorithm>
#include <bit>

#include "model/checkpoint/weight_format.h"

namespace switchyard::formats {
namespace {

/// OCP 8-bit floating point: sign, four bits of exponent with bias 7, three of mantissa; no infinities, 0x7f and 0xff
/// are NaN. Exact, and without a choice that would keep a loop from being vectorised: a subnormal number, m · 2^-9, is
/// (1 + m / 8) · 2^-6 less 2^-6.
float e4m3(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu;
  const uint32_t is_subnormal = (magnitude - 8) >> 31, is_nan = (0x7eu - magnitude) >> 31;
  const uint32_t number = (magnitude << 20) + ((120 + is_subnormal) << 23);
  const uint32_t excess = (0u - is_subnormal) & std::bit_cast<uint32_t>(0x1p-6f);
  const float value = std::bit_cast<float>(number) - std::bit_cast<float>(excess);
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24, nan = (0u - is_nan) & 0x7fc00000u;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign | nan);
}

void decode(std::span<const std::byte> stored, const RowScales& scales, std::span<float> out) {
  const auto* codes = reinterpret_cast<const uint8_t*>(stored.data());
  const auto block = static_cast<size_t>(scales.block_columns);
  size_t first = 0;
  for (const float scale : scales.values) {
    const size_t end = first + std::min(block, out.size() - first);
    for (size_t i = first; i < end; ++i) out[i] = e4m3(codes[i]) * scale;
    first = end;
  }
}

/// Fields at a value that changes nothing here. Some checkpoints of other formats call themselves fp8 as well.
bool is_known(std::string_view field, const Json& value) {
  const std::string_view text = value.is_string() ? std::string_view(value.get_ref<const std::string&>()) : "";
  if (value.is_null() || field == "quant_method" || field == "weight_block_size") return true;
  if (field == "fmt") return text == "e4m3" || text == "float8_e4m3fn";
  if (field == "activation_scheme") return text == "dynamic";
  if (field == "scale_fmt") return text == "ue8m0" || text == "float";  // the former: scales that are powers of two
  if (field == "modules_to_not_convert" || field == "ignored_layers") return is_list_of_names(value);
  return field == "dequantize" && value.is_boolean();
}

std::string read(const Json& description, QuantisedWeights& weights) {
  for (const auto& [field, value] : description.items())
    if (!is_known(field, value)) return fmt::format("\"{}\" {}", field, brief(value));
  const Json* size = find_field(description, "weight_block_size");
  if (size == nullptr) return "no \"weight_block_size\", a scale for a whole tensor";
  const auto is_extent = [](const Json& n) { return n.is_number_integer() && n > 0 && n <= INT32_MAX; };
  if (!size->is_array() || size->size() != 2 || !std::ranges::all_of(*size, is_extent))
    return fmt::format("\"weight_block_size\": expected two positive integers, found {}", brief(size->dump()));
  weights.block_rows = (*size)[0].get<int64_t>();
  weights.block_columns = (*size)[1].get<int64_t>();
  return {};
}

constexpr StoredDType kCodes[] = {{"F8_E4M3", decode}};

}  // namespace

extern const WeightFormat fp8{.method = "fp8",
                              .read = read,
                              .codes_suffix = "",
                              .scales_suffix = "_scale_inv",
                              .codes = kCodes,
                              .scales = std::span(kPlainDTypes).first(2),  // F32, BF16
                              .codes_shape = [](std::vector<int64_t> shape) { return shape; },
                              .whole_blocks = false};

}  // namespace switchyard::formats
