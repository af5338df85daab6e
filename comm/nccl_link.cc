#include "comm/nccl_link.h"

#include <exception>
#include <thread>

#include "base/device.h"
#include "comm/collectively.h"
#include "comm/nccl_call.h"

namespace switchyard {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPause{1};

/// In the background: rows must leave while kernels fill the device, so its work goes first.
cudaStream_t make_stream() {
  int lowest = 0, highest = 0;
  SWITCHYARD_CUDA_CALL(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  cudaStream_t stream = nullptr;
  SWITCHYARD_CUDA_CALL(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, highest));
  return stream;
}

std::string reason(ncclResult_t code) {
  const char* last = ncclGetLastError(nullptr);
  const std::string text = last == nullptr || *last == '\0' ? "" : fmt::format(" ({})", last);
  return fmt::format("{}{}", ncclGetErrorString(code), text);
}

}  // namespace

void check_nccl(ncclResult_t code, const char* call, const char* file, int line) {
  if (code == ncclSuccess || code == ncclInProgress) return;
  fail(ExitCode::environment, "NCCL: {} from {} at {}:{}", reason(code), call, file, line);
}

void fail_nccl(ncclResult_t code, const std::string& subject) {
  fail(ExitCode::environment, "NCCL: {}: {}", subject, reason(code));
}

NcclLink::NcclLink(Communicator& host, int device_index, std::chrono::milliseconds timeout)
    : device_index_(device_index), timeout_(timeout), num_exceptions_(std::uncaught_exceptions()) {
  try {
    connect(host);
  } catch (const Error&) {
    abort();
    throw;
  }
}

NcclLink::~NcclLink() {
  if (aborted()) return;
  if (std::uncaught_exceptions() != num_exceptions_ || !close()) abort();
}

void NcclLink::connect(Communicator& host) {
  ncclUniqueId id{};
  in_group(host, [&] {
    use_device(device_index_);
    stream_.reset(make_stream());
    if (host.rank() == 0) SWITCHYARD_NCCL(ncclGetUniqueId(&id));
  });
  host.broadcast({id.internal, {NCCL_UNIQUE_ID_BYTES}, DType::u8}, 0);
  host.barrier();

  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  ncclResult_t state = ncclCommInitRankConfig(&comm_, host.size(), id, host.rank(), &config);
  const auto deadline = Clock::now() + timeout_;
  while (state == ncclInProgress) {
    if (Clock::now() > deadline)
      fail(ExitCode::timeout, "NCCL: after {} s not all of the {} ranks are connected (NCCL_DEBUG=INFO says more)",
           std::chrono::duration<double>(timeout_).count(), host.size());
    std::this_thread::sleep_for(kPause);
    host.notice();  // MPI moves only inside its calls, and another rank may not be out of the barrier yet
    SWITCHYARD_NCCL(ncclCommGetAsyncError(comm_, &state));
  }
  if (state != ncclSuccess)
    fail_nccl(state, fmt::format("{} ranks cannot be connected, this one with device {}. NCCL takes one rank per GPU; "
                                 "--share-gpu lets ranks share one, through host memory",
                                 host.size(), device_index_));
}

void NcclLink::give(Work& work) {
  waiting_.push_back(&work);
  advance();
}

bool NcclLink::idle() const {
  ncclResult_t state = ncclSuccess;
  SWITCHYARD_NCCL(ncclCommGetAsyncError(comm_, &state));
  if (state != ncclSuccess && state != ncclInProgress) fail_nccl(state, "a transfer between GPUs failed");
  return state == ncclSuccess;
}

void NcclLink::advance() {
  if (aborted()) fail(ExitCode::environment, "NCCL: a transfer between GPUs failed before, or was given up");
  try {
    use_device(device_index_);
    while (idle()) {
      if (launching_ != nullptr) std::exchange(launching_, nullptr)->launched();
      if (waiting_.empty()) return;
      launching_ = waiting_.front();
      waiting_.pop_front();
      launching_->launch();
    }
  } catch (const Error&) {
    abort();
    throw;
  }
}

void NcclLink::abort() noexcept {
  waiting_.clear();
  launching_ = nullptr;
  if (aborted()) return;
  cudaSetDevice(device_index_);
  ncclCommAbort(std::exchange(comm_, nullptr));
  cudaStreamSynchronize(stream_.get());  // nothing touches the buffers after this
}

/// Whether all went well.
bool NcclLink::close() noexcept {
  cudaSetDevice(device_index_);
  ncclResult_t state = ncclCommFinalize(comm_);
  const auto deadline = Clock::now() + timeout_;
  while (state == ncclInProgress && Clock::now() < deadline) {
    std::this_thread::sleep_for(kPause);
    if (ncclCommGetAsyncError(comm_, &state) != ncclSuccess) return false;
  }
  if (state != ncclSuccess) return false;
  ncclCommDestroy(std::exchange(comm_, nullptr));
  return true;
}

}  // namespace switchyard
