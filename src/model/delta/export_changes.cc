#include "model/delta/export_changes.h"

#include <bit>
#include <cstring>

#include "model/export/piece_encoder.h"

namespace switchyard {

ExportChanges::ExportChanges(const std::filesystem::path& base, std::span<const std::filesystem::path> deltas,
                             const ModelConfig& config)
    : checkpoint_(base, deltas), table_(checkpoint_, config, base.native()), rows_(table_, ReadValues::masters) {}

void ExportChanges::see(const ExportTensor& tensor, std::span<const ParameterRows> piece,
                        std::span<const float> values) {
  if (tensor.tied) return;  // the same numbers once more
  const auto base = first_of(base_, values.size());
  size_t first = 0;
  for (const ParameterRows& rows : piece) {
    rows_(rows, base.subspan(first, rows.elements()));
    first += rows.elements();
  }
  round_values(tensor.spec.dtype, values, written_);
  round_values(tensor.spec.dtype, base, written_base_);
  const size_t size = size_of(tensor.spec.dtype);
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::bit_cast<uint32_t>(values[i]) == std::bit_cast<uint32_t>(base[i])) continue;
    ++(std::memcmp(&written_[i * size], &written_base_[i * size], size) == 0 ? vanished_ : changed_);
  }
  elements_ += std::ssize(values);
}

}  // namespace switchyard
