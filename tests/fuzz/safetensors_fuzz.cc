// A safetensors file, and the same bytes as an index.
#include "io/safetensors.h"
#include "tests/fuzz/fuzz_support.h"

namespace switchyard {
namespace {

void read_file(const InputFile& file) {
  uint64_t data_bytes = 0, first = file.size();
  for (const TensorInfo& tensor : read_safetensors_header(file)) {
    fuzz::require(tensor.offset <= file.size() && tensor.bytes <= file.size() - tensor.offset,
                  "a tensor lies in its file");
    first = std::min(first, tensor.offset);
    data_bytes += tensor.bytes;
  }
  fuzz::require(data_bytes == file.size() - first, "every byte belongs to one tensor");
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  const fuzz::MemoryFile file(data, size);
  fuzz::only_input_errors([&] { read_file(InputFile(file.path())); });
  fuzz::only_input_errors([&] {
    for (const auto& [tensor, name] : parse_safetensors_index(parse_json(fuzz::text_of(data, size), "index"), "index"))
      fuzz::require(std::filesystem::path(name).filename() == name && name != ".." && name != ".", "a plain file name");
  });
  return 0;
}
