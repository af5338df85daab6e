#include "model/checkpoint/part_reader.h"

#include <bit>
#include <cmath>
#include <limits>

#include "io/delta_file.h"

namespace switchyard {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

bool all_below(std::span<const float> values, float limit) {
  // The bits of |x| order as numbers do, NaN above infinity. A maximum of integers vectorises, a branch per value or a
  // sum of floats does not.
  uint32_t largest = 0;
  for (const float x : values) largest = std::max(largest, std::bit_cast<uint32_t>(x) & 0x7fffffffu);
  return largest < std::bit_cast<uint32_t>(limit);
}

void require_below(float limit, std::span<const float> values, std::string_view what, const StoredMatrix& matrix,
                   uint64_t first) {
  if (all_below(values, limit)) return;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::fabs(values[i]) < limit) continue;
    const std::string_view wrong =
        std::isfinite(values[i]) ? "beyond the range of bf16 (use --dtype f32)" : "expected a finite number";
    fail(ExitCode::input, "tensor {}: {} {} is {}, {}", matrix.tensor->name, what, first + i, values[i], wrong);
  }
}

float overflow_limit(DType dtype) {
  if (dtype == DType::f16) return 65520;
  return dtype == DType::bf16 ? 0x1.ffp127f : kInfinity;
}

std::span<const std::byte> PartReader::fetch(const StoredMatrix& matrix, uint64_t first, uint64_t bytes,
                                             Hasher& hasher) {
  const auto stored = first_of(stored_, bytes);
  checkpoint_.read(*matrix.tensor, matrix.first_byte + first, stored);
  hasher.update(std::span<const std::byte>(stored));
  return stored;
}

void PartReader::open(const TensorPart& part, DType operand) {
  part_ = &part;
  limit_ = overflow_limit(operand);
  next_row_ = 0;
  weights_hasher_ = scales_hasher_ = {};
  if (!part.scales) return;
  const StoredMatrix& scales = *part.scales;
  const auto values = first_of(scales_, scales.elements());
  scales.decode(fetch(scales, 0, scales.bytes, scales_hasher_), {}, values);
  require_below(kInfinity, values, "scale", scales, scales.first_element);
}

int64_t PartReader::rows_at_once() const {
  return std::clamp<int64_t>(kWeightsAtOnce / part_->weights.columns, 1, part_->weights.rows);
}

RowScales PartReader::scales_of(int64_t row) const {
  if (!part_->scales) return {};
  const auto columns = static_cast<size_t>(part_->scales->columns);
  const auto first = static_cast<size_t>(row / part_->block_rows) * columns;
  return {std::span(scales_).subspan(first, columns), part_->block_columns};
}

void PartReader::read(int64_t rows, const std::function<std::span<float>(int64_t row)>& to) {
  const StoredMatrix& weights = part_->weights;
  const size_t row_bytes = weights.row_bytes();
  const auto stored = fetch(weights, static_cast<uint64_t>(next_row_) * row_bytes,
                            static_cast<uint64_t>(rows) * row_bytes, weights_hasher_);
  for (int64_t r = 0; r < rows; ++r, ++next_row_) {
    const std::span<float> values = to(next_row_);
    weights.decode(stored.subspan(static_cast<size_t>(r) * row_bytes, row_bytes), scales_of(next_row_), values);
    require_below(limit_, values, "weight", weights,
                  weights.first_element + static_cast<uint64_t>(next_row_ * weights.columns));
  }
  if (masters_ != nullptr) read_masters(rows, to);
}

/// In place of the stored values of the `rows` rows before next_row_.
void PartReader::read_masters(int64_t rows, const std::function<std::span<float>(int64_t row)>& to) {
  const StoredMatrix& weights = part_->weights;
  const SparseValues* masters = masters_->masters_of(*weights.tensor);
  if (masters == nullptr) return;
  const auto columns = static_cast<uint64_t>(weights.columns);
  const uint64_t end = weights.first_element + static_cast<uint64_t>(next_row_) * columns;
  masters->visit(end - static_cast<uint64_t>(rows) * columns, end,
                 [&](std::span<const uint64_t> elements, std::span<const std::byte> bytes) {
                   const std::span values(reinterpret_cast<const float*>(bytes.data()), elements.size());
                   for (size_t i = 0; !all_below(values.subspan(i), limit_); ++i)
                     require_below(limit_, values.subspan(i, 1), "f32 value", weights, elements[i]);
                   std::span<float> row;
                   uint64_t row_begin = 0, row_end = 0;  // elements of the tensor
                   for (size_t i = 0; i < elements.size(); ++i) {
                     if (elements[i] >= row_end) {
                       const uint64_t index = (elements[i] - weights.first_element) / columns;
                       row = to(static_cast<int64_t>(index));
                       row_begin = weights.first_element + index * columns;
                       row_end = row_begin + columns;
                     }
                     row[elements[i] - row_begin] = values[i];
                     masters_hasher_.add(elements[i], values[i]);
                   }
                 });
}

void PartReader::close(std::vector<PartHash>& hashes) {
  SWITCHYARD_CHECK(next_row_ == part_->weights.rows, "tensor {}: {} of {} rows read", part_->weights.id, next_row_,
                   part_->weights.rows);
  hashes.push_back({part_->weights.id, weights_hasher_.digest()});
  if (part_->scales) hashes.push_back({part_->scales->id, scales_hasher_.digest()});
  const std::optional<Hash128> masters = masters_hasher_.take();
  hash_of_masters_ = masters ? std::optional(PartHash{part_->weights.id, *masters}) : std::nullopt;
}

size_t PartReader::buffer_bytes(int64_t elements, int64_t columns, int64_t num_scales) {
  const int64_t at_once = std::min(elements, std::max(kWeightsAtOnce, columns));
  // Stored numbers take at most 4 bytes, a weight as a scale; scales are there as f32 too.
  return sizeof(float) * static_cast<size_t>(std::max(at_once, num_scales) + num_scales);
}

}  // namespace switchyard
