// What ops say that they take is what they take.
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "kernels/attention/attention.h"
#include "kernels/products/gemm.h"
#include "kernels/products/grouped_ffn_backward.h"
#include "kernels/products/weight_gradient.h"
#include "kernels/routing/expert_probabilities.h"
#include "kernels/scratch.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/embedding.h"
#include "kernels/vocabulary/sample_tokens.h"
#include "support/compare.h"
#include "support/device.h"

namespace switchyard {
namespace {

using namespace test;

/// Calls of every op that works in memory of its own, on a stream that computes or on one that measures.
class Calls {
 public:
  Calls(const Stream& stream, DType operand)
      : stream_(stream),
        operand_(operand),
        square_(pack(96, 96)),
        head_(pack(1100, 96)),
        x_({kRows, kDim}, operand, stream.device),
        y_({kRows, kDim}, DType::f32, stream.device),
        q_({kRows, 4, 24}, DType::f32, stream.device),
        k_({kRows, 2, 24}, DType::f32, stream.device),
        dk_({kRows, 2, 24}, DType::f32, stream.device),
        lse_({kRows, 4}, DType::f32, stream.device),
        list_({kRows}, DType::i32, stream.device),
        logprob_({kRows}, DType::f32, stream.device),
        offsets_({2}, DType::i64, stream.device),
        partials_({cross_entropy_scratch(kRows, 1100)}, DType::f32, stream.device),
        gradient_({kDim, kDim}, DType::f32, stream.device),
        hidden_({kRows, 300}, operand, stream.device),
        d_hidden_({kRows, 600}, operand, stream.device),
        d_logits_({kRows, 500}, operand, stream.device),
        table_({300, kDim}, DType::f32, stream.device),
        dtable_{table_.view()},
        sums_({1, kDim}, DType::f64, stream.device),
        uniform_({kRows}, DType::f64, stream.device),
        drawn_({kRows}, DType::i32, stream.device) {
    ffn_.emplace_back();
    ffn_[0] = {pack(600, 96, RowOrder::gate_up), pack(96, 300), OwnedTensor({600}, DType::f32, stream.device),
               OwnedTensor({96}, DType::f32, stream.device)};
    unbiased_.emplace_back();
    unbiased_[0] = {pack(600, 96, RowOrder::gate_up), pack(96, 300)};
    transposed_.emplace_back();
    transposed_[0] = {pack(96, 600), pack(300, 96)};
    std::vector<int32_t> rows(kRows);
    std::iota(rows.begin(), rows.end(), 0);
    copy(stream_, view_of(std::span<const int32_t>(rows)), list_.view());
    const std::vector<int64_t> offsets{0, kRows};
    copy(stream_, view_of(std::span<const int64_t>(offsets)), offsets_.view());
    copy(stream_, Tensor({kRows, kDim}, operand), x_.view());
    for (OwnedTensor* t : {&q_, &k_}) copy(stream_, Tensor(t->view().shape, DType::f32), t->view());
  }

  /// How many calls there are on the device; the CPU's last ones have no CUDA implementation.
  static int num(Device device) { return device == Device::cpu ? 11 : 4; }
  void run(int i, const Stream& stream) {
    const std::span<const int64_t> offsets(static_cast<const int64_t*>(offsets_.view().data), 2);
    const std::span<const int32_t> rows(static_cast<const int32_t*>(list_.view().data), kRows);
    switch (i) {
      case 0:
        return gemm(stream, x_.view(), square_, GemmOutput::store, y_.view());
      case 1:
        return grouped_ffn(stream, x_.view(), {offsets, rows, rows}, ffn_, {}, GemmOutput::store, y_.view());
      case 2:
        return attention(stream, q_.view(), k_.view(), k_.view(), offsets_.view(), {}, {}, 0.2f, {},
                         y_.view().reshaped({kRows, 4, 24}));
      case 3:
        return cross_entropy(stream, x_.view(), head_, list_.view(), partials_.view(), {}, logprob_.view(),
                             list_.view());
      case 4:
        return attention_backward(stream, q_.view(), k_.view(), k_.view(), offsets_.view(), {}, {}, 0.2f, q_.view(),
                                  lse_.view(), q_.view(), y_.view().reshaped({kRows, 4, 24}), dk_.view(), dk_.view());
      case 5: {
        const View gradient = gradient_.view();
        return weight_gradient(stream, x_.view(), x_.view(), {{0, 4}, slice_offsets_}, {}, {&gradient, 1});
      }
      case 6:
        return grouped_ffn_backward(stream, x_.view(), x_.view(), {}, {offsets, rows, rows}, unbiased_, transposed_, {},
                                    GemmOutput::store, hidden_.view(), d_hidden_.view(), y_.view(), {}, {});
      case 7:
        return cross_entropy_backward(stream, x_.view(), head_, list_.view(), logprob_.view(), {}, 1, 512,
                                      d_logits_.view());
      case 8:
        return embedding_backward(stream, list_.view(), y_.view(), {{0, 1}, offsets}, 0, dtable_);
      case 9:
        return sample_tokens(stream, x_.view(), head_, partials_.view(), uniform_.view(), drawn_.view(),
                             logprob_.view());
      default:
        return expert_probabilities(stream, y_.view(), RouterScores::softmax, {{0, 1}, offsets}, sums_.view());
    }
  }

