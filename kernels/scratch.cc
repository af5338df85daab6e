#include "kernels/scratch.h"

#include <algorithm>

#include "base/memory.h"
#include "kernels/cpu/scratch_layouts.h"

namespace switchyard {

std::byte* thread_scratch(size_t bytes) {
  thread_local Memory memory;
  if (memory.size() < bytes) {
    memory = Memory();  // given back before the larger block is taken
    memory = Memory(bytes);
  }
  return memory.data();
}

size_t thread_scratch_bytes(const KernelShapes& s) {
  size_t bytes = 0;
  const auto need = [&](const ScratchLayout& layout) { bytes = std::max(bytes, layout.bytes()); };
  const auto matrix = [&](int64_t n, int64_t k) { return MatrixPanels(n, k, s.operand); };
  if (s.heads > 0) {
    need(PanelScratch(matrix(s.heads * s.head_dim, s.dim)).layout);
    need(PanelScratch(matrix(s.kv_heads * s.head_dim, s.dim)).layout);
    need(PanelScratch(matrix(s.dim, s.heads * s.head_dim)).layout);
    need(AttentionScratch(s.heads / s.kv_heads, s.head_dim).layout);
  }
  if (s.ffn_dim > 0) need(FfnScratch(matrix(2 * s.ffn_dim, s.dim), matrix(s.dim, s.ffn_dim)).layout);
  if (s.vocab > 0) need(PanelScratch(matrix(s.vocab, s.dim)).layout);
  return bytes;
}

}  // namespace switchyard
