#include "io/safetensors_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "io/json.h"
#include "io/temporary_file.h"

namespace switchyard {
namespace {

constexpr size_t kAlignment = 8;

constexpr std::pair<DType, std::string_view> kNames[] = {
    {DType::f32, "F32"}, {DType::bf16, "BF16"}, {DType::f16, "F16"}};

std::string_view safetensors_name(DType dtype) {
  const auto found = std::ranges::find(kNames, dtype, &std::pair<DType, std::string_view>::first);
  SWITCHYARD_CHECK(found != std::end(kNames), "a {} tensor in a safetensors file: expected f32, bf16 or f16",
                   name_of(dtype));
  return found->second;
}

/// The length field and the header, padded with spaces so that the data is aligned. Says where each tensor lies.
std::string lay_out(std::span<TensorInfo> tensors, const SafetensorsMetadata& metadata) {
  Json root{{"__metadata__", metadata}};
  auto& members = root.get_ref<Json::object_t&>();
  uint64_t end = 0;
  for (TensorInfo& tensor : tensors) {
    tensor.offset = end;
    tensor.bytes = bytes_of_dtype(tensor.dtype_name);
    for (const int64_t extent : tensor.shape) {
      SWITCHYARD_CHECK(extent >= 0, "tensor {}: shape {}", tensor.name, tensor.shape_str());
      tensor.bytes *= static_cast<uint64_t>(extent);
    }
    end += tensor.bytes;
    // Appended directly: ordered_json's own insertion searches all names before.
    members.emplace_back(
        tensor.name,
        Json{{"dtype", tensor.dtype_name}, {"shape", tensor.shape}, {"data_offsets", {tensor.offset, end}}});
  }
  std::string text = root.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const uint64_t length = text.size();
  std::string header(sizeof length, '\0');
  std::memcpy(header.data(), &length, sizeof length);
  for (TensorInfo& tensor : tensors) tensor.offset += sizeof length + text.size();
  return header + text;
}

std::vector<TensorInfo> infos_of(std::span<const TensorSpec> tensors) {
  std::vector<TensorInfo> infos;
  for (const TensorSpec& tensor : tensors)
    infos.push_back(
        {.name = tensor.name, .dtype_name = std::string(safetensors_name(tensor.dtype)), .shape = tensor.shape});
  return infos;
}

}  // namespace

std::optional<DType> dtype_of_tensor(std::string_view name) {
  const auto found = std::ranges::find(kNames, name, &std::pair<DType, std::string_view>::second);
  return found == std::end(kNames) ? std::optional<DType>() : found->first;
}

uint64_t TensorSpec::bytes() const {
  uint64_t bytes = size_of(dtype);
  for (const int64_t extent : shape) {
    SWITCHYARD_CHECK(extent >= 0, "tensor {}: shape [{}]", name, fmt::join(shape, ", "));
    bytes *= static_cast<uint64_t>(extent);
  }
  return bytes;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::span<const TensorSpec> tensors)
    : file_(path) {
  std::vector<TensorInfo> infos = infos_of(tensors);
  begin(infos, {{"format", "pt"}});  // what Hugging Face's loaders insist on
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::span<TensorInfo> tensors,
                                     const SafetensorsMetadata& metadata)
    : file_(path) {
  begin(tensors, metadata);
}

void SafetensorsWriter::begin(std::span<TensorInfo> tensors, const SafetensorsMetadata& metadata) {
  file_.write(lay_out(tensors, metadata));
  for (const TensorInfo& tensor : tensors) left_ += tensor.bytes;
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  SWITCHYARD_CHECK(bytes.size() <= left_, "{} bytes of tensors, {} are left", bytes.size(), left_);
  file_.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  left_ -= bytes.size();
}

void SafetensorsWriter::put(const TensorInfo& tensor, uint64_t first, std::span<const std::byte> bytes) {
  SWITCHYARD_CHECK(first <= tensor.bytes && bytes.size() <= tensor.bytes - first && bytes.size() <= left_,
                   "tensor {} of {} bytes: {} + {}, {} are left of all", tensor.name, tensor.bytes, first, bytes.size(),
                   left_);
  file_.write_at(tensor.offset + first, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  left_ -= bytes.size();
}

void SafetensorsWriter::finish() {
  SWITCHYARD_CHECK(left_ == 0, "{} bytes of tensors are left", left_);
  file_.sync();
  file_.close();
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors) {
  std::vector<TensorSource> ordered(tensors.begin(), tensors.end());
  std::ranges::stable_sort(ordered, kWiderFirst, &TensorSource::spec);
  std::vector<TensorSpec> specs;
  for (const TensorSource& tensor : ordered) specs.push_back(tensor.spec);
  const TemporaryFile temporary(path);
  SafetensorsWriter writer(temporary.path(), specs);
  std::vector<std::byte> buffer;
  for (const TensorSource& tensor : ordered) {
    buffer.resize(tensor.spec.bytes());
    tensor.fill(buffer);
    writer.append(buffer);
  }
  writer.finish();
  temporary.publish();
}

}  // namespace switchyard
