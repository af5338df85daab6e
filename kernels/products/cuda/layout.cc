// Which layout a device's products want.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "base/cuda_call.h"
#include "base/device.h"
#include "base/log.h"
#include "base/rng.h"
#include "kernels/products/cuda/product.h"

namespace switchyard::cuda {
namespace {

/// As many rows as a tile has at most, and products of 8 slabs; values differ in size, so that sums in another order
/// show.
constexpr int64_t kRows = 256, kN = Matrix::kRowMultiple, kK = 512;

/// On the device, bf16.
Memory random_values(const Stream& stream, int64_t count, uint64_t seed) {
  std::vector<BFloat16> host(static_cast<size_t>(count));
  for (size_t i = 0; i < host.size(); ++i) {
    const float size = random_uniform(seed, 2 * i), sign = random_uniform(seed, 2 * i + 1) < 0.5f ? -1.0f : 1.0f;
    host[i] = to_bfloat16(sign * size * size * size * 8);
  }
  Memory there(host.size() * sizeof(BFloat16), Device::cuda);
  SWITCHYARD_CUDA_CALL(cudaMemcpyAsync(there.data(), host.data(), there.size(), cudaMemcpyHostToDevice, stream.cuda));
  synchronize(stream);
  return there;
}

/// Whether a row gets the same bits from every width of the instruction: a tile's rows decide which one it is.
bool widths_agree(const Stream& stream) {
  const Memory x = random_values(stream, kRows * kK, 1), w = random_values(stream, kN * kK, 2);
  Memory y(kRows * kN * sizeof(float), Device::cuda);
  const void* const weights[] = {w.data()};
  const auto rows_of = [&](int64_t rows, int32_t tile_rows) {
    product(stream, {.layout = Layout::slabs,
                     .x = x.data(),
                     .x_stride = kK,
                     .k = kK,
                     .weights = weights,
                     .n = kN,
                     .padded_k = kK,
                     .entries = rows,
                     .tile_rows = tile_rows,
                     .y = y.data(),
                     .y_stride = kN});
    std::vector<float> host(static_cast<size_t>(rows * kN));
    SWITCHYARD_CUDA_CALL(
        cudaMemcpyAsync(host.data(), y.data(), host.size() * sizeof(float), cudaMemcpyDeviceToHost, stream.cuda));
    synchronize(stream);
    return host;
  };
  const std::vector<float> want = rows_of(kRows, kRows);
  constexpr std::pair<int64_t, int32_t> kTiles[] = {{8, 64},   {16, 64},   {32, 64},  {64, 64},   {32, 128}, {64, 128},
                                                    {96, 128}, {128, 128}, {64, 256}, {128, 256}, {192, 256}};
  return std::ranges::all_of(kTiles, [&](const auto& tile) {
    const std::vector<float> got = rows_of(tile.first, tile.second);
    return std::memcmp(got.data(), want.data(), got.size() * sizeof(float)) == 0;
  });
}

}  // namespace

Layout layout_for(const Stream& stream, DType operand) {
  if (operand != DType::bf16) return Layout::rows;
  static std::mutex mutex;
  static std::map<int, Layout> decisions;
  const std::lock_guard lock(mutex);
  if (const auto known = decisions.find(stream.device_index); known != decisions.end()) return known->second;
  int major = 0, minor = 0;
  SWITCHYARD_CUDA_CALL(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, stream.device_index));
  SWITCHYARD_CUDA_CALL(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, stream.device_index));
  Layout layout = Layout::rows;
  if (major == 9 && minor == 0) {
    use_device(stream.device_index);
    layout = widths_agree(stream) ? Layout::slabs : Layout::slabs_of_64;
    if (layout != Layout::slabs)
      log::warning("on this GPU a product's bits depend on how many rows an instruction takes: all take 64, slower");
  }
  return decisions.emplace(stream.device_index, layout).first->second;
}

}  // namespace switchyard::cuda
