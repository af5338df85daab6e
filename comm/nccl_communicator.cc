#include "comm/nccl_communicator.h"

#include <exception>
#include <thread>

#include "base/cuda_event.h"
#include "base/device.h"
#include "comm/host_decorator.h"
#include "comm/nccl_call.h"
#include "comm/nccl_link.h"

namespace switchyard {
namespace {

/// Calls of NCCL that are one operation; open, it would swallow all later calls of this thread.
class OperationGroup {
 public:
  OperationGroup() { SWITCHYARD_NCCL(ncclGroupStart()); }
  ~OperationGroup() {
    if (open_) ncclGroupEnd();
  }
  OperationGroup(const OperationGroup&) = delete;
  OperationGroup& operator=(const OperationGroup&) = delete;
  void end() {
    open_ = false;
    SWITCHYARD_NCCL(ncclGroupEnd());
  }

 private:
  bool open_ = true;
};

/// Between polls that find nothing: at first often, so that a short transfer is not made long.
class Patience {
 public:
  void pause() {
    if (Clock::now() < often_until_)
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }

 private:
  using Clock = std::chrono::steady_clock;
  const Clock::time_point often_until_ = Clock::now() + std::chrono::milliseconds(1);
};

class NcclTransfer final : public Pending::Impl, private NcclLink::Work {
 public:
  NcclTransfer(NcclLink& link, int rank, const Stream& stream, ConstView send, View recv, AllToAllRows rows,
               const Watch& watch)
      : link_(link),
        rank_(rank),
        send_(static_cast<const std::byte*>(send.data)),
        recv_(static_cast<std::byte*>(recv.data)),
        rows_(std::move(rows)),
        host_poll_(stream.poll),
        watch_(watch),
        num_exceptions_(std::uncaught_exceptions()) {
    use_device(link.device_index());
    ready_ = make_cuda_event();
    done_ = make_cuda_event();
    SWITCHYARD_CUDA_CALL(cudaEventRecord(ready_.get(), stream.cuda));
  }

  ~NcclTransfer() override {
    if (std::uncaught_exceptions() != num_exceptions_) link_.abort();
    host_poll_ = nullptr;  // it may poll what is being destroyed
    try {
      if (!link_.aborted()) wait();
    } catch (const Error&) {
      link_.abort();  // so that nobody uses the buffers after this
    }
  }

  void start() {
    watch_.arrive();
    link_.give(*this);
  }

  bool poll() override {
    if (state_ == State::complete) return true;
    link_.advance();
    if (state_ != State::travelling) return false;
    const cudaError_t code = cudaEventQuery(done_.get());
    if (code == cudaErrorNotReady) return false;
    check_cuda(code, "cudaEventQuery(done)", __FILE__, __LINE__);
    state_ = State::complete;
    return true;
  }

  void wait() override {
    for (Patience patience; !poll(); patience.pause()) {
      if (host_poll_) host_poll_();
      watch_.wait();  // so that a watchdog sees for whom
    }
    watch_.leave();
  }

 private:
  enum class State : uint8_t { waiting, travelling, complete };

  void launch() override {
    SWITCHYARD_CUDA_CALL(cudaStreamWaitEvent(link_.stream(), ready_.get(), 0));
    const int size = static_cast<int>(rows_.from.size()) - 1;
    if (const size_t bytes = bytes_of(rows_.from, rank_); bytes > 0)
      SWITCHYARD_CUDA_CALL(cudaMemcpyAsync(recv_ + offset(rows_.to, rank_), send_ + offset(rows_.from, rank_), bytes,
                                           cudaMemcpyDeviceToDevice, link_.stream()));
    OperationGroup group;
    // Step s: to s ranks ahead, from s ranks behind, so that no rank is everyone's first. A pair that has no rows has
    // no message at either end.
    for (int step = 1; step < size; ++step) {
      const int target = (rank_ + step) % size, source = (rank_ + size - step) % size;
      if (const size_t bytes = bytes_of(rows_.from, target); bytes > 0)
        SWITCHYARD_NCCL(
            ncclSend(send_ + offset(rows_.from, target), bytes, ncclUint8, target, link_.get(), link_.stream()));
      if (const size_t bytes = bytes_of(rows_.to, source); bytes > 0)
        SWITCHYARD_NCCL(
            ncclRecv(recv_ + offset(rows_.to, source), bytes, ncclUint8, source, link_.get(), link_.stream()));
    }
    group.end();
  }

  void launched() override {
    SWITCHYARD_CUDA_CALL(cudaEventRecord(done_.get(), link_.stream()));
    state_ = State::travelling;
  }

  size_t offset(const std::vector<int64_t>& first_rows, int rank) const {
    return static_cast<size_t>(first_rows[static_cast<size_t>(rank)] * rows_.row_bytes);
  }
  size_t bytes_of(const std::vector<int64_t>& first_rows, int rank) const {
    return offset(first_rows, rank + 1) - offset(first_rows, rank);
  }

  NcclLink& link_;
  const int rank_;
  const std::byte* const send_;
  std::byte* const recv_;
  const AllToAllRows rows_;
  std::function<void()> host_poll_;
  const Watch watch_;
  const int num_exceptions_;
  CudaEvent ready_, done_;
  State state_ = State::waiting;
};

class NcclCommunicator final : public HostDecorator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> host_ranks, int device_index, std::chrono::milliseconds timeout)
      : HostDecorator(std::move(host_ranks)),
        kind_(fmt::format("NCCL over {}", host().kind())),
        timeout_(timeout),
        link_(host(), device_index, timeout) {}

  std::string_view kind() const override { return kind_; }

  Pending start_all_to_all_v(const Stream& stream, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override {
    if (send.device == Device::cpu && recv.device == Device::cpu)
      return host().start_all_to_all_v(stream, send, send_rows, recv, recv_rows);
    SWITCHYARD_CHECK(send.device == recv.device, "an all-to-all between host memory and a device's");
    SWITCHYARD_CHECK(stream.device == Device::cuda && stream.device_index == link_.device_index(),
                     "rows of device {} given to an NCCL communicator of device {}", stream.device_index,
                     link_.device_index());
    AllToAllRows rows = all_to_all_rows(size(), send, send_rows, recv, recv_rows);
    const auto own = static_cast<size_t>(rank());
    SWITCHYARD_CHECK(send_rows[own] == recv_rows[own], "{} rows sent to oneself, {} expected", send_rows[own],
                     recv_rows[own]);
    auto transfer = std::make_unique<NcclTransfer>(link_, rank(), stream, send, recv, std::move(rows), watch());
    transfer->start();
    return Pending(std::move(transfer));
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    return add_nccl(host().split(color, key), link_.device_index(), timeout_);
  }

  [[noreturn]] void abort(int exit_code) override {
    link_.abort();
    HostDecorator::abort(exit_code);
  }

 private:
  const std::string kind_;
  const std::chrono::milliseconds timeout_;
  NcclLink link_;
};

}  // namespace

std::unique_ptr<Communicator> add_nccl(std::unique_ptr<Communicator> host, int device_index,
                                       std::chrono::milliseconds timeout) {
  return std::make_unique<NcclCommunicator>(std::move(host), device_index, timeout);
}

std::string nccl_library_version() {
  int version = 0;
  SWITCHYARD_NCCL(ncclGetVersion(&version));
  return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

}  // namespace switchyard
