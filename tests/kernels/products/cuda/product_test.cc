// What only the CUDA half has: the layout of weights, tiles of several sizes, and the guard of cuBLASLt.
#include "kernels/products/cuda/product.h"

#include <gtest/gtest.h>

#include "kernels/products/cuda/cublas_library.h"
#include "kernels/products/cuda/dense.h"
#include "kernels/products/cuda/grouped_ffn.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

// Without a GPU too: every function it is asked for is in the library that it was built for.
TEST(CublasLibrary, IsLoadedWhenAskedFor) {
  EXPECT_NE(cuda::cublas().cublasLtMatmul, nullptr);
  EXPECT_EQ(cuda::cublas_version().find(fmt::format("{}.", CUBLAS_VER_MAJOR)), 0);
}

class DeviceProduct : public testing::TestWithParam<DType> {
  void SetUp() override {
    if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  }
};

INSTANTIATE_TEST_SUITE_P(Operands, DeviceProduct, testing::Values(DType::f32, DType::bf16),
                         [](const auto& parameters) { return std::string(switchyard::name_of(parameters.param)); });

Tensor storage_of(const TestStream& stream, const cuda::Matrix& matrix) {
  Tensor host(matrix.storage().shape, matrix.operand);
  copy(stream, matrix.storage(), host);
  synchronize(stream);
  return host;
}

TEST_P(DeviceProduct, WeightsArePaddedWithZeros) {
  const TestStream stream(Device::cuda);
  for (const RowOrder order : {RowOrder::plain, RowOrder::gate_up}) {
    const int64_t n = 2 * 133, k = 70;
    const Tensor source = random_tensor({n, k}, DType::f32, 1);
    const Tensor got = storage_of(stream, *cuda::pack_matrix(stream, source, GetParam(), order));
    int64_t rows_seen = 0;
    for (int64_t r = 0; r < got.view().rows(); ++r) {
      const int64_t from = cuda::source_row(order, n, r);
      rows_seen += from >= 0;
      for (int64_t c = 0; c < got.view().row_elements(); ++c) {
        float want = from >= 0 && c < k ? source.data<float>()[from * k + c] : 0;
        if (GetParam() == DType::bf16) want = to_float(to_bfloat16(want));
        ASSERT_EQ(got.at(r * got.view().row_elements() + c), want) << r << ", " << c;
      }
    }
    EXPECT_EQ(rows_seen, n);
  }
}

TEST_P(DeviceProduct, GateAndUpTakeTurns) {
  using cuda::source_row;
  EXPECT_EQ(source_row(RowOrder::gate_up, 2 * 20, 0), 0);
  EXPECT_EQ(source_row(RowOrder::gate_up, 2 * 20, 8), 20);
  EXPECT_EQ(source_row(RowOrder::gate_up, 2 * 20, 16 + 3), 11);
  EXPECT_EQ(source_row(RowOrder::gate_up, 2 * 20, 32 + 8 + 3), 39);
  EXPECT_EQ(source_row(RowOrder::gate_up, 2 * 20, 32 + 4), -1);
}

// More than a half of the pinned memory: the second use of a half waits for the first one's copy.
TEST_P(DeviceProduct, LargeMatricesArriveWhole) {
  const TestStream stream(Device::cuda);
  const Tensor source = random_tensor({2100, 3000}, DType::f32, 1);
  const auto matrix = cuda::pack_matrix(stream, source, GetParam(), RowOrder::plain);
  const Tensor got = storage_of(stream, *matrix);
  for (int64_t r = 0; r < 2100; ++r)
    for (int64_t c = 0; c < 3000; c += 7) {
      float want = source.data<float>()[r * 3000 + c];
      if (GetParam() == DType::bf16) want = to_float(to_bfloat16(want));
      ASSERT_EQ(got.at(r * matrix->padded_k() + c), want) << r << ", " << c;
    }
}

constexpr Op<void(const Stream&, ConstView, const PackedMatrix&, GemmOutput, View, int32_t)> kOwnGemm{
    "own_gemm", nullptr, cuda::own_gemm_in_tiles};
constexpr Op<void(const Stream&, ConstView, const GroupedRows&, std::span<const FfnWeights>, const GatedActivation&,
                  GemmOutput, View, int32_t)>
    kOwnFfn{"grouped_ffn", nullptr, cuda::grouped_ffn_in_tiles};

TEST_P(DeviceProduct, BitsAreTheSameForEveryTile) {
  const TestStream stream(Device::cuda);
  const int64_t rows = 150, n = 150, k = 200;
  const Tensor x = random_tensor({rows, k}, GetParam(), 1);
  const PackedMatrix w = PackedMatrix::pack(stream, random_tensor({n, k}, DType::f32, 2), GetParam());
  std::vector<Tensor> results;
  for (const int32_t tile_rows : cuda::tile_shapes(GetParam(), k)) {
    results.emplace_back(Shape{rows, n}, DType::f32);
    stream.run(kOwnGemm, x, w, GemmOutput::store, results.back(), tile_rows);
    EXPECT_TRUE(same_bits(results.back(), results.front())) << tile_rows;
  }
  EXPECT_GE(results.size(), 2u);
}

