// device.h over the CUDA runtime.
#include <atomic>
#include <cstring>
#include <memory>

#include "base/cuda_event.h"
#include "base/device.h"
#include "base/device_memory.h"
#include "base/staging.h"

namespace switchyard {
namespace {

std::byte* as_bytes(void* p) {
  return static_cast<std::byte*>(p);
}

bool is_pinned(const void* host) {
  cudaPointerAttributes memory{};
  SWITCHYARD_CUDA_CALL(cudaPointerGetAttributes(&memory, host));
  return memory.type == cudaMemoryTypeHost;
}

// From the device's pool: cudaMalloc rounds a large block up to 2 MiB, and an expert's matrix is of 3 MiB.
cudaError_t allocate(void** memory, size_t bytes) {
  int device = 0, has_pool = 0;
  SWITCHYARD_CUDA_CALL(cudaGetDevice(&device));
  SWITCHYARD_CUDA_CALL(cudaDeviceGetAttribute(&has_pool, cudaDevAttrMemoryPoolsSupported, device));
  if (has_pool == 0) return cudaMalloc(memory, bytes);
  const cudaError_t code = cudaMallocAsync(memory, bytes, nullptr);
  return code == cudaSuccess ? cudaStreamSynchronize(nullptr) : code;  // from here on every stream may use it
}

}  // namespace

void check_cuda(cudaError_t code, const char* call, const char* file, int line) {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // an error that only this call has is not shown again by the next one
  fail(ExitCode::environment, "CUDA: {} ({}) from {} at {}:{}", cudaGetErrorString(code), cudaGetErrorName(code), call,
       file, line);
}

std::string cuda_toolkit() {
  return SWITCHYARD_CUDA_TOOLKIT;
}

int num_devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}

std::string why_no_devices() {
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (code == cudaSuccess && count > 0) return "";
  int driver = 0;  // 0: there is none
  if (code == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
    return "CUDA finds no device: no NVIDIA driver (libcuda.so.1) is installed";
  return fmt::format("CUDA finds no device: {}", cudaGetErrorString(code == cudaSuccess ? cudaErrorNoDevice : code));
}

DeviceInfo device_info(int index) {
  cudaDeviceProp properties{};
  SWITCHYARD_CUDA_CALL(cudaGetDeviceProperties(&properties, index));
  int runtime = 0;
  SWITCHYARD_CUDA_CALL(cudaRuntimeGetVersion(&runtime));
  use_device(index);
  DeviceInfo info{.name = properties.name,
                  .architecture = fmt::format("sm_{}{}", properties.major, properties.minor),
                  .runtime = fmt::format("{}.{}", runtime / 1000, runtime % 1000 / 10),
                  .num_multiprocessors = properties.multiProcessorCount};
  SWITCHYARD_CUDA_CALL(cudaMemGetInfo(&info.free_bytes, &info.total_bytes));
  return info;
}

std::string device_identity(int index) {
  char id[32] = {};
  SWITCHYARD_CUDA_CALL(cudaDeviceGetPCIBusId(id, sizeof id, index));
  return id;
}

void use_device(int index) {
  SWITCHYARD_CUDA_CALL(cudaSetDevice(index));
}

std::byte* allocate_device_memory(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t code = allocate(&memory, bytes);
  if (code == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    size_t free = 0, total = 0;
    SWITCHYARD_CUDA_CALL(cudaMemGetInfo(&free, &total));
    fail(ExitCode::environment, "GPU memory: {} bytes wanted, {} of {} are free", bytes, free, total);
  }
  check_cuda(code, "an allocation", __FILE__, __LINE__);
  return as_bytes(memory);
}

// Nothing may use it any more, and a pool does not wait for that by itself. What a pool need not keep it gives back
// when the device is next waited for, which takes time: not after each of a model's thousands of matrices.
void free_device_memory(std::byte* data, size_t bytes) noexcept {
  constexpr size_t kGivenBackTogether = size_t{64} << 20;
  static std::atomic<size_t> kept = 0;
  int current = 0;
  cudaPointerAttributes memory{};
  cudaGetDevice(&current);
  cudaPointerGetAttributes(&memory, data);
  cudaSetDevice(memory.device);
  cudaDeviceSynchronize();
  cudaFree(data);
  if ((kept += bytes) >= kGivenBackTogether) {
    kept = 0;
    cudaDeviceSynchronize();
  }
  cudaSetDevice(current);
  cudaGetLastError();  // an error of the work before was the business of who waited for it
}

std::byte* allocate_pinned_memory(size_t bytes) {
  void* memory = nullptr;
  SWITCHYARD_CUDA_CALL(cudaMallocHost(&memory, bytes));
  return as_bytes(memory);
}

void free_pinned_memory(std::byte* data, size_t) noexcept {
  cudaFreeHost(data);
}

DeviceStream::DeviceStream(int device_index, size_t workspace_bytes) : device_index_(device_index) {
  use_device(device_index);
  SWITCHYARD_CUDA_CALL(cudaStreamCreateWithFlags(&cuda_, cudaStreamNonBlocking));
  workspace_ = Memory(workspace_bytes, Device::cuda);
}

DeviceStream::~DeviceStream() {
  cudaStreamSynchronize(cuda_);  // nothing may use the workspace after this
  cudaStreamDestroy(cuda_);
}

Stream DeviceStream::over(const Stream& host) const {
  Stream stream = host;
  stream.device = Device::cuda;
  stream.cuda = cuda_;
  stream.device_index = device_index_;
  stream.workspace = {workspace_.data(), workspace_.size()};
  return stream;
}

struct HostMirror::Event {
  CudaEvent copied = make_cuda_event();
};
HostMirror::HostMirror() = default;
HostMirror::~HostMirror() = default;
HostMirror::HostMirror(HostMirror&&) noexcept = default;
HostMirror& HostMirror::operator=(HostMirror&&) noexcept = default;

void HostMirror::start(const Stream& stream, ConstView view) {
  view_ = view;
  if (view.device == Device::cpu) return;
  use_device(stream.device_index);
  if (!event_) event_ = std::make_unique<Event>();
  if (memory_.size() < view.bytes()) memory_ = Memory::pinned(view.bytes());
  const View here{memory_.data(), view.shape, view.dtype, Device::cpu};
  copy(stream, view, here);
  SWITCHYARD_CUDA_CALL(cudaEventRecord(event_->copied.get(), stream.cuda));
  view_ = here;
}

ConstView HostMirror::view() {
  if (event_) SWITCHYARD_CUDA_CALL(cudaEventSynchronize(event_->copied.get()));
  return view_;
}

void copy_between_devices(const Stream& stream, ConstView from, View to) {
  SWITCHYARD_CHECK(stream.cuda != nullptr, "a copy between devices outside a device's stream");
  use_device(stream.device_index);
  if (from.device == Device::cpu && from.bytes() <= Staging::kBytes && !is_pinned(from.data)) {
    Staging& staging = Staging::of_this_thread();
    std::memcpy(staging.next(from.bytes()), from.data, from.bytes());
    staging.send(stream, to.data);
    return;
  }
  SWITCHYARD_CUDA_CALL(cudaMemcpyAsync(to.data, from.data, from.bytes(), cudaMemcpyDefault, stream.cuda));
}

void synchronize(const Stream& stream) {
  if (stream.device == Device::cuda && stream.measured == nullptr)
    SWITCHYARD_CUDA_CALL(cudaStreamSynchronize(stream.cuda));
}

}  // namespace switchyard
