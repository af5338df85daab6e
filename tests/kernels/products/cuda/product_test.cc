// What only the CUDA half has: the layout of weights, tiles of several sizes, and the guard of cuBLASLt.
#include "kernels/products/cuda/product.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/products/cuda/cublas_library.h"
#include "kernels/products/cuda/dense.h"
#include "kernels/products/cuda/grouped_ffn.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;
using cuda::Layout;

// Without a GPU too: every function it is asked for is in the library that it was built for.
TEST(CublasLibrary, IsLoadedWhenAskedFor) {
  EXPECT_NE(cuda::cublas().cublasLtMatmul, nullptr);
  EXPECT_EQ(cuda::cublas_version().find(fmt::format("{}.", CUBLAS_VER_MAJOR)), 0);
}

/// What is multiplied, and how its weights lie.
struct Kind {
  DType operand;
  Layout layout;
};

std::string name_of(const Kind& kind) {
  return std::string(switchyard::name_of(kind.operand)) + (kind.layout == Layout::rows ? "" : "_slabs");
}

class DeviceProduct : public testing::TestWithParam<Kind> {
  void SetUp() override {
    if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
    if (layout() == Layout::slabs && cuda::layout_for(TestStream(Device::cuda), operand()) != layout())
      GTEST_SKIP() << "a GPU without warpgroup products";
  }

 protected:
  static DType operand() { return GetParam().operand; }
  static Layout layout() { return GetParam().layout; }
  static std::span<const int32_t> shapes(int64_t k) { return cuda::tile_shapes(operand(), layout(), k); }
  static PackedMatrix pack(const Stream& stream, ConstView source, RowOrder order = RowOrder::plain) {
    return PackedMatrix(cuda::pack_matrix(stream, source, operand(), order, layout()));
  }
};

