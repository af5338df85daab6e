#include "jobs/numerics.h"

#include <fmt/format.h>

#include "base/device.h"
#include "kernels/products/gemm.h"

namespace switchyard {

std::string numerics_id(DType operand, Device device, int device_index) {
  constexpr int kCpuRevision = 3, kCudaRevision = 4;
  if (device == Device::cuda && device_index < 0) return fmt::format("r{}/{}/a GPU", kCudaRevision, name_of(operand));
  if (device == Device::cuda)
    return fmt::format("r{}/{}/{}/cublas-{}", kCudaRevision, name_of(operand), device_info(device_index).architecture,
                       cuda::cublas_version());
  return fmt::format("r{}/{}/{}/onednn-{}", kCpuRevision, name_of(operand), current_cpu_isa(), onednn_version());
}

}  // namespace switchyard
