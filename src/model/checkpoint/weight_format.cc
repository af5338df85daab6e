#include "model/checkpoint/weight_format.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace switchyard {

namespace formats {
extern const WeightFormat fp8, mxfp4;
}

namespace {

constexpr std::array<const WeightFormat*, 2> kFormats = {&formats::fp8, &formats::mxfp4};

/// Whether the file has codes or scales of the tensor.
bool is_coded(const Checkpoint& checkpoint, const WeightFormat& format, const std::string& name) {
  const TensorInfo* codes = checkpoint.find(name + std::string(format.codes_suffix));
  return (codes != nullptr && find_dtype(format.codes, codes->dtype_name) != nullptr) ||
         checkpoint.find(name + std::string(format.scales_suffix)) != nullptr;
}

/// One for each block of the last two axes.
std::vector<int64_t> scales_shape(std::vector<int64_t> shape, const QuantisedWeights& weights) {
  int64_t& columns = shape.back();
  int64_t& rows = shape[shape.size() - 2];
  columns = num_blocks(columns, weights.block_columns);
  rows = num_blocks(rows, weights.block_rows);
  return shape;
}

}  // namespace

void decode_f32(std::span<const std::byte> stored, const RowScales&, std::span<float> out) {
  std::memcpy(out.data(), stored.data(), stored.size());
}

void decode_bf16(std::span<const std::byte> stored, const RowScales&, std::span<float> out) {
  const auto* in = reinterpret_cast<const BFloat16*>(stored.data());
  for (size_t i = 0; i < out.size(); ++i) out[i] = to_float(in[i]);
}

void decode_f16(std::span<const std::byte> stored, const RowScales&, std::span<float> out) {
  const auto* in = reinterpret_cast<const uint16_t*>(stored.data());
  for (size_t i = 0; i < out.size(); ++i) out[i] = half_to_float(in[i]);
}

const StoredDType* find_dtype(std::span<const StoredDType> dtypes, std::string_view name) {
  const auto found = std::ranges::find(dtypes, name, &StoredDType::name);
  return found == dtypes.end() ? nullptr : &*found;
}

const WeightFormat* find_weight_format(std::string_view method) {
  const auto found = std::ranges::find(kFormats, method, [](const WeightFormat* format) { return format->method; });
  return found == kFormats.end() ? nullptr : *found;
}

bool is_list_of_names(const Json& value) {
  return value.is_array() && std::ranges::all_of(value, [](const Json& name) { return name.is_string(); });
}

int64_t num_blocks(int64_t extent, int64_t block) {
  return extent / block + (extent % block != 0);
}

StoredForm stored_form(const Checkpoint& checkpoint, const ModelConfig& config, const std::string& name,
                       const std::vector<int64_t>& shape) {
  const QuantisedWeights* quantised = config.quantised();
  const WeightFormat* format = quantised == nullptr ? nullptr : find_weight_format(quantised->method);
  if (format == nullptr || shape.size() < 2 || !is_coded(checkpoint, *format, name))
    return {.weights = {name, shape, kPlainDTypes}};
  StoredForm form{
      .weights = {name + std::string(format->codes_suffix), format->codes_shape(shape), format->codes},
      .scales = {{name + std::string(format->scales_suffix), scales_shape(shape, *quantised), format->scales}},
      .block_rows = quantised->block_rows,
      .block_columns = quantised->block_columns};
  if (format->whole_blocks && shape.back() % quantised->block_columns != 0)
    form.problem =
        fmt::format("has {} weights a row, expected a multiple of {}", shape.back(), quantised->block_columns);
  return form;
}

}  // namespace switchyard
