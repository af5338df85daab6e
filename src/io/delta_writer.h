// Writes a delta (io/delta_file.h): first what there will be, then elements, tensor by tensor.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "io/delta_file.h"
#include "io/safetensors_writer.h"

namespace switchyard {

/// What a delta will say of a tensor of the model.
struct DeltaPart {
  TensorInfo model;  ///< the model's tensor
  uint64_t changed = 0, masters = 0;

  uint64_t elements() const;
  uint64_t bytes() const;  ///< in the delta
};

class DeltaWriter {
 public:
  /// Fails (output), and (input) on a tensor with a colon in its name.
  DeltaWriter(const std::filesystem::path& path, std::span<const DeltaPart> parts, const SafetensorsMetadata& metadata);
  ~DeltaWriter();

  /// Elements of the next part, in the parts' order, follow. Of each kind they come in ascending order.
  void begin_part();
  void change(uint64_t element, std::span<const std::byte> bits);  ///< their exclusive-or
  void keep_master(uint64_t element, float value);
  /// Fails (input) where there were not as many as foreseen: what they come from has not been the same twice.
  void end_part();
  /// After the last part: the disk has all of it.
  void finish() { writer_->finish(); }

 private:
  class Values;
  struct Places;  ///< of a part's tensors among all

  std::vector<TensorInfo> infos_;
  std::vector<Places> places_;
  std::optional<SafetensorsWriter> writer_;
  size_t next_ = 0;
  std::unique_ptr<Values> changed_, masters_;  ///< of the part that is being written
};

}  // namespace switchyard
