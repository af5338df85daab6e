#include <algorithm>
#include <cstring>
#include <fstream>

#include "io/json.h"
#include "io/safetensors.h"
#include "io/temporary_file.h"

namespace switchyard {
namespace {

constexpr size_t kAlignment = 8;

std::string_view safetensors_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    default:
      break;
  }
  SWITCHYARD_CHECK(false, "a {} tensor in a safetensors file: expected f32, bf16 or f16", name_of(dtype));
  return {};
}

uint64_t bytes_of(const TensorSource& tensor) {
  uint64_t bytes = size_of(tensor.dtype);
  for (const int64_t extent : tensor.shape) {
    SWITCHYARD_CHECK(extent >= 0, "tensor {}: shape [{}]", tensor.name, fmt::join(tensor.shape, ", "));
    bytes *= static_cast<uint64_t>(extent);
  }
  return bytes;
}

/// The length field and the header, padded with spaces so that the data is aligned.
std::string header_of(std::span<const TensorSource* const> tensors) {
  // "format" is what Hugging Face's loaders insist on.
  Json root{{"__metadata__", {{"format", "pt"}}}};
  auto& members = root.get_ref<Json::object_t&>();
  uint64_t end = 0;
  for (const TensorSource* tensor : tensors) {
    const uint64_t begin = end;
    end += bytes_of(*tensor);
    // Appended directly: ordered_json's own insertion searches all names before.
    members.emplace_back(
        tensor->name,
        Json{{"dtype", safetensors_name(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}});
  }
  std::string text = root.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const uint64_t length = text.size();
  std::string header(sizeof length, '\0');
  std::memcpy(header.data(), &length, sizeof length);
  return header + text;
}

void write_tensors(const std::string& path, std::span<const TensorSource* const> tensors) {
  std::ofstream file(path, std::ios::binary);
  if (!file) fail_errno(ExitCode::output, "cannot create", path);
  file << header_of(tensors);
  std::vector<std::byte> buffer;
  for (const TensorSource* tensor : tensors) {
    buffer.resize(bytes_of(*tensor));
    tensor->fill(buffer);
    file.write(reinterpret_cast<const char*>(buffer.data()), static_cast<std::streamsize>(buffer.size()));
    if (!file) fail_errno(ExitCode::output, "cannot write", path);
  }
  file.close();
  if (!file) fail_errno(ExitCode::output, "cannot write", path);
}

}  // namespace

void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors) {
  std::vector<const TensorSource*> order;
  for (const TensorSource& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(),
                   [](const TensorSource* a, const TensorSource* b) { return size_of(a->dtype) > size_of(b->dtype); });
  const TemporaryFile temporary(path);
  write_tensors(temporary.path().string(), order);
  temporary.publish();
}

}  // namespace switchyard
