// A delta: whatever is accepted can be checked, and patched into a model that it fits.
#include <vector>

#include "io/delta_file.h"
#include "tests/fuzz/fuzz_support.h"

namespace switchyard {
namespace {

/// A tensor of the model, as it must be for this part of a delta.
TensorInfo fitting(const std::string& name, const DeltaTensor& part) {
  const bool is_wide = !part.changed || part.changed->value_bytes() == sizeof(float);
  TensorInfo tensor{.name = name, .dtype_name = is_wide ? "F32" : "BF16", .shape = {}};
  const uint64_t elements = std::max(part.changed ? part.changed->end() : 0, part.masters ? part.masters->end() : 0);
  tensor.bytes = elements * bytes_of_dtype(tensor.dtype_name);
  return tensor;
}

void read_file(const std::filesystem::path& path) {
  constexpr uint64_t kMostBytes = uint64_t{1} << 20;  // of a model: an index may name far elements
  const DeltaFile delta(path);
  delta.check();
  for (const auto& [name, part] : delta.tensors()) {
    const TensorInfo tensor = fitting(name, part);
    delta.masters_of(tensor);
    if (tensor.bytes > kMostBytes || !part.changed) continue;
    const std::vector<std::byte> before(static_cast<size_t>(tensor.bytes), std::byte{0x5a});
    std::vector<std::byte> bytes = before;
    delta.patch(tensor, 0, bytes);
    uint64_t changed = 0;
    const size_t size = part.changed->value_bytes();
    for (size_t at = 0; at < bytes.size(); at += size)
      changed += std::equal(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                            bytes.begin() + static_cast<std::ptrdiff_t>(at + size),
                            before.begin() + static_cast<std::ptrdiff_t>(at))
                     ? 0
                     : 1;
    fuzz::require(changed == part.changed->count(), "as many elements change as are named");
    delta.patch(tensor, 0, bytes);
    fuzz::require(bytes == before, "the same delta leads back");
  }
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  const fuzz::MemoryFile file(data, size);
  fuzz::only_input_errors([&] { read_file(file.path()); });
  return 0;
}
