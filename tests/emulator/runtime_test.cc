// The runtime's calls: memory, streams, events, products.
#include <cublasLt.h>

#include <cstdlib>
#include <functional>

#include "fixture.h"

namespace switchyard {
namespace {

using namespace test;

TEST(EmulatedRuntime, DevicesAreCounted) {
  EXPECT_EQ(num_devices(), 4);
  setenv("SWITCHYARD_EMULATED_DEVICES", "0", 1);
  EXPECT_EQ(num_devices(), 0);
  EXPECT_NE(why_no_devices().find("no CUDA-capable device"), std::string::npos);
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 8), cudaErrorNoDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNoDevice);
  setenv("SWITCHYARD_EMULATED_DEVICES", "2", 1);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  unsetenv("SWITCHYARD_EMULATED_DEVICES");
  const DeviceInfo info = device_info(0);
  EXPECT_EQ(info.name, "emulated GPU");
  EXPECT_EQ(info.architecture, "sm_90");
}

TEST(EmulatedRuntime, MemoryIsCountedAndUndefinedAtFirst) {
  size_t before = 0, after = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&before, &total), cudaSuccess);
  {
    const Memory memory(3 << 20, Device::cuda);
    ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
    EXPECT_EQ(before - after, 3u << 20);
    std::vector<float> values(8);
    ASSERT_EQ(cudaMemcpy(values.data(), memory.data() + (3 << 20) - 32, 32, cudaMemcpyDeviceToHost), cudaSuccess);
    for (const float x : values) EXPECT_TRUE(std::isnan(x));
  }
  ASSERT_EQ(cudaMemGetInfo(&after, &total), cudaSuccess);
  EXPECT_EQ(before, after);
  EXPECT_TRUE(fails(ExitCode::environment, {"GPU memory", "are free"}, [&] { Memory(total + 1, Device::cuda); }));
}

