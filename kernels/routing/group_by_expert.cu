// A stable counting sort in three kernels. Every warp of the grid has a share of consecutive assignments, in order:
//   count: how many assignments of each expert every block has
//   scan:  from that, the experts' offsets, and where in an expert's part each block begins
//   place: the same for the block's warps; then each warp puts its assignments there, 32 at a time
// Integers only, each written by one thread: there is one result. Atomics would lose the order.
#include "kernels/cuda/launch.h"
#include "kernels/cuda/warp.h"
#include "kernels/routing/cuda/group_by_expert.h"
#include "kernels/routing/group_by_expert.h"

namespace switchyard::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;  // of a block of count and place
constexpr int kScanThreads = 1024, kScanWarps = kScanThreads / kWarp;
constexpr int kMaxExperts = kScanThreads;  // scan: a thread an expert

struct Batch {
  const int32_t* expert_of;
  int64_t assignments;
  int experts, num_blocks;
};

__device__ int lane_index() {
  return static_cast<int>(threadIdx.x) % kWarp;
}
__device__ int warp_index() {
  return static_cast<int>(threadIdx.x) / kWarp;
}

/// Goes through the warp's share in order; next[e], the warp's own, counts those of expert e on. visit(assignment,
/// next[e] as it came to this one).
template <class Visit>
__device__ void walk(const Batch& batch, const SharedArray<int>& next, const Visit& visit) {
  const int64_t shares = int64_t{batch.num_blocks} * kWarps, share = int64_t{blockIdx.x} * kWarps + warp_index();
  const int64_t pieces = (batch.assignments + kWarp - 1) / kWarp;  // of 32 assignments
  for (int64_t piece = pieces * share / shares; piece < pieces * (share + 1) / shares; ++piece) {
    const int64_t i = piece * kWarp + lane_index();
    const bool valid = i < batch.assignments;
    const int expert = valid ? batch.expert_of[i] : -1;
    const unsigned same = __match_any_sync(kAllLanes, expert);  // the lanes with this lane's expert
    const int before = __popc(same & ((1u << lane_index()) - 1));
    const int begin = valid ? int{next[expert]} : 0;
    __syncwarp();
    if (valid && before == 0) next[expert] = begin + __popc(same);
    __syncwarp();
    if (valid) visit(i, begin + before);
  }
}

/// Every warp's table of its assignments' numbers, of which the block has all when this returns.
__device__ void count_by_warp(const Batch& batch, const SharedArray<int>& tables) {
  for (int i = static_cast<int>(threadIdx.x); i < tables.size(); i += kThreads) tables.store(i, 0);
  __syncthreads();
  walk(batch, tables.part(warp_index() * batch.experts, batch.experts), [](int64_t, int) {});
  __syncthreads();
}

/// counts: [experts, num_blocks]
__global__ void count_kernel(Batch batch, int32_t* counts) {
  SharedMemory shared;
  const auto tables = shared.take<int>(kWarps * batch.experts);
  count_by_warp(batch, tables);
  for (int e = static_cast<int>(threadIdx.x); e < batch.experts; e += kThreads) {
    int count = 0;
    for (int w = 0; w < kWarps; ++w) count += tables[w * batch.experts + e];
    counts[e * batch.num_blocks + static_cast<int>(blockIdx.x)] = count;
  }
}

/// The sum of x over this lane and those before it.
__device__ int sum_up_to_lane(int x) {
  for (int offset = 1; offset < kWarp; offset *= 2) {
    const int other = __shfl_up_sync(kAllLanes, x, offset);
    if (lane_index() >= offset) x += other;
  }
  return x;
}

