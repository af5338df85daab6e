#include "io/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "base/log.h"
#include "io/delta_file.h"
#include "io/foreign_file.h"
#include "io/json.h"

namespace switchyard {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the limit of the format's own library
constexpr std::string_view kMetadata = "__metadata__";
constexpr uint64_t kMaxIndexBytes = uint64_t{256} << 20;

struct KnownDType {
  std::string_view name;
  uint64_t bytes;
};

constexpr KnownDType kKnownDTypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2},  {"BF16", 2},    {"I64", 8},
                                       {"I32", 4}, {"I16", 2}, {"I8", 1},   {"U64", 8},     {"U32", 4},
                                       {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};

void check_metadata(const Json& metadata, std::string_view subject) {
  if (!metadata.is_object())
    fail(ExitCode::input, "{}: {}: expected an object of strings, found {}", subject, kMetadata, brief(metadata));
  for (const auto& [key, value] : metadata.items())
    if (!value.is_string())
      fail(ExitCode::input, "{}: {}: {}: expected a string, found {}", subject, kMetadata, brief(key), brief(value));
}

/// Product of the extents and `bytes`; refuses what a u64 cannot count.
uint64_t checked_bytes(const std::vector<int64_t>& shape, uint64_t bytes, std::string_view subject) {
  for (const int64_t extent : shape) {
    if (extent < 0) fail(ExitCode::input, "{}: \"shape\": expected extents of at least 0, found {}", subject, extent);
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes))
      fail(ExitCode::input, "{}: shape [{}] has more than 2^64 bytes", subject, fmt::join(shape, ", "));
  }
  return bytes;
}

TensorInfo parse_tensor(const std::string& name, const Json& entry, uint64_t data_start, uint64_t data_bytes,
                        std::string_view file) {
  const std::string subject = fmt::format("{}: tensor {}", file, brief(name));
  if (!entry.is_object()) fail(ExitCode::input, "{}: expected an object, found {}", subject, brief(entry));
  for (const auto& [field, value] : entry.items())
    if (field != "dtype" && field != "shape" && field != "data_offsets")
      fail(ExitCode::input, "{}: unknown field {} (expected dtype, shape, data_offsets)", subject, brief(field));

  TensorInfo tensor;
  tensor.name = name;
  tensor.dtype_name = require_string(entry, "dtype", subject);
  const uint64_t element = bytes_of_dtype(tensor.dtype_name);
  if (element == 0) fail(ExitCode::input, "{}: unknown dtype {}", subject, brief(tensor.dtype_name));
  tensor.shape = require_int_array(entry, "shape", subject);

  const auto offsets = require_int_array(entry, "data_offsets", subject);
  if (offsets.size() != 2 || offsets[0] < 0 || offsets[1] < offsets[0])
    fail(ExitCode::input, "{}: \"data_offsets\": expected [begin, end] with 0 <= begin <= end, found [{}]", subject,
         fmt::join(offsets, ", "));
  const auto begin = static_cast<uint64_t>(offsets[0]), end = static_cast<uint64_t>(offsets[1]);
  if (end > data_bytes)
    fail(ExitCode::input,
         "{}: data_offsets [{}, {}] leave the file, which has {} bytes of data: cut short, an unfinished download?",
         subject, begin, end, data_bytes);
  const uint64_t expected = checked_bytes(tensor.shape, element, subject);
  if (end - begin != expected)
    fail(ExitCode::input, "{}: {} {} has {} bytes, data_offsets [{}, {}] have {}", subject, tensor.dtype_name,
         tensor.shape_str(), expected, begin, end, end - begin);
  tensor.offset = data_start + begin;
  tensor.bytes = expected;
  return tensor;
}

/// Every byte of the data belongs to exactly one tensor.
void check_coverage(const std::vector<TensorInfo>& tensors, uint64_t data_start, uint64_t file_size,
                    std::string_view file) {
  std::vector<const TensorInfo*> by_offset;
  for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
  std::sort(by_offset.begin(), by_offset.end(), [](const TensorInfo* a, const TensorInfo* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  uint64_t covered = data_start;
  for (const TensorInfo* tensor : by_offset) {
    if (tensor->offset != covered)
      fail(ExitCode::input, "{}: tensor {}: expected to start at data offset {}, starts at {} ({})", file,
           brief(tensor->name), covered - data_start, tensor->offset - data_start,
           tensor->offset < covered ? "overlaps the tensor before" : "a hole");
    covered += tensor->bytes;
  }
  if (covered != file_size) fail(ExitCode::input, "{}: {} bytes after the last tensor", file, file_size - covered);
}

/// A file beside the index, which may not lead out of its directory.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
}

/// Names of weights in other formats, and of safetensors without an index, in order.
std::vector<std::string> other_weights(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  if (!directory_exists(directory)) return names;  // a configuration alone
  for (const std::filesystem::path& entry : list_directory(directory)) {
    const std::string name = entry.filename().native();
    if (name.ends_with(".safetensors") || name.ends_with(".gguf") || name.starts_with("pytorch_model") ||
        (name.starts_with("consolidated.") && name.ends_with(".pth")))
      names.push_back(name);
  }
  return names;
}

[[noreturn]] void fail_without_weights(const std::filesystem::path& directory) {
  const std::vector<std::string> others = other_weights(directory);
  const std::string found = others.empty() ? "neither" : others.front();
  std::string_view advice;
  if (found.ends_with(".safetensors"))
    advice = ": download the index too";
  else if (!others.empty())
    advice = ": convert the model to safetensors";
  fail(ExitCode::input, "{}: expected {} or {}, found {}{}", directory.native(), kWeightsFile, kWeightsIndex, found,
       advice);
}

}  // namespace

