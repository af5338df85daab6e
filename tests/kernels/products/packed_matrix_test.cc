#include "kernels/products/packed_matrix.h"

#include <gtest/gtest.h>

#include <thread>

#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/gemm.h"
#include "reference/linear.h"
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

/// Matrices that are written over, on the CPU.
class RewriteTest : public testing::TestWithParam<DType> {
 protected:
  static constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 1},    {2, 15},   {17, 33},
                                                            {72, 300}, {514, 63}, {1030, 101}};

  static Tensor source(int64_t n, int64_t k, uint64_t seed) {
    Tensor t = random_tensor({n, k}, DType::f32, seed);
    const float special[] = {-0.0f, 1e-42f, INFINITY, -INFINITY, 0x1.01p0f, 0x1.03p0f, 3.4e38f};
    for (int64_t i = 6; i < t.size(); i += 13) t.set(i, special[(i / 13) % 7]);
    return t;
  }

  static Tensor transposed(const Tensor& t) {
    const int64_t rows = t.view().rows(), columns = t.view().row_elements();
    Tensor result({columns, rows}, DType::f32);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < columns; ++c) result.set(c * rows + r, static_cast<float>(t.at(r * columns + c)));
    return result;
  }

  static testing::AssertionResult same_bytes(const PackedMatrix& a, const PackedMatrix& b) {
    if (a.bytes() != b.bytes()) return testing::AssertionFailure() << a.bytes() << " and " << b.bytes() << " bytes";
    for (size_t i = 0; i < a.bytes(); ++i)
      if (a.impl().data[i] != b.impl().data[i]) return testing::AssertionFailure() << "byte " << i;
    return testing::AssertionSuccess();
  }
};

TEST_P(RewriteTest, BytesAreThoseOfPacking) {
  const CpuStream two(2);
  for (const auto& [n, k] : kShapes)
    for (const RowOrder order : {RowOrder::plain, RowOrder::gate_up}) {
      if (order == RowOrder::gate_up && n % 2 != 0) continue;
      const Tensor old = source(n, k, 1), now = source(n, k, 2);
      const PackedMatrix want = PackedMatrix::pack(now, GetParam(), order);
      PackedMatrix got = PackedMatrix::uninitialised(n, k, GetParam(), order);
      for (const Stream* stream : std::initializer_list<const Stream*>{nullptr, &two.stream}) {
        got.rewrite(stream, old);
        EXPECT_FALSE(same_bytes(got, want)) << n << " x " << k;
        got.rewrite(stream, now);
        EXPECT_TRUE(same_bytes(got, want)) << n << " x " << k;
        got.rewrite(stream, old);
        got.rewrite_transposed(stream, transposed(now));
        EXPECT_TRUE(same_bytes(got, want)) << n << " x " << k << ", transposed";
      }
    }
}

// Some elements, by bits: the bytes of packing the whole matrix with these.
TEST_P(RewriteTest, MembersAreWrittenWherePackingPutsThem) {
  for (const auto& [n, k] : kShapes)
    for (const RowOrder order : {RowOrder::plain, RowOrder::gate_up}) {
      if (order == RowOrder::gate_up && n % 2 != 0) continue;
      const Tensor old = source(n, k, 1), now = source(n, k, 2);
      Tensor mixed = source(n, k, 1);
      std::vector<uint64_t> words(static_cast<size_t>((n * k + 3) / 64 + 1));
      std::vector<float> values;
      for (int64_t i = 0; i < n * k; ++i) {
        if (random_bits(3, static_cast<uint64_t>(i)) % 5 != 0) continue;
        words[static_cast<size_t>((i + 3) / 64)] |= uint64_t{1} << ((i + 3) % 64);
        values.push_back(now.data<float>()[i]);
        mixed.data<float>()[i] = values.back();
      }
      PackedMatrix got = PackedMatrix::pack(old, GetParam(), order);
      got.write_members(0, n, {words.data(), 3}, values.data());
      EXPECT_TRUE(same_bytes(got, PackedMatrix::pack(mixed, GetParam(), order))) << n << " x " << k;
      if (order == RowOrder::gate_up) continue;
      PackedMatrix turned = PackedMatrix::pack(transposed(old), GetParam());
      turned.write_members_transposed(0, n, {words.data(), 3}, values.data());
      EXPECT_TRUE(same_bytes(turned, PackedMatrix::pack(transposed(mixed), GetParam()))) << n << " x " << k;
    }
}