INSTANTIATE_TEST_SUITE_P(Operands, DeviceProduct,
                         testing::Values(Kind{DType::f32, Layout::rows}, Kind{DType::bf16, Layout::rows},
                                         Kind{DType::bf16, Layout::slabs}),
                         [](const auto& parameters) { return name_of(parameters.param); });

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
    const Tensor got = storage_of(stream, *cuda::pack_matrix(stream, source, operand(), order, layout()));
    int64_t rows_seen = 0;
    for (int64_t r = 0; r < got.view().rows(); ++r) {
      const int64_t from = cuda::source_row(order, n, r);
      rows_seen += from >= 0;
      for (int64_t c = 0; c < got.view().row_elements(); ++c) {
        float want = from >= 0 && c < k ? source.data<float>()[from * k + c] : 0;
        if (operand() == DType::bf16) want = to_float(to_bfloat16(want));
        ASSERT_EQ(got.at(cuda::storage_offset(layout(), got.view().row_elements(), r, c)), want) << r << ", " << c;
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
  const auto matrix = cuda::pack_matrix(stream, source, operand(), RowOrder::plain, layout());
  const Tensor got = storage_of(stream, *matrix);
  for (int64_t r = 0; r < 2100; ++r)
    for (int64_t c = 0; c < 3000; c += 7) {
      float want = source.data<float>()[r * 3000 + c];
      if (operand() == DType::bf16) want = to_float(to_bfloat16(want));
      ASSERT_EQ(got.at(cuda::storage_offset(layout(), matrix->padded_k(), r, c)), want) << r << ", " << c;
    }
}

using OwnGemmFn = decltype(cuda::own_gemm_in_tiles);
using OwnFfnFn = decltype(cuda::grouped_ffn_in_tiles);
constexpr CudaOp<OwnGemmFn> kGemmInTiles = cuda::own_gemm_in_tiles;
constexpr CudaOp<OwnFfnFn> kFfnInTiles = cuda::grouped_ffn_in_tiles;
constexpr Op<OwnGemmFn> kOwnGemm{"own_gemm", nullptr, &kGemmInTiles};
constexpr Op<OwnFfnFn> kOwnFfn{"grouped_ffn", nullptr, &kFfnInTiles};

TEST_P(DeviceProduct, BitsAreTheSameForEveryTile) {
  const TestStream stream(Device::cuda);
  const int64_t rows = 150, n = 150, k = 200;
  const Tensor x = random_tensor({rows, k}, operand(), 1);
  const PackedMatrix w = pack(stream, random_tensor({n, k}, DType::f32, 2));
  std::vector<Tensor> results;
  for (const int32_t tile_rows : shapes(k)) {
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
    weights[g].gate_up = pack(stream, random_tensor({2 * f, d}, DType::f32, 10 + g), RowOrder::gate_up);
    weights[g].down = pack(stream, random_tensor({d, f}, DType::f32, 20 + g));
    weights[g].gate_up_bias = random_on_device(stream, 2 * f, 30 + g);
    weights[g].down_bias = random_on_device(stream, d, 40 + g);
  }
  const Tensor x = random_tensor({50, d}, operand(), 1), activations({222, padded_f}, operand());
  const GatedActivation activation{.clamped = true, .alpha = 1.702, .limit = 1};
  std::vector<Tensor> results;
  for (const int32_t tile_rows : shapes(d)) {
    results.emplace_back(Shape{222, d}, DType::f32);
    stream.run(kOwnFfn, x, GroupedRows{offsets, input, output}, weights, activation, GemmOutput::store, results.back(),
               tile_rows);
    EXPECT_TRUE(same_bits(results.back(), results.front())) << tile_rows;
    const cuda::FfnWorkspace workspace(222, f, operand(), 4, tile_rows);
    copy(stream, {stream.stream().workspace.data() + workspace.activations, {222, padded_f}, operand(), Device::cuda},
         activations);
    synchronize(stream);
    for (int64_t r = 0; r < 222; ++r)
      for (int64_t i = f; i < padded_f; ++i) ASSERT_EQ(activations.at(r * padded_f + i), 0) << r << ", " << i;
  }
}

/// Of x Wᵀ, with its targets' logits.
struct LogitSums {
  Tensor sums, target_logits;  ///< sums: [sums of a row, rows, 4 words]
  cuda::LogitSum at(int64_t i) const {
    cuda::LogitSum sum{};
    std::memcpy(&sum, sums.data<int32_t>() + 4 * i, sizeof sum);
    return sum;
  }
};

using LogitSumsFn = void(const Stream&, ConstView, const PackedMatrix&, ConstView, int32_t, View, View);
constexpr CudaOp<LogitSumsFn> kSumUpLogits = [](const Stream& stream, ConstView x, const PackedMatrix& packed,
                                                ConstView targets, int32_t tile_rows, View sums, View target_logits) {
  cuda::dense_product(stream, x, packed.on_cuda(), tile_rows,
                      {.epilogue = cuda::Epilogue::logit_sums,
                       .y = sums.data,
                       .y_stride = x.rows(),
                       .targets = targets.as<int32_t>(),
                       .target_logits = target_logits.as<float>()});
};
constexpr Op<LogitSumsFn> kLogitSums{"logit_sums", nullptr, &kSumUpLogits};

struct ProductSize {
  int64_t rows, n, k;
};

/// What is stored of a product elsewhere is what its sums are of. Columns 3 and 103 are alike, and so are 7 and 71; two
/// targets are none of the columns.
void expect_sums_of_the_logits(const Kind& kind, const ProductSize& size) {
  SCOPED_TRACE(fmt::format("{} rows, n {}, k {}", size.rows, size.n, size.k));
  const TestStream stream(Device::cuda);
  const auto [rows, n, k] = size;
  const int64_t columns = cuda::logit_sum_columns(kind.operand), count = (n + columns - 1) / columns;
  const Tensor x = random_tensor({rows, k}, kind.operand, 1), source = random_tensor({n, k}, DType::f32, 2);
  for (const auto& [from, to] : {std::pair<int64_t, int64_t>{3, 103}, {7, 71}})
    if (to < n) std::copy_n(source.data<float>() + from * k, k, source.data<float>() + to * k);
  std::vector<int32_t> targets;
  for (int64_t r = 0; r < rows; ++r) targets.push_back(static_cast<int32_t>(r * 37 % n));
  targets[static_cast<size_t>(rows / 30)] = -1, targets.back() = static_cast<int32_t>(n);
  const PackedMatrix w(cuda::pack_matrix(stream, source, kind.operand, RowOrder::plain, kind.layout));
  const std::span<const int32_t> shapes = cuda::tile_shapes(kind.operand, kind.layout, k);
  Tensor logits({rows, n}, DType::f32);
  stream.run(kOwnGemm, x, w, GemmOutput::store, logits, shapes.front());
  std::vector<LogitSums> results;
  for (const int32_t tile_rows : shapes) {
    results.push_back({Tensor({count, rows, 4}, DType::i32), Tensor({rows, 1}, DType::f32)});
    for (int64_t r = 0; r < rows; ++r) results.back().target_logits.set(r, -7);
    stream.run(kLogitSums, x, w, i32_tensor(targets), tile_rows, results.back().sums, results.back().target_logits);
    EXPECT_TRUE(same_bits(results.back().target_logits, results.front().target_logits)) << tile_rows;
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t target = targets[static_cast<size_t>(r)];
    ASSERT_EQ(results.front().target_logits.at(r), target < 0 || target >= n ? -7 : logits.at(r * n + target)) << r;
    for (int64_t s = 0; s < count; ++s) {
      const auto* first = logits.data<float>() + r * n + s * columns;
      const auto* end = logits.data<float>() + r * n + std::min(n, (s + 1) * columns);
      const auto* best = std::max_element(first, end);
      double sum = 0;
      for (const float* logit = first; logit < end; ++logit)
        sum += std::exp(static_cast<double>(*logit) - static_cast<double>(*best));
      for (const LogitSums& result : results) {
        const cuda::LogitSum got = result.at(s * rows + r);
        ASSERT_EQ(got.max, *best) << r << ", " << s;
        ASSERT_EQ(got.column, best - logits.data<float>() - r * n) << r << ", " << s;
        ASSERT_NEAR(got.sum, sum, 1e-5 * sum) << r << ", " << s;
        ASSERT_EQ(got.sum, results.front().at(s * rows + r).sum) << r << ", " << s;  // to the last bit
      }
    }
  }
}

// Rows and columns that fill tiles, by one too many and one too few: tiles of up to 256 rows are asked for.
TEST_P(DeviceProduct, LogitSumsAreThoseOfTheLogits) {
  for (const ProductSize& size : {ProductSize{150, 201, 200},
                                  {150, 201, 37},
                                  {300, 201, 8},
                                  {256, 128, 8},
                                  {257, 1, 8},
                                  {255, 15, 8},
                                  {700, 17, 8},
                                  {130, 63, 8},
                                  {8, 65, 8},
                                  {17, 1000, 8}})
    expect_sums_of_the_logits(GetParam(), size);
}

// Every multiprocessor has several tiles, one behind the other, of whatever shape.
TEST_P(DeviceProduct, LogitSumsOfManyTiles) {
  if (cuda_toolkit() == "emulated") GTEST_SKIP() << "an emulated GPU has as few multiprocessors as its tests want";
  expect_sums_of_the_logits(GetParam(), {600, 30000, 64});
}

TEST_P(DeviceProduct, TilesGrowWithTheRowsOfAGroup) {
  cuda::Matrix w;
  w.n = w.k = 2048, w.operand = operand(), w.layout = layout();
  const auto rows = [&](int64_t entries, int64_t groups) { return cuda::tile_rows_for(w, entries, groups, w.n); };
  const std::span<const int32_t> all = shapes(w.k);
  EXPECT_EQ(rows(64 * 8, 128), all.front());
  EXPECT_EQ(rows(16384 * 8, 128), all.back());
  EXPECT_EQ(rows(0, 128), all.front());
  EXPECT_EQ(rows(30 * 128, 128), 64);
  EXPECT_EQ(rows(64, 1), all.front());  // tiles of more would occupy 16 multiprocessors
  for (int64_t entries = 1, before = 0; entries < 40000; entries *= 2) {
    EXPECT_GE(rows(entries, 16), before);
    before = rows(entries, 16);
  }
}

#if defined(SWITCHYARD_EMULATED_GPU)
// A cuBLASLt whose rows depend on their neighbours is not used.
TEST_P(DeviceProduct, BrokenRowBitsAreNoticed) {
  if (layout() != Layout::rows) GTEST_SKIP() << "cuBLASLt does not know slabs";
  const TestStream stream(Device::cuda);
  const int64_t rows = 40, n = 264, k = 344;  // a shape of this test alone: decisions are kept
  const Tensor x = random_tensor({rows, k}, operand(), 1);
  const PackedMatrix w = pack(stream, random_tensor({n, k}, DType::f32, 2));
  Tensor got({rows, n}, DType::f32), want({rows, n}, DType::f32);
  emulator::break_cublas_row_bits(true);
  testing::internal::CaptureStderr();
  stream.run(gemm, x, w, GemmOutput::store, got);
  const std::string log = testing::internal::GetCapturedStderr();
  emulator::break_cublas_row_bits(false);
  stream.run(kOwnGemm, x, w, GemmOutput::store, want, shapes(k).front());
  EXPECT_TRUE(same_bits(got, want));
  EXPECT_NE(log.find("a row's bits depend on other rows"), std::string::npos) << log;
}

TEST_P(DeviceProduct, GoodRowBitsAreTrusted) {
  if (layout() != Layout::rows) GTEST_SKIP() << "cuBLASLt does not know slabs";
  const TestStream stream(Device::cuda);
  const PackedMatrix w = pack(stream, random_tensor({64, 128}, DType::f32, 2));
  const auto cublas = cuda::CublasProduct::find({stream.stream().device_index, 64, 128, operand()});
  ASSERT_NE(cublas, nullptr);
  EXPECT_EQ(cublas->name(), "algorithm 0, tile 15, stages 10, option 0, inner shape 0, cluster 0");
  EXPECT_TRUE(keeps_row_bits(stream, *cublas, w.on_cuda()));
  emulator::break_cublas_row_bits(true);
  EXPECT_FALSE(keeps_row_bits(stream, *cublas, w.on_cuda()));
  emulator::break_cublas_row_bits(false);
}

// Bits that depend on an instruction's width are noticed; then one width is used, and says the same for all tiles.
TEST(SlabLayout, OneWidthWhereWidthsDisagree) {
  const DeviceStream device(3, size_t{64} << 20);  // what is decided here lasts
  TestStream host(Device::cpu);
  const Stream stream = device.over(host);
  if (emulator::architecture() != 90) GTEST_SKIP() << "a GPU without warpgroup products";
  EXPECT_EQ(cuda::layout_for(stream, DType::f32), Layout::rows);
  emulator::break_wgmma_widths(true);
  testing::internal::CaptureStderr();
  const Layout found = cuda::layout_for(stream, DType::bf16);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("all take 64"), std::string::npos);
  EXPECT_EQ(found, Layout::slabs_of_64);
  EXPECT_EQ(cuda::tile_shapes(DType::bf16, found, 128).size(), 1u);
  // 5 rows alone and among 80: with an instruction of 8 they would differ.
  const Tensor x = random_tensor({80, 128}, DType::bf16, 1);
  const PackedMatrix w = PackedMatrix::pack(stream, random_tensor({64, 128}, DType::f32, 2), DType::bf16);
  OwnedTensor there({80, 128}, DType::bf16, Device::cuda), y({80, 64}, DType::f32, Device::cuda);
  copy(stream, x, there.view());
  Tensor all({80, 64}, DType::f32), few({5, 64}, DType::f32);
  gemm(stream, there.view(), w, GemmOutput::store, y.view());
  copy(stream, y.view(), all);
  gemm(stream, there.view().slice(0, 5), w, GemmOutput::store, y.view().slice(0, 5));
  copy(stream, y.view().slice(0, 5), few);
  synchronize(stream);
  emulator::break_wgmma_widths(false);
  EXPECT_EQ(std::memcmp(all.data<float>(), few.data<float>(), 5 * 64 * sizeof(float)), 0);
}
#endif

}  // namespace
}  // namespace switchyard
