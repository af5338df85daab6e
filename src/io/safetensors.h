// Reading Hugging Face safetensors directories: one file, or several with an index.
// Format: u64 little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file.h"
#include "io/json.h"

namespace switchyard {

/// What the files of a model are called.
inline constexpr std::string_view kWeightsFile = "model.safetensors", kWeightsIndex = "model.safetensors.index.json";

/// Where a tensor lies.
struct TensorInfo {
  std::string name;
  std::string dtype_name;  ///< the file's own spelling: "BF16"
  std::vector<int64_t> shape;
  int file = 0;         ///< index into the checkpoint's files
  uint64_t offset = 0;  ///< of the first byte in that file
  uint64_t bytes = 0;

  std::string shape_str() const;  ///< "[128, 64]"
};

/// One file's header, checked in full: header length against the file, known dtypes, shape × dtype = data_offsets,
/// offsets within the file, no overlaps and no holes, no duplicate names. Fails (input) naming the file and the tensor.
std::vector<TensorInfo> parse_safetensors_header(std::string_view header, uint64_t data_start, uint64_t file_size,
                                                 std::string_view subject);

/// The same from a file: also its length field against its size.
std::vector<TensorInfo> read_safetensors_header(const InputFile& file);

/// An index file: the file name of every tensor. Fails (input) on anything but plain names.
std::map<std::string, std::string> parse_safetensors_index(const Json& index, std::string_view subject);

/// Whether a directory holds a model's weights, in this format or another: then a Checkpoint of it is worth a try,
/// which says what is wrong with them.
bool holds_weights(const std::filesystem::path& directory);

/// A directory with model.safetensors or model.safetensors.index.json. Where both exist the single file is read, as
/// Hugging Face's own loader does, and a warning says so.
class Checkpoint {
 public:
  /// Reads and checks every header; with an index, that it names exactly the tensors of its files.
  explicit Checkpoint(const std::filesystem::path& directory);

  const std::map<std::string, TensorInfo, std::less<>>& tensors() const { return tensors_; }
  const TensorInfo* find(std::string_view name) const;
  /// Reads bytes [first, first + out.size()) of the tensor. Thread-safe.
  void read(const TensorInfo& tensor, uint64_t first, std::span<std::byte> out) const;
  uint64_t bytes_read() const;  ///< by read(), so far
  const std::filesystem::path& file_of(const TensorInfo& tensor) const;

 private:
  void add_file(const std::filesystem::path& path);
  void add_indexed_files(const std::filesystem::path& index);
  std::vector<std::unique_ptr<InputFile>> files_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::unique_ptr<std::atomic<uint64_t>> bytes_read_;
};

}  // namespace switchyard