 private:
  static constexpr int64_t kRows = 200, kDim = 96;
  PackedMatrix pack(int64_t n, int64_t k, RowOrder order = RowOrder::plain) const {
    return PackedMatrix::pack(stream_, random_tensor({n, k}, DType::f32, 1), operand_, order);
  }

  const Stream& stream_;
  const DType operand_;
  const PackedMatrix square_, head_;
  std::vector<FfnWeights> ffn_, unbiased_;
  std::vector<FfnWeights> transposed_;
  OwnedTensor x_, y_, q_, k_, dk_, lse_, list_, logprob_, offsets_, partials_, gradient_, hidden_, d_hidden_, d_logits_,
      table_;
  std::vector<View> dtable_;
  OwnedTensor sums_, uniform_, drawn_;
  const std::vector<int64_t> slice_offsets_{0, 90, 90, 120, kRows};
};

size_t measured(Calls& calls, int call, Device device) {
  Measurement measurement;
  calls.run(call, Stream::measuring(device, measurement));
  return measurement.working;
}

class WorkingBytesTest : public testing::TestWithParam<DType> {};

/// A thread's scratch only grows, and is zero when it is new: after a call it has so many bytes, and with so many a
/// call does not move it.
TEST_P(WorkingBytesTest, OfAThreadAreExact) {
  CpuStream stream(1);
  Calls calls(stream, GetParam());
  for (int call = 0; call < Calls::num(Device::cpu); ++call) {
    const size_t bytes = measured(calls, call, Device::cpu);
    EXPECT_GT(bytes, 0u) << "call " << call;
    std::thread([&] {
      calls.run(call, stream);
      thread_scratch(1)[0] = std::byte{1};
      EXPECT_EQ(thread_scratch(bytes)[0], std::byte{1}) << "call " << call;
    }).join();
    std::thread([&] {
      const std::byte* block = thread_scratch(bytes);
      calls.run(call, stream);
      EXPECT_EQ(thread_scratch(1), block) << "call " << call;
    }).join();
  }
}

/// A device's ops refuse a smaller workspace themselves.
TEST_P(WorkingBytesTest, OfACudaStreamAreEnough) {
  if (const std::string why = why_skipped(Device::cuda); !why.empty()) GTEST_SKIP() << why;
  const TestStream stream(Device::cuda);
  Calls calls(stream, GetParam());
  for (int call = 0; call < Calls::num(Device::cuda); ++call) {
    const size_t bytes = measured(calls, call, Device::cuda);
    EXPECT_GT(bytes, 0u) << "call " << call;
    const TestStream exact(Device::cuda, 1, bytes);
    EXPECT_NO_THROW(calls.run(call, exact)) << "call " << call;
    synchronize(exact);
  }
}

INSTANTIATE_TEST_SUITE_P(Operands, WorkingBytesTest, testing::Values(DType::f32, DType::bf16),
                         [](const auto& param) { return std::string(switchyard::name_of(param.param)); });

/// On shapes alone, with no memory to look at; the most of several calls counts, and nothing is computed.
TEST(Measurement, TakesTheMostOfAllCalls) {
  for (const Device device : kDevices) {
    Measurement measurement;
    const Stream stream = Stream::measuring(device, measurement);
    const auto call = [&](int64_t n) {
      const PackedMatrix w = PackedMatrix::of_shape(n, 64, DType::f32, RowOrder::plain, device);
      gemm(stream, {nullptr, {10, 64}, DType::f32, device}, w, GemmOutput::store,
           {nullptr, {10, n}, DType::f32, device});
      return gemm.working_bytes(device, {}, w, GemmOutput::store, {});
    };
    const size_t small = call(8), large = call(4096);
    call(8);
    EXPECT_EQ(measurement.working, std::max(small, large));
    EXPECT_GT(measurement.working, 0u);
  }
}

TEST(Measurement, CountsWhatIsHeld) {
  for (const Device device : kDevices) {
    Measurement measurement;
    OwnedTensor tensor = hold(Stream::measuring(device, measurement), {3, 5}, DType::f32);
    EXPECT_EQ(measurement.held, allocation_bytes({3, 5}, DType::f32, device));
    EXPECT_EQ(tensor.view().shape, Shape({3, 5}));
    EXPECT_EQ(tensor.view().data, nullptr);
  }
}

}  // namespace
}  // namespace switchyard
