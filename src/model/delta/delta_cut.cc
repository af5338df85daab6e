#include "model/delta/delta_cut.h"

#include <bit>
#include <cstring>

#include "io/delta_file.h"
#include "io/temporary_file.h"
#include "model/checkpoint/stored_hash.h"
#include "model/delta/comparison.h"

namespace switchyard {
namespace {

/// change(i, bits): where the stored elements differ, and their exclusive-or.
template <class Bits, class Change>
void for_each_change(const ComparedPiece& piece, const Change& change) {
  for (size_t i = 0; i < piece.values.size(); ++i) {
    Bits base, result;
    std::memcpy(&base, &piece.base[i * sizeof base], sizeof base);
    std::memcpy(&result, &piece.result[i * sizeof result], sizeof result);
    if (base != result) change(i, static_cast<Bits>(base ^ result));
  }
}
template <class Change>
void for_each_change(const ComparedPiece& piece, const Change& change) {
  if (piece.element_bytes() == sizeof(uint32_t))
    for_each_change<uint32_t>(piece, change);
  else
    for_each_change<uint16_t>(piece, change);
}

/// keep(i): where rounding has changed the value.
template <class Keep>
void for_each_remainder(const ComparedPiece& piece, const Keep& keep) {
  for (size_t i = 0; i < piece.values.size(); ++i)
    if (std::bit_cast<uint32_t>(piece.values[i]) != std::bit_cast<uint32_t>(piece.rounded[i])) keep(i);
}

/// Elements whose trained value is the f32 one that the base's deltas keep: nothing has moved them since.
std::vector<bool> unmoved_elements(const Checkpoint& base, const ComparedPiece& piece) {
  std::vector<bool> unmoved(piece.values.size());
  const SparseValues* kept = base.masters() == nullptr ? nullptr : base.masters()->masters_of(piece.tensor);
  if (kept == nullptr) return unmoved;
  kept->visit(piece.first, piece.first + piece.values.size(),
              [&](std::span<const uint64_t> elements, std::span<const std::byte> values) {
                for (size_t i = 0; i < elements.size(); ++i) {
                  const size_t at = elements[i] - piece.first;
                  unmoved[at] = std::memcmp(&piece.values[at], &values[i * sizeof(float)], sizeof(float)) == 0;
                }
              });
  return unmoved;
}

bool is_same(const ComparedPiece& piece, size_t i) {
  const size_t size = piece.element_bytes();
  return std::memcmp(&piece.base[i * size], &piece.result[i * size], size) == 0;
}

void require_f32(const Checkpoint& trained) {
  for (const auto& [name, tensor] : trained.tensors())
    if (tensor.dtype_name != "F32")
      fail(ExitCode::input, "--keep-master: tensor {}: expected F32 (train --export f32), found {}", name,
           tensor.dtype_name);
}

}  // namespace

uint64_t DeltaCut::bytes() const {
  uint64_t sum = 0;
  for (const DeltaPart& part : parts) sum += part.bytes();
  return sum;
}

DeltaCut plan_cut(const TensorTable& base, const TensorTable& trained, bool keep_master,
                  const std::function<void()>& poll) {
  if (keep_master) require_f32(trained.checkpoint());
  DeltaCut cut;
  for (const auto& [name, tensor] : base.checkpoint().tensors()) {
    ++cut.tensors;
    cut.elements += tensor.bytes / bytes_of_dtype(tensor.dtype_name);
    cut.base_bytes += tensor.bytes;
  }
  const StoredParts stored(base);
  StoredHasher of_base(stored), of_result(stored);
  StoredMasterHasher of_masters(stored);
  DeltaPart part;
  compare_models(base, trained, [&](const ComparedPiece& piece) {
    if (piece.begins()) part = {.model = piece.tensor};
    const size_t size = piece.element_bytes();
    of_base.update(piece.tensor, piece.first * size, piece.base);
    of_result.update(piece.tensor, piece.first * size, piece.result);
    for_each_change(piece, [&](size_t, auto) { ++part.changed; });
    const std::vector<bool> unmoved = unmoved_elements(base.checkpoint(), piece);
    for_each_remainder(piece, [&](size_t i) {
      if (is_same(piece, i) && !unmoved[i]) ++cut.vanished;
      if (!keep_master) return;
      ++part.masters;
      of_masters.add(piece.tensor, (piece.first + i) * size, piece.first + i, piece.values[i]);
    });
    if (poll) poll();
    if (!piece.ends()) return;
    cut.changed += part.changed;
    cut.masters += part.masters;
    if (part.changed + part.masters > 0) cut.parts.push_back(part);
  });
  cut.base = of_base.digest().hex();
  cut.result = of_result.digest().hex();
  if (const std::optional<Hash128> hash = of_masters.digest()) cut.master = hash->hex();
  return cut;
}

void write_cut(const std::filesystem::path& path, const DeltaCut& cut, const TensorTable& base,
               const TensorTable& trained, SafetensorsMetadata more, const std::function<void()>& poll) {
  namespace field = delta_field;
  more[field::kFormat] = kDeltaFormat;
  more[field::kBase] = cut.base;
  more[field::kResult] = cut.result;
  if (cut.master) more[field::kMaster] = *cut.master;
  more[field::kTensors] = std::to_string(cut.tensors);
  more[field::kElements] = std::to_string(cut.elements);
  more[field::kBytes] = std::to_string(cut.base_bytes);
  more[field::kChanged] = std::to_string(cut.changed);
  const TemporaryFile temporary(path);
  DeltaWriter writer(temporary.path(), cut.parts, more);
  auto part = cut.parts.begin();
  compare_models(base, trained, [&](const ComparedPiece& piece) {
    if (poll) poll();
    if (part == cut.parts.end() || piece.tensor.name != part->model.name) return;
    if (piece.begins()) writer.begin_part();
    for_each_change(piece,
                    [&](size_t i, auto bits) { writer.change(piece.first + i, std::as_bytes(std::span(&bits, 1))); });
    if (part->masters > 0)
      for_each_remainder(piece, [&](size_t i) { writer.keep_master(piece.first + i, piece.values[i]); });
    if (!piece.ends()) return;
    writer.end_part();
    ++part;
  });
  writer.finish();
  temporary.publish();
}

}  // namespace switchyard
