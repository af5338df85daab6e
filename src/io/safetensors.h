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

class DeltaFile;

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

/// Of one element; 0 where no file has such a dtype.
uint64_t bytes_of_dtype(std::string_view dtype_name);

/// What a file says of itself, by name.
using SafetensorsMetadata = std::map<std::string, std::string, std::less<>>;

/// One file's header, checked in full: header length against the file, known dtypes, shape × dtype = data_offsets,
/// offsets within the file, no overlaps and no holes, no duplicate names. Fails (input) naming the file and the tensor.
std::vector<TensorInfo> parse_safetensors_header(std::string_view header, uint64_t data_start, uint64_t file_size,
                                                 std::string_view subject, SafetensorsMetadata* metadata = nullptr);

/// The same from a file: also its length field against its size. metadata, if given: what its __metadata__ says.
std::vector<TensorInfo> read_safetensors_header(const InputFile& file, SafetensorsMetadata* metadata = nullptr);

/// An index file: the file name of every tensor. Fails (input) on anything but plain names.
std::map<std::string, std::string> parse_safetensors_index(const Json& index, std::string_view subject);

/// Whether a directory holds a model's weights, in this format or another: then a Checkpoint of it is worth a try,
/// which says what is wrong with them.
bool holds_weights(const std::filesystem::path& directory);

/// A directory with model.safetensors or model.safetensors.index.json. Where both exist the single file is read, as
/// Hugging Face's own loader does, and a warning says so. Deltas, if any, are patched into what is read: whoever reads
/// has the model that the last of them leads to.
class Checkpoint {
 public:
  /// Reads and checks every header; with an index, that it names exactly the tensors of its files. Deltas in the order
  /// of their chain: fails (input) where one does not begin with what the one before it leads to, or says something of
  /// a tensor that is not there as it says.
  explicit Checkpoint(const std::filesystem::path& directory, std::span<const std::filesystem::path> deltas = {});
  ~Checkpoint();

  const std::map<std::string, TensorInfo, std::less<>>& tensors() const { return tensors_; }
  const TensorInfo* find(std::string_view name) const;
  /// Reads bytes [first, first + out.size()) of the tensor. Thread-safe.
  void read(const TensorInfo& tensor, uint64_t first, std::span<std::byte> out) const;
  void read_unpatched(const TensorInfo& tensor, uint64_t first, std::span<std::byte> out) const;
  /// Makes of those bytes what read() gives.
  void patch(const TensorInfo& tensor, uint64_t first, std::span<std::byte> bytes) const;
  uint64_t bytes_read() const;  ///< by read(), so far
  const std::filesystem::path& file_of(const TensorInfo& tensor) const;
  std::vector<std::filesystem::path> files() const;

  const std::vector<std::unique_ptr<const DeltaFile>>& deltas() const { return deltas_; }
  bool is_patched(std::string_view tensor) const;  ///< by any delta
  /// The last delta, if it has the f32 values that stored ones were rounded from; else null.
  const DeltaFile* masters() const;

 private:
  void add_file(const std::filesystem::path& path);
  void add_indexed_files(const std::filesystem::path& index);
  void add_delta(const std::filesystem::path& path);
  std::vector<std::unique_ptr<InputFile>> files_;
  std::map<std::string, TensorInfo, std::less<>> tensors_;
  std::vector<std::unique_ptr<const DeltaFile>> deltas_;
  std::unique_ptr<std::atomic<uint64_t>> bytes_read_;
};

}  // namespace switchyard