uint64_t bytes_of_dtype(std::string_view dtype_name) {
  const auto* const known = std::ranges::find(kKnownDTypes, dtype_name, &KnownDType::name);
  return known == std::end(kKnownDTypes) ? 0 : known->bytes;
}

std::string TensorInfo::shape_str() const {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::vector<TensorInfo> parse_safetensors_header(std::string_view header, uint64_t data_start, uint64_t file_size,
                                                 std::string_view subject, SafetensorsMetadata* metadata) {
  SWITCHYARD_CHECK(data_start <= file_size, "data from byte {} of a file of {} bytes", data_start, file_size);
  const Json root = parse_json(header, fmt::format("{}: header", subject));
  if (!root.is_object())
    fail(ExitCode::input, "{}: header: expected an object of tensors, found {}", subject, brief(root));
  std::vector<TensorInfo> tensors;
  tensors.reserve(root.size());
  for (const auto& [name, entry] : root.items()) {
    if (name != kMetadata) {
      tensors.push_back(parse_tensor(name, entry, data_start, file_size - data_start, subject));
      continue;
    }
    check_metadata(entry, subject);
    if (metadata != nullptr)
      for (const auto& [key, value] : entry.items()) metadata->emplace(key, value.get<std::string>());
  }
  check_coverage(tensors, data_start, file_size, subject);
  return tensors;
}

std::vector<TensorInfo> read_safetensors_header(const InputFile& file, SafetensorsMetadata* metadata) {
  const std::string& subject = file.path().native();
  if (file.size() < kLengthBytes)
    fail(ExitCode::input, "{}: {} bytes, too short for a safetensors file: an unfinished download?", subject,
         file.size());
  const std::string head = head_of(file);
  const bool starts_header = head.substr(kLengthBytes, 1) == "{";
  if (const std::string what = describe_foreign(head); !starts_header && !what.empty())
    fail(ExitCode::input, "{}: expected a safetensors header, found {}", subject, what);
  uint64_t length = 0;
  std::memcpy(&length, head.data(), kLengthBytes);
  if (length > kMaxHeaderBytes || length > file.size() - kLengthBytes)
    fail(ExitCode::input, "{}: header of {} bytes: expected at most {} in a file of {} bytes{}", subject, length,
         std::min(kMaxHeaderBytes, file.size() - kLengthBytes), file.size(),
         starts_header ? ": cut short, an unfinished download?" : "");
  std::string header(length, '\0');
  file.read(kLengthBytes, std::as_writable_bytes(std::span(header)));
  return parse_safetensors_header(header, kLengthBytes + length, file.size(), subject, metadata);
}

std::map<std::string, std::string> parse_safetensors_index(const Json& index, std::string_view subject) {
  const Json* weight_map = find_field(index, "weight_map");
  if (weight_map == nullptr || !weight_map->is_object())
    fail(ExitCode::input, "{}: field \"weight_map\": expected an object of file names, found {}", subject,
         weight_map == nullptr ? "none" : brief(*weight_map));
  std::map<std::string, std::string> file_of;
  for (const auto& [tensor, file] : weight_map->items()) {
    if (!file.is_string() || !is_plain_name(file.get_ref<const std::string&>()))
      fail(ExitCode::input, "{}: tensor {}: expected the name of a file in the same directory, found {}", subject,
           brief(tensor), brief(file));
    file_of.emplace(tensor, file.get<std::string>());
  }
  return file_of;
}

bool holds_weights(const std::filesystem::path& directory) {
  return is_listed(directory / kWeightsFile) || is_listed(directory / kWeightsIndex) ||
         !other_weights(directory).empty();
}

Checkpoint::Checkpoint(const std::filesystem::path& directory, std::span<const std::filesystem::path> deltas)
    : bytes_read_(std::make_unique<std::atomic<uint64_t>>(0)) {
  const auto single = directory / kWeightsFile, index = directory / kWeightsIndex;
  const bool has_single = is_listed(single), has_index = is_listed(index);
  if (has_single && has_index)
    log::warning("{}: {} is read, {} beside it is not", directory.native(), kWeightsFile, kWeightsIndex);
  if (has_single)
    add_file(single);
  else if (has_index)
    add_indexed_files(index);
  else
    fail_without_weights(directory);
  for (const std::filesystem::path& delta : deltas) add_delta(delta);
}

Checkpoint::~Checkpoint() = default;

void Checkpoint::add_file(const std::filesystem::path& path) {
  const auto& file = *files_.emplace_back(std::make_unique<InputFile>(path));
  for (TensorInfo& tensor : read_safetensors_header(file)) {
    tensor.file = static_cast<int>(files_.size()) - 1;
    const auto [at, inserted] = tensors_.try_emplace(tensor.name, tensor);
    if (!inserted)
      fail(ExitCode::input, "{}: tensor {} is in {} as well", path.native(), brief(tensor.name),
           file_of(at->second).native());
  }
}

void Checkpoint::add_indexed_files(const std::filesystem::path& index) {
  const auto named_file = parse_safetensors_index(read_json_file(index, kMaxIndexBytes), index.native());
  std::set<std::string> files;
  for (const auto& [tensor, file] : named_file) files.insert(file);
  std::vector<std::string> missing;
  for (const std::string& file : files)
    if (!is_listed(index.parent_path() / file)) missing.push_back(brief(file));
  if (!missing.empty())
    fail(ExitCode::input, "{}: names {}, which {} not exist: an unfinished download?", index.native(),
         fmt::join(missing, ", "), missing.size() == 1 ? "does" : "do");
  for (const std::string& file : files) add_file(index.parent_path() / file);
  for (const auto& [name, file] : named_file) {
    const TensorInfo* tensor = find(name);
    if (tensor == nullptr || file_of(*tensor).filename() != file)
      fail(ExitCode::input, "{}: tensor {}: expected in {}, found in {}", index.native(), brief(name), brief(file),
           tensor == nullptr ? "no file" : file_of(*tensor).filename().native());
  }
  for (const auto& [name, tensor] : tensors_)
    if (!named_file.contains(name))
      fail(ExitCode::input, "{}: tensor {} of {} is not in the index", index.native(), brief(name),
           file_of(tensor).filename().native());
}

void Checkpoint::add_delta(const std::filesystem::path& path) {
  const DeltaFile& delta = *deltas_.emplace_back(std::make_unique<const DeltaFile>(path));
  if (deltas_.size() > 1) require_follows(*deltas_[deltas_.size() - 2], delta);
  for (const auto& [name, of_delta] : delta.tensors()) {
    const TensorInfo* tensor = find(name);
    if (tensor == nullptr)
      fail(ExitCode::input, "{}: tensor {}: the model has none of this name", path.native(), brief(name));
    delta.require_fits(*tensor);
  }
}

const TensorInfo* Checkpoint::find(std::string_view name) const {
  const auto at = tensors_.find(name);
  return at == tensors_.end() ? nullptr : &at->second;
}

void Checkpoint::read(const TensorInfo& tensor, uint64_t first, std::span<std::byte> out) const {
  read_unpatched(tensor, first, out);
  patch(tensor, first, out);
  bytes_read_->fetch_add(out.size(), std::memory_order_relaxed);
}

void Checkpoint::read_unpatched(const TensorInfo& tensor, uint64_t first, std::span<std::byte> out) const {
  SWITCHYARD_CHECK(first <= tensor.bytes && out.size() <= tensor.bytes - first, "tensor {} of {} bytes: {} + {}",
                   tensor.name, tensor.bytes, first, out.size());
  files_.at(static_cast<size_t>(tensor.file))->read(tensor.offset + first, out);
}

void Checkpoint::patch(const TensorInfo& tensor, uint64_t first, std::span<std::byte> bytes) const {
  for (const auto& delta : deltas_) delta->patch(tensor, first, bytes);
}

bool Checkpoint::is_patched(std::string_view tensor) const {
  return std::ranges::any_of(deltas_, [&](const auto& delta) { return delta->find(tensor) != nullptr; });
}

const DeltaFile* Checkpoint::masters() const {
  return !deltas_.empty() && deltas_.back()->master() != nullptr ? deltas_.back().get() : nullptr;
}

std::vector<std::filesystem::path> Checkpoint::files() const {
  std::vector<std::filesystem::path> all;
  for (const auto& file : files_) all.push_back(file->path());
  return all;
}

uint64_t Checkpoint::bytes_read() const {
  return bytes_read_->load(std::memory_order_relaxed);
}

const std::filesystem::path& Checkpoint::file_of(const TensorInfo& tensor) const {
  return files_.at(static_cast<size_t>(tensor.file))->path();
}

}  // namespace switchyard
