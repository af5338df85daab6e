#include "kernels/scratch.h"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "kernels/attention/attention.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "support/compare.h"

namespace switchyard {
namespace {

using namespace test;

class ScratchTest : public testing::TestWithParam<DType> {};

// thread_scratch() only grows: after a model's largest calls, asking for the predicted bytes must not move the block.
TEST_P(ScratchTest, PredictionCoversEveryOp) {
  const KernelShapes shapes{GetParam(), 96, 300, 1100, 4, 2, 24};
  const size_t predicted = thread_scratch_bytes(shapes);
  std::thread([&] {
    const std::byte* block = thread_scratch(predicted);
    CpuStream stream(1);
    const auto pack = [&](int64_t n, int64_t k, RowOrder order = RowOrder::plain) {
      return PackedMatrix::pack(random_tensor({n, k}, DType::f32, 1), GetParam(), order);
    };
    const Tensor x = random_tensor({200, 96}, GetParam(), 2);
    gemm(stream, x, pack(4 * 24, 96), GemmOutput::store, Tensor({200, 96}, DType::f32));
    std::vector<int32_t> rows(200);
    std::iota(rows.begin(), rows.end(), 0);
    const std::vector<int64_t> offsets{0, 200};
    std::vector<FfnWeights> ffn(1);
    ffn[0] = {pack(600, 96, RowOrder::gate_up), pack(96, 300)};
    grouped_ffn(stream, x, {offsets, rows, rows}, ffn, GemmOutput::store, Tensor({200, 96}, DType::f32));
    const Tensor q = random_tensor({200, 4, 24}, DType::f32, 3), k = random_tensor({200, 2, 24}, DType::f32, 4);
    attention(stream, q, k, k, view_of(std::span<const int64_t>(offsets)), 0.2f, Tensor({200, 4, 24}, DType::f32));
    cross_entropy(stream, x, pack(1100, 96), i32_tensor(std::vector<int32_t>(200)),
                  Tensor({cross_entropy_scratch(200, 1100)}, DType::f32), Tensor({200}, DType::f32),
                  Tensor({200}, DType::i32));
    EXPECT_EQ(thread_scratch(predicted), block);
  }).join();
}

TEST_P(ScratchTest, EveryPartCounts) {
  const size_t none = thread_scratch_bytes({GetParam(), 64, 0, 0, 0, 0, 0});
  EXPECT_EQ(none, 0u);
  const size_t small = thread_scratch_bytes({GetParam(), 64, 64, 0, 0, 0, 0});
  const size_t large = thread_scratch_bytes({GetParam(), 64, 640, 0, 0, 0, 0});
  EXPECT_GT(small, 0u);
  EXPECT_GT(large, small);
}

INSTANTIATE_TEST_SUITE_P(Operands, ScratchTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(name_of(param.param)); });

}  // namespace
}  // namespace switchyard
