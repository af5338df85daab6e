#include "comm/staged_communicator.h"

#include <algorithm>

#include "base/device.h"
#include "comm/host_decorator.h"

namespace switchyard {
namespace {

/// Pinned memory that waits for its next transfer: pinning takes far longer than copying.
class PinnedBuffers {
 public:
  /// The smallest that fits. When none does, the largest makes room for one that does, so that there are never more
  /// than have been in use at a time.
  Memory take(size_t bytes) {
    if (bytes == 0) return {};
    const auto fits = std::ranges::lower_bound(free_, bytes, {}, &Memory::size);
    if (fits != free_.end()) {
      Memory found = std::move(*fits);
      free_.erase(fits);
      return found;
    }
    if (!free_.empty()) free_.pop_back();
    return Memory::pinned(bytes);
  }

  void give_back(Memory memory) {
    if (memory.size() == 0) return;
    const auto at = std::ranges::lower_bound(free_, memory.size(), {}, &Memory::size);
    free_.insert(at, std::move(memory));
  }

 private:
  std::vector<Memory> free_;  // by size
};

View view_in(const Memory& memory, ConstView like) {
  return {memory.data(), like.shape, like.dtype, Device::cpu};
}

/// What copies need of a stream.
Stream copying(const Stream& stream) {
  Stream copy;
  copy.device = stream.device;
  copy.cuda = stream.cuda;
  copy.device_index = stream.device_index;
  return copy;
}

class StagedTransfer final : public Pending::Impl {
 public:
  StagedTransfer(const Stream& stream, PinnedBuffers& buffers, ConstView send, View recv)
      : stream_(copying(stream)),
        buffers_(buffers),
        sent_(buffers.take(send.bytes())),
        received_(buffers.take(recv.bytes())),
        recv_(recv) {
    copy(stream_, send, view_in(sent_, send));
    synchronize(stream_);
  }

  ~StagedTransfer() override {
    try {
      wait();
    } catch (const Error&) {  // what failed is known by now: nobody may use the buffers after this, that is all
    }
    inner_ = Pending();
    buffers_.give_back(std::move(sent_));
    buffers_.give_back(std::move(received_));
  }

  void start(Communicator& host, ConstView send, std::span<const int64_t> send_rows,
             std::span<const int64_t> recv_rows) {
    inner_ = host.start_all_to_all_v(stream_, view_in(sent_, send), send_rows, view_in(received_, recv_), recv_rows);
    started_ = true;
  }

  bool poll() override {
    if (started_ && inner_.poll()) bring_to_device();
    return !started_;
  }

  void wait() override {
    if (started_) {
      inner_.wait();
      bring_to_device();
    }
    synchronize(stream_);
  }

 private:
  void bring_to_device() {
    started_ = false;
    copy(stream_, view_in(received_, recv_), recv_);
  }

  const Stream stream_;
  PinnedBuffers& buffers_;
  Memory sent_, received_;
  const View recv_;
  bool started_ = false;  // and not yet arrived
  Pending inner_;
};

class StagedCommunicator final : public HostDecorator {
 public:
  explicit StagedCommunicator(std::unique_ptr<Communicator> inner)
      : HostDecorator(std::move(inner)), kind_(fmt::format("{} staged through host memory", host().kind())) {}

  std::string_view kind() const override { return kind_; }

  Pending start_all_to_all_v(const Stream& stream, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override {
    if (send.device == Device::cpu && recv.device == Device::cpu)
      return host().start_all_to_all_v(stream, send, send_rows, recv, recv_rows);
    SWITCHYARD_CHECK(send.device == recv.device, "an all-to-all between host memory and a device's");
    const AllToAllRows rows = all_to_all_rows(size(), send, send_rows, recv, recv_rows);
    const ConstView sent = send.slice(0, rows.from.back());
    use_device(stream.device_index);
    auto transfer = std::make_unique<StagedTransfer>(stream, buffers_, sent, recv.slice(0, rows.to.back()));
    transfer->start(host(), sent, send_rows, recv_rows);
    return Pending(std::move(transfer));
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    return stage_through_host(host().split(color, key));
  }

 private:
  const std::string kind_;
  PinnedBuffers buffers_;
};

}  // namespace

std::unique_ptr<Communicator> stage_through_host(std::unique_ptr<Communicator> inner) {
  return std::make_unique<StagedCommunicator>(std::move(inner));
}

}  // namespace switchyard
