// The two ceilings: how fast the device copies, and how fast it multiplies.
#include <cublasLt.h>

#include <array>
#include <functional>

#include "base/cuda_call.h"
#include "base/handle.h"
#include "measure.h"

namespace switchyard::bench {
namespace {

constexpr int64_t kSize = 8192;
constexpr size_t kWorkspace = size_t{64} << 20;

void check_blas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(ExitCode::environment, "{}: cuBLASLt status {}", call, int{status});
}

template <class T, cublasStatus_t (*kDestroy)(T)>
struct BlasTraits {
  using type = T;
  static type null() { return nullptr; }
  static void destroy(type value) noexcept { kDestroy(value); }
};
using BlasHandle = Handle<BlasTraits<cublasLtHandle_t, cublasLtDestroy>>;
using MatmulDesc = Handle<BlasTraits<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>>;
using Layout = Handle<BlasTraits<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>>;
using Preference = Handle<BlasTraits<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>>;

/// Y = X Wᵀ, [8192, 8192] bf16 each, with f32 accumulation: the product of a linear layer.
class SquareProduct {
 public:
  SquareProduct() {
    cublasLtHandle_t handle = nullptr;
    check_blas(cublasLtCreate(&handle), "cublasLtCreate");
    handle_.reset(handle);
    cublasLtMatmulDesc_t desc = nullptr;
    check_blas(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate");
    desc_.reset(desc);
    const cublasOperation_t transposed = CUBLAS_OP_T;  // of W: cuBLAS counts columns first
    check_blas(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
               "cublasLtMatmulDescSetAttribute");
    cublasLtMatrixLayout_t layout = nullptr;
    check_blas(cublasLtMatrixLayoutCreate(&layout, CUDA_R_16BF, kSize, kSize, kSize), "cublasLtMatrixLayoutCreate");
    layout_.reset(layout);
  }

  /// At most `algorithms.size()` of those that cuBLASLt expects to be the fastest.
  template <size_t kMost>
  std::span<const cublasLtMatmulHeuristicResult_t> find(std::array<cublasLtMatmulHeuristicResult_t, kMost>& found) {
    cublasLtMatmulPreference_t preference = nullptr;
    check_blas(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
    const Preference owner(preference);
    check_blas(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspace,
                                                    sizeof kWorkspace),
               "cublasLtMatmulPreferenceSetAttribute");
    int count = 0;
    check_blas(cublasLtMatmulAlgoGetHeuristic(handle_.get(), desc_.get(), layout_.get(), layout_.get(), layout_.get(),
                                              layout_.get(), preference, static_cast<int>(kMost), found.data(), &count),
               "cublasLtMatmulAlgoGetHeuristic");
    return std::span(found).first(static_cast<size_t>(count));
  }

  void run(const Stream& stream, const cublasLtMatmulAlgo_t& algorithm, ConstView x, ConstView w, View y) const {
    const float one = 1, zero = 0;
    check_blas(cublasLtMatmul(handle_.get(), desc_.get(), &one, w.data, layout_.get(), x.data, layout_.get(), &zero,
                              y.data, layout_.get(), y.data, layout_.get(), &algorithm, stream.workspace.data(),
                              stream.workspace.size(), stream.cuda),
               "cublasLtMatmul");
  }

 private:
  BlasHandle handle_;
  MatmulDesc desc_;
  Layout layout_;
};

constexpr double kProductFlops = 2.0 * kSize * kSize * kSize;
constexpr double kCopied = 2 * 4 * 0x1p30;
constexpr double kShort = 0.1, kLoad = 1;  // seconds

struct Rates {
  double at_first, loaded;
};

/// How often `work` is done in a second: measured for a moment, and again after a second of doing nothing else. A GPU
/// that gets warm lowers its clock.
Rates rates_of(const Stream& stream, const std::function<void()>& work) {
  const double at_first = 1 / time_on_device(stream, work, kShort).median;
  time_on_device(stream, work, kLoad);
  return {at_first, 1 / time_on_device(stream, work, kShort).median};
}

Rates products_per_second(const Bench& bench) {
  const Shape shape{kSize, kSize};
  const OwnedTensor x = bench.random(shape, DType::bf16, 1, 1), w = bench.random(shape, DType::bf16, 2, 1);
  OwnedTensor y(shape, DType::bf16, Device::cuda);
  const Memory memory(kWorkspace, Device::cuda);
  Stream stream = bench.stream();
  stream.workspace = {memory.data(), memory.size()};
  SquareProduct product;
  std::array<cublasLtMatmulHeuristicResult_t, 4> found{};
  std::function<void()> best;
  double best_seconds = 0;
  for (const auto& candidate : product.find(found)) {
    const auto run = [&] { product.run(stream, candidate.algo, x.view(), w.view(), y.view()); };
    const double seconds = time_on_device(stream, run, kShort / 4).median;
    if (!best || seconds < best_seconds) best = run, best_seconds = seconds;
  }
  if (!best) fail(ExitCode::environment, "cuBLASLt knows no algorithm for a bf16 product of {}³", kSize);
  return rates_of(stream, best);
}

Rates copies_per_second(const Bench& bench) {
  const Shape shape{int64_t{1} << 30};  // 4 GiB: far beyond any cache
  const OwnedTensor from = bench.random(shape, DType::f32, 3, 1);
  OwnedTensor to(shape, DType::f32, Device::cuda);
  return rates_of(bench.stream(), [&] { copy(bench.stream(), from.view(), to.view()); });
}

}  // namespace

Ceilings measure_ceilings(const Bench& bench) {
  const Rates copies = copies_per_second(bench), products = products_per_second(bench);
  return {copies.at_first * kCopied, products.at_first * kProductFlops, copies.loaded * kCopied,
          products.loaded * kProductFlops};
}

void bench_ceilings() {
  Bench bench;
  const Ceilings& c = bench.ceilings();
  const auto timing = [](double seconds) { return Timing{seconds, seconds, 1}; };
  bench.report_bytes("ceilings", "copy of 4 GiB, read + written", timing(kCopied / c.bytes_per_second), kCopied);
  bench.report_bytes("ceilings", "the same after a second of it", timing(kCopied / c.loaded_bytes_per_second), kCopied);
  bench.report_flops("ceilings", "bf16 8192^3, cuBLASLt", timing(kProductFlops / c.flops_per_second), kProductFlops);
  bench.report_flops("ceilings", "the same after a second of it", timing(kProductFlops / c.loaded_flops_per_second),
                     kProductFlops);
}

}  // namespace switchyard::bench
