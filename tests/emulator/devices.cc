#include "devices.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "device_limits.h"
#include "emulator/hopper.h"

namespace switchyard::emulator {
namespace {

thread_local cudaError_t last_error = cudaSuccess;
thread_local int device_of_thread = 0;

/// Success, or why `device` cannot be used.
cudaError_t check_device(int device) {
  if (num_devices() == 0) return cudaErrorNoDevice;
  return device >= 0 && device < num_devices() ? cudaSuccess : cudaErrorInvalidDevice;
}

int read_architecture() {
  const char* text = std::getenv("SWITCHYARD_EMULATED_ARCHITECTURE");
  return text == nullptr ? 90 : std::atoi(text);
}

struct ErrorText {
  cudaError_t code;
  const char *name, *text;
};
constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
};

const ErrorText& text_of(cudaError_t code) {
  static constexpr ErrorText kUnknown{cudaSuccess, "unrecognized error code", "unrecognized error code"};
  for (const ErrorText& error : kErrors)
    if (error.code == code) return error;
  return kUnknown;
}

}  // namespace

cudaError_t report(cudaError_t code) {
  if (code != cudaSuccess) last_error = code;
  return code;
}

int num_devices() {
  const char* count = std::getenv("SWITCHYARD_EMULATED_DEVICES");
  return count == nullptr ? 4 : std::atoi(count);
}

int current_device() {
  return device_of_thread;
}

}  // namespace switchyard::emulator

using namespace switchyard::emulator;

const char* cudaGetErrorString(cudaError_t code) {
  return text_of(code).text;
}
const char* cudaGetErrorName(cudaError_t code) {
  return text_of(code).name;
}
cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  return last_error;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = num_devices() == 0 ? 0 : 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = num_devices();
  return report(*count == 0 ? cudaErrorNoDevice : cudaSuccess);
}
cudaError_t cudaSetDevice(int device) {
  const cudaError_t code = check_device(device);
  if (code == cudaSuccess) device_of_thread = device;
  return report(code);
}
cudaError_t cudaGetDevice(int* device) {
  *device = device_of_thread;
  return report(check_device(device_of_thread));
}

int switchyard::emulator::architecture() {
  static const int value = read_architecture();
  return value;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t code = check_device(device); code != cudaSuccess) return report(code);
  *properties = {.name = "emulated GPU",
                 .totalGlobalMem = memory_of_device(),
                 .sharedMemPerBlock = kSharedBytesWithoutAsking,
                 .sharedMemPerBlockOptin = kMaxSharedBytes,
                 .sharedMemPerMultiprocessor = kMaxSharedBytes + 1024,
                 .major = architecture() / 10,
                 .minor = architecture() % 10,
                 .multiProcessorCount = kMultiprocessors,
                 .warpSize = 32,
                 .maxThreadsPerBlock = kMaxThreads,
                 .l2CacheSize = kL2Bytes,
                 .pciBusID = device + 1,
                 .pciDeviceID = 0,
                 .pciDomainID = 0};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const cudaError_t code = check_device(device); code != cudaSuccess) return report(code);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = kMaxThreads;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = kSharedBytesWithoutAsking;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = 32;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = kMultiprocessors;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = kL2Bytes;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = architecture() / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = architecture() % 10;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = kMaxSharedBytes + 1024;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = kMaxSharedBytes;
      return cudaSuccess;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      return cudaSuccess;
  }
  return report(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  if (const cudaError_t code = check_device(device); code != cudaSuccess) return report(code);
  std::snprintf(id, static_cast<size_t>(length), "0000:%02x:00.0", static_cast<unsigned>(device) + 1);
  return cudaSuccess;
}
