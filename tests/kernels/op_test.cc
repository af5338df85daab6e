#include "kernels/op.h"

#include <gtest/gtest.h>

#include "kernels/products/grouped_ffn.h"
#include "kernels/rows/cast.h"
#include "kernels/vocabulary/embedding.h"
#include "support/device.h"
#include "support/expect_error.h"

namespace switchyard {
namespace {

/// As if it were on the other device; nobody may look at it.
ConstView elsewhere(ConstView view) {
  view.device = Device::cuda;
  return view;
}

TEST(Op, AnArgumentOfAnotherDeviceIsNamedBeforeAnythingIsTouched) {
  const test::TestStream stream(Device::cpu);
  OwnedTensor table({4, 8}, DType::f32), x({2, 8}, DType::f32), y({2, 8}, DType::f32), ids({2}, DType::i32);
  EXPECT_TRUE(
      test::fails(ExitCode::internal, {"cast: argument 1"}, [&] { cast(stream, elsewhere(x.view()), y.view()); }));
  View there = y.view();
  there.device = Device::cuda;
  EXPECT_TRUE(test::fails(ExitCode::internal, {"embedding: argument 3"},
                          [&] { embedding(stream, ids.view(), table.view(), there); }));
  embedding(stream, ids.view(), table.view(), y.view());
}

TEST(Op, WeightsLieSomewhereToo) {
  const FfnWeights on_cpu{PackedMatrix::pack(OwnedTensor({4, 8}, DType::f32).view(), DType::f32), {}};
  const FfnWeights none;
  EXPECT_TRUE(lies_on(Device::cpu, on_cpu));
  EXPECT_FALSE(lies_on(Device::cuda, on_cpu));
  EXPECT_TRUE(lies_on(Device::cuda, none)) << "it holds nothing";
  FfnWeights biases;
  biases.down_bias = OwnedTensor({4}, DType::f32);
  EXPECT_TRUE(lies_on(Device::cpu, biases));
  EXPECT_FALSE(lies_on(Device::cuda, biases));
  biases.down_bias = OwnedTensor::of_shape({4}, DType::f32, Device::cpu);
  EXPECT_TRUE(lies_on(Device::cuda, biases)) << "it has no memory";
  const std::span<const FfnWeights> list(&on_cpu, 1);
  EXPECT_FALSE(lies_on(Device::cuda, list));
  EXPECT_TRUE(lies_on(Device::cuda, list.first(0)));
  EXPECT_TRUE(lies_on(Device::cpu, 7));
}

}  // namespace
}  // namespace switchyard