TEST(EmulatedRuntime, CopiesKnowTheirMemory) {
  const OnDevice<float> there(std::vector<float>(16));
  std::vector<float> here(16);
  const auto copy = [](void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    const cudaError_t code = cudaMemcpy(to, from, bytes, kind);
    cudaGetLastError();
    return code;
  };
  EXPECT_EQ(copy(here.data(), there.data(), 64, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(copy(there.data(), here.data(), 64, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(here.data(), there.data(), 64, cudaMemcpyHostToHost), cudaErrorInvalidValue);
  EXPECT_EQ(copy(here.data(), there.data(), 68, cudaMemcpyDefault), cudaErrorInvalidValue);
  EXPECT_EQ(copy(there.data() + 8, here.data(), 36, cudaMemcpyDefault), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(here.data(), 0, 64), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(there.data() + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(here.data()), cudaErrorInvalidValue);
  cudaGetLastError();
}

__global__ void add_one(const float* from, float* to) {
  to[threadIdx.x] = from[threadIdx.x] + 1;
}

/// A chain over two streams, with or without the event that orders them.
float over_two_streams(uint64_t seed, bool waits) {
  emulator::set_deferred(seed);
  float result = 0;
  {
    const TestStream first(Device::cuda, 1, 0), second(Device::cuda, 1, 0);
    const OnDevice<float> a(std::vector<float>(1)), b(std::vector<float>(1)), c(std::vector<float>(1));
    cudaEvent_t event = nullptr;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cuda::launch(first, {1, 1}, add_one, a.data(), b.data());
    cudaEventRecord(event, first.stream().cuda);
    if (waits) cudaStreamWaitEvent(second.stream().cuda, event);
    cuda::launch(second, {1, 1}, add_one, b.data(), c.data());
    synchronize(second);
    cudaEventDestroy(event);
    result = c.values()[0];
  }
  emulator::set_deferred(0);
  return result;
}

TEST(EmulatedRuntime, AMissingWaitBetweenStreamsShows) {
  int wrong = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(over_two_streams(seed, true), 2);
    wrong += over_two_streams(seed, false) != 2;
  }
  EXPECT_GT(wrong, 0);
  EXPECT_EQ(over_two_streams(0, false), 2);  // work is done when it is given
}

__global__ void trap() {
  __trap();
}

TEST(EmulatedRuntime, DeferredWorkIsDoneWhenAskedFor) {
  emulator::set_deferred(7);
  {
    const TestStream stream(Device::cuda, 1, 0);
    const OnDevice<float> a(std::vector<float>(1));
    std::vector<float> host(1, 5);
    cudaEvent_t event = nullptr;
    cudaEventCreate(&event);
    cudaMemcpyAsync(a.data(), host.data(), 4, cudaMemcpyDefault, stream.stream().cuda);
    host[0] = 6;  // not pinned: the call has taken its copy
    cudaEventRecord(event, stream.stream().cuda);
    EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
    EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
    EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
    EXPECT_EQ(a.values()[0], 5);
    cuda::launch(stream, {1, 1}, trap);
    EXPECT_TRUE(fails(ExitCode::internal, {"__trap()"}, [&] { synchronize(stream); }));
    cudaEventDestroy(event);
  }
  emulator::set_deferred(0);
}

/// y [rows, n] = x [rows, k] wᵀ, all row-major: column-major, yᵀ = w xᵀ.
class CublasProduct {
 public:
  CublasProduct(size_t rows, size_t n, size_t k) : rows_(rows) {
    cublasLtCreate(&handle_);
    cublasLtMatmulDescCreate(&desc_, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    cublasLtMatmulDescSetAttribute(desc_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    cublasLtMatrixLayoutCreate(&w_, CUDA_R_16BF, k, n, static_cast<int64_t>(k));
    cublasLtMatrixLayoutCreate(&x_, CUDA_R_16BF, k, rows, static_cast<int64_t>(k));
    cublasLtMatrixLayoutCreate(&y_, CUDA_R_32F, n, rows, static_cast<int64_t>(n));
  }
  ~CublasProduct() {
    cublasLtMatrixLayoutDestroy(w_);
    cublasLtMatrixLayoutDestroy(x_);
    cublasLtMatrixLayoutDestroy(y_);
    cublasLtMatmulDescDestroy(desc_);
    cublasLtDestroy(handle_);
  }
  std::vector<cublasLtMatmulHeuristicResult_t> proposals(uint64_t workspace) const {
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                         sizeof workspace);
    std::vector<cublasLtMatmulHeuristicResult_t> results(8);
    int found = 0;
    cublasLtMatmulAlgoGetHeuristic(handle_, desc_, w_, x_, y_, y_, preference, 8, results.data(), &found);
    cublasLtMatmulPreferenceDestroy(preference);
    results.resize(static_cast<size_t>(found));
    return results;
  }
  cublasStatus_t run(const BFloat16* x, const BFloat16* w, float* y, float beta) const {
    const float one = 1;
    return cublasLtMatmul(handle_, desc_, &one, w, w_, x, x_, &beta, y, y_, y, y_, nullptr, nullptr, 0, nullptr);
  }

 private:
  size_t rows_;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t desc_ = nullptr;
  cublasLtMatrixLayout_t w_ = nullptr, x_ = nullptr, y_ = nullptr;
};

TEST(EmulatedRuntime, Products) {
  constexpr size_t kRows = 3, kN = 5, kK = 37;
  std::vector<BFloat16> x(kRows * kK), w(kN * kK);
  for (size_t i = 0; i < x.size(); ++i) x[i] = to_bfloat16(static_cast<float>(i % 13) - 5);
  for (size_t i = 0; i < w.size(); ++i) w[i] = to_bfloat16(static_cast<float>(i % 7) - 2);
  const OnDevice<BFloat16> x_there(x), w_there(w);
  const OnDevice<float> y(std::vector<float>(kRows * kN, 100));
  const CublasProduct product(kRows, kN, kK);
  ASSERT_EQ(product.run(x_there.data(), w_there.data(), y.data(), 1), CUBLAS_STATUS_SUCCESS);
  const std::vector<float> got = y.values();
  for (size_t r = 0; r < kRows; ++r)
    for (size_t n = 0; n < kN; ++n) {
      float want = 100;
      for (size_t k = 0; k < kK; ++k) want += to_float(x[r * kK + k]) * to_float(w[n * kK + k]);
      EXPECT_EQ(got[r * kN + n], want);
    }
  EXPECT_EQ(product.run(x.data(), w_there.data(), y.data(), 0), CUBLAS_STATUS_EXECUTION_FAILED);  // on the host

  // Algorithms that split k are proposed only with room for it.
  EXPECT_EQ(product.proposals(0).size(), 2u);
  ASSERT_EQ(product.proposals(1 << 20).size(), 3u);
  const cublasLtMatmulAlgo_t splitting = product.proposals(1 << 20)[1].algo;
  uint32_t splits = 0;
  cublasLtMatmulAlgoConfigGetAttribute(&splitting, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof splits, nullptr);
  EXPECT_EQ(splits, 2u);
}

TEST(EmulatedRuntime, RowBitsOfProductsCanBeBroken) {
  constexpr size_t kRows = 256, kK = 1000;
  std::vector<BFloat16> x(kRows * kK), w(kK);
  for (size_t i = 0; i < x.size(); ++i) x[i] = to_bfloat16(random_uniform(1, i));
  for (size_t i = 0; i < w.size(); ++i) w[i] = to_bfloat16(random_uniform(2, i));
  const OnDevice<BFloat16> x_there(x), w_there(w);
  const std::vector<float> none(kRows);
  const OnDevice<float> few(none), many(none);
  const auto differing = [&] {
    CublasProduct(128, 1, kK).run(x_there.data(), w_there.data(), few.data(), 0);
    CublasProduct(256, 1, kK).run(x_there.data(), w_there.data(), many.data(), 0);
    const std::vector<float> a = few.values(), b = many.values();
    int count = 0;
    for (size_t i = 0; i < 128; ++i) count += a[i] != b[i];
    return count;
  };
  EXPECT_EQ(differing(), 0);
  emulator::break_cublas_row_bits(true);
  EXPECT_GT(differing(), 0);
  emulator::break_cublas_row_bits(false);
}

}  // namespace
}  // namespace switchyard
