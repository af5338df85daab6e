// A NumPy file.
#include <vector>

#include "io/npy.h"
#include "tests/fuzz/fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  const fuzz::MemoryFile file(data, size);
  fuzz::only_input_errors([&] {
    const NpyArray array(file.path());
    fuzz::require(static_cast<uint64_t>(array.size()) <= size, "an element has a byte at least");
    std::vector<int64_t> values(static_cast<size_t>(array.size()));
    array.read(0, values);
  });
  return 0;
}
