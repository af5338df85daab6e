// An all-to-all whose counts and contents are functions of (source, destination, salt); 20-byte rows. In host memory,
// or in a device's.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "base/device.h"
#include "comm/communicator.h"

namespace switchyard::test {

class AllToAll {
 public:
  /// The rows are in memory of the stream's device; the stream outlives this.
  AllToAll(Communicator& world, int salt, const Stream& stream = host_stream())
      : world_(world), salt_(salt), stream_(stream) {
    for (int r = 0; r < world.size(); ++r) {
      send_rows_.push_back(rows(world.rank(), r));
      recv_rows_.push_back(rows(r, world.rank()));
      for (int64_t i = 0; i < send_rows_.back() * kDim; ++i) sent_.push_back(value(world.rank(), r, i));
      received_.insert(received_.end(), static_cast<size_t>(recv_rows_.back()) * kDim, -1);
    }
    if (stream.device == Device::cpu) return;
    device_sent_ = there(sent_);
    device_received_ = there(received_);
  }

  Pending start() {
    return world_.start_all_to_all_v(stream_, place(sent_, device_sent_), send_rows_,
                                     place(received_, device_received_), recv_rows_);
  }

  void verify() {
    if (stream_.device == Device::cuda) {
      copy(stream_, device_received_.view(), host_view(received_));
      synchronize(stream_);
    }
    size_t at = 0;
    for (int r = 0; r < world_.size(); ++r)
      for (int64_t i = 0; i < rows(r, world_.rank()) * kDim; ++i)
        EXPECT_EQ(received_[at++], value(r, world_.rank(), i)) << "from rank " << r << ", salt " << salt_;
  }

 private:
  static constexpr int kDim = 5;

  static const Stream& host_stream() {
    static const Stream stream;
    return stream;
  }
  int64_t rows(int from, int to) const { return (from * 3 + to * 5 + salt_) % 4 * (from + salt_); }
  static int32_t value(int from, int to, int64_t i) { return static_cast<int32_t>((from * 100 + to) * 1000 + i); }

  static View host_view(std::vector<int32_t>& values) {
    return {values.data(), {std::ssize(values) / kDim, kDim}, DType::i32};
  }
  OwnedTensor there(std::vector<int32_t>& values) const {
    OwnedTensor tensor({std::ssize(values) / kDim, kDim}, DType::i32, Device::cuda);
    copy(stream_, host_view(values), tensor.view());
    return tensor;
  }
  View place(std::vector<int32_t>& values, OwnedTensor& device) const {
    return stream_.device == Device::cuda ? device.view() : host_view(values);
  }

  Communicator& world_;
  const int salt_;
  const Stream& stream_;
  std::vector<int64_t> send_rows_, recv_rows_;
  std::vector<int32_t> sent_, received_;
  OwnedTensor device_sent_, device_received_;
};

}  // namespace switchyard::test
