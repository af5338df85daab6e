// What products take of a CUDA stream's workspace. Plain C++: memory is planned in every build.
#include <algorithm>

#include "kernels/products/cuda/dense.h"
#include "kernels/products/cuda/grouped_ffn.h"

namespace switchyard::cuda {

size_t gemm_bytes(ConstView, const PackedMatrix& w, GemmOutput, View) {
  return RowBitsWorkspace(w.n(), w.k(), w.operand()).bytes;
}

size_t grouped_ffn_bytes(ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                         const GatedActivation&, GemmOutput, View) {
  constexpr int32_t kSmallestTile = 16;  // of which there are most
  const auto some = std::ranges::find_if(weights, [](const FfnWeights& w) { return w.down.bytes() > 0; });
  if (some == weights.end()) return 0;
  return FfnWorkspace(num_entries(rows, x), some->down.k(), x.dtype, std::ssize(weights), kSmallestTile).bytes;
}

}  // namespace switchyard::cuda
