#include "model/export/piece_encoder.h"

#include <algorithm>

#include "model/checkpoint/part_reader.h"
#include "model/checkpoint/tensor_layout.h"

namespace switchyard {
namespace {

template <class T, class Round>
void round_to(std::span<const float> values, std::vector<std::byte>& out, const Round& round) {
  out.resize(values.size() * sizeof(T));
  auto* to = reinterpret_cast<T*>(out.data());
  for (size_t i = 0; i < values.size(); ++i) to[i] = round(values[i]);
}

/// first: the values' index in the tensor.
void require_storable(const TensorSpec& tensor, std::span<const float> values, uint64_t first) {
  const float limit = overflow_limit(tensor.dtype);
  if (all_below(values, limit)) return;
  size_t i = 0;
  while (all_below(values.subspan(i, 1), limit)) ++i;
  fail(ExitCode::output, "tensor {}: weight {} is {}, expected a number that {} can hold", tensor.name, first + i,
       values[i], name_of(tensor.dtype));
}

/// A matrix, or vectors, [out, in] to what is stored of it.
void turn(const ExportTensor& tensor, std::span<const float> values, std::vector<float>& out) {
  out.resize(values.size());
  const bool is_vector = tensor.parameters[0].shape.rank() == 1;
  const int64_t columns = tensor.spec.shape.back(), rows = std::ssize(values) / columns;
  if (is_vector || tensor.transposed)
    return for_each_turned(rows, columns, tensor.interleaved, 0, rows,
                           [&](size_t stored, size_t at) { out[stored] = values[at]; });
  for (int64_t row = 0; row < rows; ++row)
    std::ranges::copy(
        values.subspan(static_cast<size_t>(place_of(row, rows, true) * columns), static_cast<size_t>(columns)),
        out.begin() + row * columns);
}

}  // namespace

void round_values(DType dtype, std::span<const float> values, std::vector<std::byte>& out) {
  if (dtype == DType::bf16)
    round_to<BFloat16>(values, out, to_bfloat16);
  else if (dtype == DType::f16)
    round_to<uint16_t>(values, out, to_half);
  else
    round_to<float>(values, out, [](float x) { return x; });
}

std::span<const float> PieceEncoder::fetch(std::span<const ParameterRows> piece, const RowSource& source) {
  size_t elements = 0;
  for (const ParameterRows& rows : piece) elements += rows.elements();
  const std::span<float> values = first_of(fetched_, elements);
  size_t first = 0;
  for (const ParameterRows& rows : piece) {
    source(rows, values.subspan(first, rows.elements()));
    first += rows.elements();
  }
  return values;
}

PieceEncoder::Stored PieceEncoder::encode(const ExportTensor& tensor, uint64_t first, std::span<const float> values) {
  if (tensor.is_turned()) {
    turn(tensor, values, turned_);
    values = turned_;
  }
  require_storable(tensor.spec, values, first);
  round_values(tensor.spec.dtype, values, encoded_);
  return {values, encoded_};
}

}  // namespace switchyard
