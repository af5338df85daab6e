#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "kernels/products/cuda/tile_table.h"

namespace switchyard::cuda {
namespace {

constexpr int kThreads = 256;

/// The sum of the values of this thread and those before it. warp_sums: one element a warp.
__device__ int sum_up_to_here(int value, const SharedArray<int>& warp_sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  int sum = value;
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const int before = __shfl_up_sync(kAllLanes, sum, offset);
    if (lane >= offset) sum += before;
  }
  if (lane == kWarp - 1) warp_sums[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum += warp_sums[w];
  return sum;
}

/// The first element of `ends`, ascending, that is greater than `t`; the last one is.
__device__ int first_beyond(const SharedArray<int>& ends, int t) {
  int low = 0, high = kThreads - 1;
  while (low < high) {
    const int middle = (low + high) / 2, end = ends[middle];
    if (end > t)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// One block. Each turn of the loop takes a thread's worth of groups, and spreads their tiles over all threads: one
// group may have nearly all of them.
__global__ void tile_table_kernel(const int64_t* offsets, int num_groups, int tile_rows, Tile* table, int capacity) {
  SharedMemory shared;
  const auto warp_sums = shared.take<int>(kThreads / kWarp);
  const auto ends = shared.take<int>(kThreads);
  const int thread = static_cast<int>(threadIdx.x);
  int done = 0;
  for (int base = 0; base < num_groups; base += kThreads) {
    const int group = base + thread;
    int tiles = 0;
    if (group < num_groups) tiles = static_cast<int>((offsets[group + 1] - offsets[group] + tile_rows - 1) / tile_rows);
    ends[thread] = sum_up_to_here(tiles, warp_sums);
    __syncthreads();
    const int total = ends[kThreads - 1];
    for (int t = thread; t < total; t += kThreads) {
      const int g = first_beyond(ends, t);
      int before = 0;
      if (g > 0) before = ends[g - 1];
      const int64_t first = offsets[base + g] + static_cast<int64_t>(t - before) * tile_rows;
      const int64_t rest = offsets[base + g + 1] - first;
      table[done + t] = {first, base + g, rest < tile_rows ? static_cast<int32_t>(rest) : tile_rows};
    }
    done += total;
    __syncthreads();  // the next turn writes `ends`
  }
  for (int t = done + thread; t < capacity; t += kThreads) table[t] = {0, -1, 0};
}

}  // namespace

void make_tile_table(const Stream& stream, std::span<const int64_t> offsets, int32_t tile_rows, std::span<Tile> table) {
  SWITCHYARD_CHECK(!offsets.empty() && offsets.size() <= 0x7fffffff && table.size() <= 0x7fffffff,
                   "a table of {} tiles for {} offsets", table.size(), offsets.size());
  const SharedLayout shared = SharedLayout().add<int>(kThreads / kWarp).add<int>(kThreads);
  launch(stream, {dim3(1), kThreads, shared.bytes()}, tile_table_kernel, offsets.data(),
         static_cast<int>(offsets.size()) - 1, tile_rows, table.data(), static_cast<int>(table.size()));
}

}  // namespace switchyard::cuda