OwnedTensor random_on_device(const TestStream& stream, int64_t size, uint64_t seed) {
  OwnedTensor there({size}, DType::f32, Device::cuda);
  copy(stream, random_tensor({size}, DType::f32, seed), there.view());
  return there;
}

// With all that an expert may have; and the columns that pad the activations are zeros, which the next product adds up.
TEST_P(DeviceProduct, ExpertsBitsAreTheSameForEveryTile) {
  const TestStream stream(Device::cuda);
  const int64_t d = 72, f = 100, padded_f = 128;
  const std::vector<int64_t> offsets{0, 5, 5, 205, 222};
  std::vector<int32_t> input, output;
  for (int32_t i = 0; i < 222; ++i) input.push_back(i * 7 % 50), output.push_back(221 - i);
  std::vector<FfnWeights> weights(4);
  for (size_t g = 0; g < 4; ++g) {
    weights[g].gate_up =
        PackedMatrix::pack(stream, random_tensor({2 * f, d}, DType::f32, 10 + g), GetParam(), RowOrder::gate_up);
    weights[g].down = PackedMatrix::pack(stream, random_tensor({d, f}, DType::f32, 20 + g), GetParam());
    weights[g].gate_up_bias = random_on_device(stream, 2 * f, 30 + g);
    weights[g].down_bias = random_on_device(stream, d, 40 + g);
  }
  const Tensor x = random_tensor({50, d}, GetParam(), 1), activations({222, padded_f}, GetParam());
  const GatedActivation activation{.clamped = true, .alpha = 1.702, .limit = 1};
  std::vector<Tensor> results;
  for (const int32_t tile_rows : cuda::tile_shapes(GetParam(), d)) {
    results.emplace_back(Shape{222, d}, DType::f32);
    stream.run(kOwnFfn, x, GroupedRows{offsets, input, output}, weights, activation, GemmOutput::store, results.back(),
               tile_rows);
    EXPECT_TRUE(same_bits(results.back(), results.front())) << tile_rows;
    const cuda::FfnWorkspace workspace(222, f, GetParam(), 4, tile_rows);
    copy(stream, {stream.stream().workspace.data() + workspace.activations, {222, padded_f}, GetParam(), Device::cuda},
         activations);
    synchronize(stream);
    for (int64_t r = 0; r < 222; ++r)
      for (int64_t i = f; i < padded_f; ++i) ASSERT_EQ(activations.at(r * padded_f + i), 0) << r << ", " << i;
  }
}

TEST_P(DeviceProduct, TilesGrowWithTheRowsOfAGroup) {
  const auto rows = [&](int64_t entries, int64_t groups) {
    return cuda::tile_rows_for(GetParam(), 2048, entries, groups, 2048);
  };
  EXPECT_EQ(rows(64 * 8, 128), 16);
  EXPECT_EQ(rows(16384 * 8, 128), GetParam() == DType::bf16 ? 128 : 64);
  EXPECT_EQ(rows(0, 128), 16);
  EXPECT_EQ(rows(30 * 128, 128), 64);
  EXPECT_EQ(rows(64, 1), 16);  // tiles of 64 would occupy 16 multiprocessors
  for (int64_t entries = 1, before = 0; entries < 40000; entries *= 2) {
    EXPECT_GE(rows(entries, 16), before);
    before = rows(entries, 16);
  }
}

#if defined(SWITCHYARD_EMULATED_GPU)
// A cuBLASLt whose rows depend on their neighbours is not used.
TEST_P(DeviceProduct, BrokenRowBitsAreNoticed) {
  const TestStream stream(Device::cuda);
  const int64_t rows = 40, n = 56, k = 344;  // a shape of this test alone: decisions are kept
  const Tensor x = random_tensor({rows, k}, GetParam(), 1);
  const PackedMatrix w = PackedMatrix::pack(stream, random_tensor({n, k}, DType::f32, 2), GetParam());
  Tensor got({rows, n}, DType::f32), want({rows, n}, DType::f32);
  emulator::break_cublas_row_bits(true);
  testing::internal::CaptureStderr();
  stream.run(gemm, x, w, GemmOutput::store, got);
  const std::string log = testing::internal::GetCapturedStderr();
  emulator::break_cublas_row_bits(false);
  stream.run(kOwnGemm, x, w, GemmOutput::store, want, cuda::tile_shapes(GetParam(), k).front());
  EXPECT_TRUE(same_bits(got, want));
  EXPECT_NE(log.find("a row's bits depend on other rows"), std::string::npos) << log;
}

TEST_P(DeviceProduct, GoodRowBitsAreTrusted) {
  const TestStream stream(Device::cuda);
  const PackedMatrix w = PackedMatrix::pack(stream, random_tensor({64, 128}, DType::f32, 2), GetParam());
  const auto cublas = cuda::CublasProduct::find(stream, w.on_cuda());
  ASSERT_NE(cublas, nullptr);
  EXPECT_TRUE(keeps_row_bits(stream, *cublas, w.on_cuda()));
  emulator::break_cublas_row_bits(true);
  EXPECT_FALSE(keeps_row_bits(stream, *cublas, w.on_cuda()));
  emulator::break_cublas_row_bits(false);
}
#endif

}  // namespace
}  // namespace switchyard