// Rounded to the operand; also where oneDNN alone knows the layout.
TEST_P(RewriteTest, WhatWasPackedIsReadAgain) {
  for (const auto& [n, k] : kShapes)
    for (const RowOrder order : {RowOrder::plain, RowOrder::gate_up}) {
      if (order == RowOrder::gate_up && n % 2 != 0) continue;
      const Tensor want = source(n, k, 1), got({n, k}, DType::f32);
      const PackedMatrix w = PackedMatrix::pack(want, GetParam(), order);
      w.read_rows(0, got);
      if (GetParam() == DType::f32) {
        EXPECT_TRUE(same_bits(got, want)) << n << " x " << k;
      } else {
        Tensor rounded({n, k}, DType::bf16);
        for (int64_t i = 0; i < want.size(); ++i) rounded.set(i, want.data<float>()[i]);
        EXPECT_TRUE(same_bits(got, widened(rounded))) << n << " x " << k;
      }
      if (order == RowOrder::gate_up || n <= PackedMatrix::kRowsTogether) continue;
      const int64_t rows = n - PackedMatrix::kRowsTogether;
      const Tensor last({rows, k}, DType::f32);
      w.read_rows(PackedMatrix::kRowsTogether, last);
      for (int64_t r = 0; r < rows; ++r) ASSERT_TRUE(same_row_bits(last, r, got, PackedMatrix::kRowsTogether + r));
    }
}

TEST_P(RewriteTest, SomeRowsAreThoseOfPackingAll) {
  const CpuStream two(2);
  constexpr int64_t kRows = 1030, kColumns = 33, kTogether = PackedMatrix::kRowsTogether;
  const Tensor old = source(kRows, kColumns, 1), now = source(kRows, kColumns, 2);
  const PackedMatrix want = PackedMatrix::pack(now, GetParam());
  for (const Stream* stream : std::initializer_list<const Stream*>{nullptr, &two.stream}) {
    PackedMatrix got = PackedMatrix::pack(old, GetParam());
    got.rewrite_rows(stream, now.view().slice(2 * kTogether, kRows - 2 * kTogether), 2 * kTogether);
    EXPECT_FALSE(same_bytes(got, want));
    got.rewrite_rows(stream, now.view().slice(0, 2 * kTogether), 0);
    EXPECT_TRUE(same_bytes(got, want));
    got.rewrite_rows(stream, old.view().slice(kTogether, kTogether), kTogether);
    EXPECT_FALSE(same_bytes(got, want));
  }
}

// Every layout that oneDNN takes, and each weight in its place: against packing through oneDNN.
TEST_P(RewriteTest, IsWhatOneDnnMakesOfIt) {
  for (const auto& [n, k] : kShapes) {
    if (n > kPanelColumns) continue;
    const PanelProduct& product = PanelProduct::of(n, k, GetParam());
    const Tensor w = random_tensor({n, k}, DType::f32, 3);
    EXPECT_TRUE(product.has_known_layout()) << n << " x " << k;
    const PackedMatrix got = PackedMatrix::pack(w, GetParam());
    std::vector<std::byte> want(product.panel_bytes());
    product.reorder(w.data<float>(), want.data());
    EXPECT_EQ(std::memcmp(got.impl().data, want.data(), want.size()), 0) << n << " x " << k;
  }
}

TEST_P(RewriteTest, RefusesOtherShapes) {
  PackedMatrix w = PackedMatrix::uninitialised(6, 4, GetParam());
  EXPECT_THROW(w.rewrite(nullptr, Tensor({4, 6}, DType::f32)), Error);
  EXPECT_THROW(w.rewrite_transposed(nullptr, Tensor({6, 4}, DType::f32)), Error);
  EXPECT_THROW(w.rewrite_rows(nullptr, Tensor({5, 4}, DType::f32), 0), Error);
  EXPECT_THROW(w.rewrite_rows(nullptr, Tensor({5, 4}, DType::f32), 1), Error);
  EXPECT_THROW(PackedMatrix::uninitialised(5, 4, GetParam(), RowOrder::gate_up), Error);
}

// The gradient of a product's input, dx = dy W: a product with what W's transpose is packed to.
TEST_P(RewriteTest, GradientOfAnInputIsAProductWithTheTranspose) {
  constexpr int64_t kRows = 70, kN = 130, kK = 523;
  const CpuStream stream(2);
  const Tensor dy = random_tensor({kRows, kN}, GetParam(), 1);
  const Tensor w = widened(random_tensor({kN, kK}, GetParam(), 2));
  PackedMatrix packed = PackedMatrix::uninitialised(kK, kN, GetParam());
  packed.rewrite_transposed(&stream.stream, w);
  Tensor dx({kRows, kK}, DType::f32);
  gemm(stream, dy, packed, GemmOutput::store, dx);
  EXPECT_TRUE(close(dx, reference::linear(dy, transposed(w), kRows, kK, kN)));
  for (const int64_t count : {1, 3, 33}) {
    Tensor part({count, kK}, DType::f32);
    gemm(stream, dy.view().slice(7, count), packed, GemmOutput::store, part);
    for (int64_t r = 0; r < count; ++r) EXPECT_TRUE(same_row_bits(part, r, dx, 7 + r)) << "of " << count;
  }
}

INSTANTIATE_TEST_SUITE_P(PackedMatrix, RewriteTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(switchyard::name_of(param.param)); });

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
