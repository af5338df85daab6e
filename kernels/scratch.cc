#include "kernels/scratch.h"

#include "base/memory.h"

namespace switchyard {

std::byte* thread_scratch(size_t bytes) {
  thread_local Memory memory;
  if (memory.size() < bytes) {
    memory = Memory();  // given back before the larger block is taken
    memory = Memory(bytes);
  }
  return memory.data();
}

}  // namespace switchyard
