// Cutting a delta: what of a base's stored elements a trained model has otherwise.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "io/delta_writer.h"
#include "model/checkpoint/tensor_table.h"

namespace switchyard {

/// What a delta will have.
struct DeltaCut {
  std::vector<DeltaPart> parts;  ///< tensors of which it says something
  std::string base, result;      ///< hashes
  std::optional<std::string> master;
  uint64_t tensors = 0, elements = 0, base_bytes = 0;  ///< of the base, all that is stored
  uint64_t changed = 0;
  uint64_t vanished = 0;  ///< elements whose trained value is not the base's, f32 ones that its deltas keep among them,
                          ///< but is stored as the base's
  uint64_t masters = 0;

  uint64_t bytes() const;  ///< of the delta, its header apart
};

/// Reads both models once. Fails (input) where they do not fit (comparison.h) and, with keep_master, unless the trained
/// one is stored in F32. poll: called now and then.
DeltaCut plan_cut(const TensorTable& base, const TensorTable& trained, bool keep_master,
                  const std::function<void()>& poll = {});

/// Reads them once more and writes the delta, which is complete or not there. more: fields of its metadata.
void write_cut(const std::filesystem::path& path, const DeltaCut& cut, const TensorTable& base,
               const TensorTable& trained, SafetensorsMetadata more, const std::function<void()>& poll = {});

}  // namespace switchyard