/// Replaces counts[e, b] by the sum of those before it, counts[e, 0 … b−1]. One block; a warp an expert, then a thread
/// an expert.
__global__ void scan_kernel(Batch batch, int32_t* counts, int64_t* offsets, int64_t* total) {
  SharedMemory shared;
  const auto sums = shared.take<int>(batch.experts), warp_sums = shared.take<int>(kScanWarps);
  for (int e = warp_index(); e < batch.experts; e += kScanWarps) {
    int32_t* row = counts + e * batch.num_blocks;
    int sum = 0;
    for (int first = 0; first < batch.num_blocks; first += kWarp) {
      const int b = first + lane_index();
      const int count = b < batch.num_blocks ? row[b] : 0;
      const int up_to = sum_up_to_lane(count);
      if (b < batch.num_blocks) row[b] = sum + up_to - count;
      sum += __shfl_sync(kAllLanes, up_to, kWarp - 1);
    }
    if (lane_index() == 0) sums[e] = sum;
  }
  __syncthreads();
  const int e = static_cast<int>(threadIdx.x);
  const int count = e < batch.experts ? int{sums[e]} : 0;
  int up_to = sum_up_to_lane(count);
  if (lane_index() == kWarp - 1) warp_sums[warp_index()] = up_to;
  __syncthreads();
  for (int w = 0; w < warp_index(); ++w) up_to += warp_sums[w];
  if (e == 0) offsets[0] = 0;
  if (e >= batch.experts) return;
  offsets[e + 1] = up_to;
  total[e] += count;
}

__global__ void place_kernel(Batch batch, const int32_t* counts, const int64_t* offsets, uint32_t k, int32_t* input_row,
                             int32_t* output_row) {
  SharedMemory shared;
  const auto tables = shared.take<int>(kWarps * batch.experts);
  count_by_warp(batch, tables);
  for (int e = static_cast<int>(threadIdx.x); e < batch.experts; e += kThreads) {
    int next = static_cast<int>(offsets[e]) + counts[e * batch.num_blocks + static_cast<int>(blockIdx.x)];
    for (int w = 0; w < kWarps; ++w) {
      const int count = tables[w * batch.experts + e];
      tables[w * batch.experts + e] = next;
      next += count;
    }
  }
  __syncthreads();
  walk(batch, tables.part(warp_index() * batch.experts, batch.experts), [&](int64_t i, int place) {
    input_row[place] = static_cast<int32_t>(static_cast<uint32_t>(i) / k);
    output_row[place] = static_cast<int32_t>(i);
  });
}

}  // namespace

static void run_group_by_expert(const Stream& stream, ConstView expert_of, View offsets, View input_row,
                                View output_row, View total) {
  check_group_by_expert(expert_of, offsets, input_row, output_row, total);
  const int64_t tokens = expert_of.shape[0], k = expert_of.shape[1], experts = total.elements();
  const int64_t num_blocks = group_by_expert_blocks(tokens * k);
  const size_t needed = group_by_expert_bytes(expert_of, offsets, input_row, output_row, total);
  SWITCHYARD_CHECK(experts <= kMaxExperts, "group_by_expert: {} experts, at most {}", experts, kMaxExperts);
  SWITCHYARD_CHECK(needed <= stream.workspace.size(), "group_by_expert: a workspace of {} bytes, {} needed",
                   stream.workspace.size(), needed);
  auto* counts = reinterpret_cast<int32_t*>(stream.workspace.data());
  const Batch batch{expert_of.as<int32_t>(), tokens * k, static_cast<int>(experts), static_cast<int>(num_blocks)};
  const LaunchShape shape{dim3(static_cast<unsigned>(num_blocks)), kThreads,
                          SharedLayout().add<int>(kWarps * experts).bytes()};
  const LaunchShape one_block{dim3(1), kScanThreads, SharedLayout().add<int>(experts).add<int>(kScanWarps).bytes()};
  launch(stream, shape, count_kernel, batch, counts);
  launch(stream, one_block, scan_kernel, batch, counts, offsets.as<int64_t>(), total.as<int64_t>());
  launch(stream, shape, place_kernel, batch, counts, offsets.as<int64_t>(), static_cast<uint32_t>(k),
         input_row.as<int32_t>(), output_row.as<int32_t>());
}
CudaOp<GroupByExpertFn> group_by_expert = run_group_by_expert;

}  // namespace switchyard::cuda
