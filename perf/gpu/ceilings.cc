// The two ceilings: how fast the device copies, and how fast it multiplies.
#include <cublasLt.h>

#include <algorithm>
#include <array>

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

double product_flops_per_second(const Bench& bench) {
  const Shape shape{kSize, kSize};
  const OwnedTensor x = bench.random(shape, DType::bf16, 1, 1), w = bench.random(shape, DType::bf16, 2, 1);
  OwnedTensor y(shape, DType::bf16, Device::cuda);
  const Memory memory(kWorkspace, Device::cuda);
  Stream stream = bench.stream();
  stream.workspace = {memory.data(), memory.size()};
  SquareProduct product;
  std::array<cublasLtMatmulHeuristicResult_t, 4> found{};
  double best = 0;
  for (const auto& candidate : product.find(found)) {
    const Timing timing =
        time_on_device(stream, [&] { product.run(stream, candidate.algo, x.view(), w.view(), y.view()); });
    best = std::max(best, 2.0 * kSize * kSize * kSize / timing.median);
  }
  if (best == 0) fail(ExitCode::environment, "cuBLASLt knows no algorithm for a bf16 product of {}³", kSize);
  return best;
}

double copy_bytes_per_second(const Bench& bench) {
  const Shape shape{int64_t{1} << 30};  // 4 GiB: far beyond any cache
  const OwnedTensor from = bench.random(shape, DType::f32, 3, 1);
  OwnedTensor to(shape, DType::f32, Device::cuda);
  const Timing timing = time_on_device(bench.stream(), [&] { copy(bench.stream(), from.view(), to.view()); });
  return 2 * static_cast<double>(from.view().bytes()) / timing.median;
}

}  // namespace

Ceilings measure_ceilings(const Bench& bench) {
  return {copy_bytes_per_second(bench), product_flops_per_second(bench)};
}

void bench_ceilings() {
  Bench bench;
  const Ceilings& c = bench.ceilings();
  const double copied = 2 * 4 * 0x1p30, multiplied = 2.0 * kSize * kSize * kSize;
  const auto timing = [](double seconds) { return Timing{seconds, seconds, 1}; };
  bench.report_bytes("ceilings", "copy of 4 GiB, read + written", timing(copied / c.bytes_per_second), copied);
  bench.report_flops("ceilings", "bf16 8192^3, cuBLASLt", timing(multiplied / c.flops_per_second), multiplied);
}

}  // namespace switchyard::bench
