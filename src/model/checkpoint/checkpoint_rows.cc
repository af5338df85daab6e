#include "model/checkpoint/checkpoint_rows.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "io/delta_file.h"

namespace switchyard {

CheckpointRows::CheckpointRows(const TensorTable& table, ReadValues values)
    : table_(table),
      masters_(values == ReadValues::masters ? table.checkpoint().masters() : nullptr),
      reader_(table.checkpoint(), values) {
  std::vector<int> experts(static_cast<size_t>(table.config().num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  for_each_tensor(table.config(), experts, nullptr, [&](const StoredTensor& tensor) {
    if (tensor.tied) return;
    Home home{.tensor = tensor};
    for (const Parameter& p : tensor.parameters()) {
      homes_.emplace(p.name(), home);
      ++home.part;
      home.first_row += p.shape[0];
    }
  });
}

void CheckpointRows::operator()(const ParameterRows& rows, std::span<float> out) {
  const Home& home = homes_.at(rows.parameter.name());
  const std::vector<TensorPart> parts = table_.parts_of(home.tensor);
  const bool alone = parts.size() > 1;
  const TensorPart& part = parts[alone ? home.part : 0];
  const int64_t first_row = (alone ? 0 : home.first_row) + rows.first;
  const auto first = static_cast<uint64_t>(first_row * rows.parameter.row_elements());
  if (part.scales || part.transposed || part.interleaved)
    std::ranges::copy(whole(part).subspan(first, out.size()), out.begin());
  else
    read_direct(part.weights, first, out);
}

/// first: in the matrix, in elements.
void CheckpointRows::read_direct(const StoredMatrix& matrix, uint64_t first, std::span<float> out) {
  const size_t size = matrix.bytes / matrix.elements();
  const auto stored = first_of(stored_, out.size() * size);
  table_.checkpoint().read(*matrix.tensor, matrix.first_byte + first * size, stored);
  matrix.decode(stored, {}, out);
  const uint64_t begin = matrix.first_element + first;
  require_below(overflow_limit(DType::f32), out, "weight", matrix, begin);
  const SparseValues* masters = masters_ == nullptr ? nullptr : masters_->masters_of(*matrix.tensor);
  if (masters == nullptr) return;
  masters->visit(begin, begin + out.size(), [&](std::span<const uint64_t> elements, std::span<const std::byte> bytes) {
    for (size_t i = 0; i < elements.size(); ++i)
      std::memcpy(&out[elements[i] - begin], bytes.data() + i * sizeof(float), sizeof(float));
  });
}

std::span<const float> CheckpointRows::whole(const TensorPart& part) {
  const auto values = first_of(whole_, part.weights.elements());
  if (whole_id_ == part.weights.id) return values;
  whole_id_.clear();
  read_part(reader_, part, DType::f32, rows_, values);
  std::vector<PartHash> unused;
  reader_.close(unused);
  whole_id_ = part.weights.id;
  return values;
}

}  // namespace switchyard
