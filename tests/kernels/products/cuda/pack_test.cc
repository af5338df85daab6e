// A matrix packed from values on a device is the one packed from the host's, padding included.
#include <gtest/gtest.h>

#include "kernels/products/cuda/matrix.h"
#include "kernels/products/packed_matrix.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

Tensor storage_of(const Stream& stream, const PackedMatrix& matrix) {
  const View storage = matrix.on_cuda().storage();
  Tensor here(storage.shape, storage.dtype);
  copy(stream, storage, here.view());
  synchronize(stream);
  return here;
}

struct Case {
  RowOrder order;
  int64_t n, k;
};

class DevicePack : public testing::TestWithParam<std::tuple<DType, Case>> {};

TEST_P(DevicePack, EqualsTheHosts) {
  const auto [operand, c] = GetParam();
  if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  const TestStream stream(Device::cuda);
  const auto pack = [&](ConstView source) { return PackedMatrix::pack(stream, source, operand, c.order); };
  const Tensor source = random_tensor({c.n, c.k}, DType::f32, 1);
  OwnedTensor there(source.view().shape, DType::f32, Device::cuda);
  copy(stream, source.view(), there.view());
  const PackedMatrix from_host = pack(source), from_device = pack(there.view());
  EXPECT_EQ(from_device.n(), c.n);
  EXPECT_EQ(from_device.k(), c.k);
  EXPECT_EQ(from_device.bytes(), from_host.bytes());
  EXPECT_TRUE(same_bits(storage_of(stream, from_device), storage_of(stream, from_host)));
}

INSTANTIATE_TEST_SUITE_P(Shapes, DevicePack,
                         testing::Combine(testing::Values(DType::f32, DType::bf16),
                                          testing::Values(Case{RowOrder::plain, 1, 1}, Case{RowOrder::plain, 130, 65},
                                                          Case{RowOrder::plain, 3, 300}, Case{RowOrder::gate_up, 2, 5},
                                                          Case{RowOrder::gate_up, 34, 64},
                                                          Case{RowOrder::gate_up, 270, 7})));

}  // namespace
}  // namespace switchyard
