// Writing safetensors files, a tensor or a piece of one at a time (io/safetensors.h says what is in them).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "io/file.h"
#include "io/safetensors.h"

namespace switchyard {

/// What a file's own spelling says, of the dtypes that can be written: "BF16".
std::optional<DType> dtype_of_tensor(std::string_view name);

struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;  ///< f32, bf16 or f16
  std::vector<int64_t> shape = {};

  uint64_t bytes() const;
};

/// Wider types first, so that every tensor is aligned in its file; of equal ones in the order they have.
inline constexpr auto kWiderFirst = [](const TensorSpec& a, const TensorSpec& b) {
  return size_of(a.dtype) > size_of(b.dtype);
};

/// A new file of these tensors. Fails (output).
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, std::span<const TensorSpec> tensors);
  /// Of any dtypes, by name, dtype_name and shape; each one's place and bytes are set here.
  SafetensorsWriter(const std::filesystem::path& path, std::span<TensorInfo> tensors,
                    const SafetensorsMetadata& metadata);
  /// The tensors' next bytes, one after the other.
  void append(std::span<const std::byte> bytes);
  /// Bytes of a tensor from its byte `first` on. Each byte comes once, in whatever order.
  void put(const TensorInfo& tensor, uint64_t first, std::span<const std::byte> bytes);
  /// After the last byte of all: the disk has them.
  void finish();

 private:
  void begin(std::span<TensorInfo> tensors, const SafetensorsMetadata& metadata);
  OutputFile file_;
  uint64_t left_ = 0;
};

struct TensorSource {
  TensorSpec spec;
  std::function<void(std::span<std::byte> out)> fill;  ///< called once, with the tensor's bytes to fill
};
/// Writes one file atomically, a tensor at a time, wider types first. Fails (output).
void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors);

}  // namespace switchyard
