#include "kernels/products/packed_matrix.h"

#include <gtest/gtest.h>

#include <thread>

#include "kernels/products/cuda/matrix.h"
#include "kernels/products/gemm.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

class PackedMatrixTest : public testing::TestWithParam<std::tuple<Device, DType>> {
 protected:
  void SetUp() override {
    if (const std::string why = why_skipped(device()); !why.empty()) GTEST_SKIP() << why;
  }
  static Device device() { return std::get<0>(GetParam()); }
  static DType operand() { return std::get<1>(GetParam()); }
};

TEST_P(PackedMatrixTest, BytesArePredictedExactly) {
  const TestStream stream(device());
  for (const auto& [n, k] : {std::pair{1, 1}, {17, 33}, {512, 64}, {513, 64}, {1030, 100}}) {
    const PackedMatrix w = PackedMatrix::pack(stream, random_tensor({n, k}, DType::f32, 1), operand());
    const PackedMatrix shape = PackedMatrix::of_shape(n, k, operand(), RowOrder::plain, device());
    EXPECT_EQ(shape.bytes(), w.bytes());
    EXPECT_EQ(shape.n(), n);
    EXPECT_EQ(shape.k(), k);
    EXPECT_EQ(shape.operand(), operand());
    EXPECT_TRUE(shape.lies_on(device()));
    if (device() == Device::cuda) {
      EXPECT_EQ(w.bytes(), w.on_cuda().memory.size());
    }
    EXPECT_GE(w.bytes(), static_cast<size_t>(n * k) * size_of(operand()));
    EXPECT_EQ(w.n(), n);
    EXPECT_EQ(w.k(), k);
    EXPECT_EQ(w.operand(), operand());
  }
}

TEST_P(PackedMatrixTest, LargeMatricesTakeLittleMoreThanTheirElements) {
  const double plain = 1024.0 * 1024 * static_cast<double>(size_of(operand()));
  EXPECT_LE(static_cast<double>(PackedMatrix::of_shape(1024, 1024, operand(), RowOrder::plain, device()).bytes()),
            1.05 * plain);
}

// Packing from many threads, as a loader does, gives the matrices of packing one after the other; the sources go at
// once.
TEST_P(PackedMatrixTest, PacksFromSeveralThreads) {
  constexpr int kMatrices = 8;
  const TestStream stream(device());
  std::vector<PackedMatrix> packed(kMatrices);
  const auto source = [](int i) { return random_tensor({600, 40 + i}, DType::f32, static_cast<uint64_t>(i)); };
  std::vector<std::thread> threads;
  for (int i = 0; i < kMatrices; ++i)
    threads.emplace_back([&, i] { packed[static_cast<size_t>(i)] = PackedMatrix::pack(stream, source(i), operand()); });
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < kMatrices; ++i) {
    const Tensor x = random_tensor({5, 40 + i}, operand(), 9);
    Tensor got({5, 600}, DType::f32), want({5, 600}, DType::f32);
    stream.run(gemm, x, packed[static_cast<size_t>(i)], GemmOutput::store, got);
    stream.run(gemm, x, PackedMatrix::pack(stream, source(i), operand()), GemmOutput::store, want);
    EXPECT_TRUE(same_bits(got, want));
  }
}

TEST(PackedMatrixMove, EmptyUntilPacked) {
  PackedMatrix a;
  EXPECT_EQ(a.bytes(), 0u);
  PackedMatrix b = PackedMatrix::pack(random_tensor({3, 4}, DType::f32, 1), DType::f32);
  a = std::move(b);
  EXPECT_EQ(a.n(), 3);
}

INSTANTIATE_TEST_SUITE_P(Operands, PackedMatrixTest,
                         testing::Combine(testing::ValuesIn(kDevices), testing::Values(DType::f32, DType::bf16)),
                         [](const auto& parameters) {
                           return std::string(name_of(std::get<0>(parameters.param))) + "_" +
                                  std::string(switchyard::name_of(std::get<1>(parameters.param)));
                         });

}  // namespace
}  // namespace switchyard
