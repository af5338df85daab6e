#include "jobs/numerics.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/device.h"
#include "base/hash.h"
#include "comm/collectively.h"
#include "kernels/products/gemm.h"
#include "model/dense_products.h"

namespace switchyard {

std::string numerics_revision(Device device) {
  return device == Device::cuda ? "r6" : "r3";
}

std::string numerics_revision(std::string_view id) {
  return std::string(id.substr(0, id.find('/')));
}

Numerics numerics_of(const ModelConfig& config, DType operand, Device device, int device_index) {
  const std::string begin = fmt::format("{}/{}", numerics_revision(device), name_of(operand));
  if (device == Device::cpu) return {fmt::format("{}/{}/onednn-{}", begin, current_cpu_isa(), onednn_version()), {}};
  if (device_index < 0) return {begin + "/a GPU", {}};
  Numerics numerics{
      fmt::format("{}/{}/cublas-{}", begin, device_info(device_index).architecture, cuda::cublas_version()), {}};
  for (const DenseProduct& product : dense_products(config, operand))
    if (const std::string algorithm = cuda::dense_algorithm(device_index, product.n, product.k, product.operand);
        !algorithm.empty())
      numerics.algorithms.push_back(
          fmt::format("{} [{}, {}]: {}", name_of(product.operand), product.n, product.k, algorithm));
  if (!numerics.algorithms.empty()) {
    constexpr size_t kDigits = 8;
    const std::string text = fmt::format("{}", fmt::join(numerics.algorithms, "\n"));
    numerics.id += "/" + hash_of(std::as_bytes(std::span(text))).hex().substr(0, kDigits);
  }
  return numerics;
}

void require_same_numerics(Communicator& world, const std::string& id) {
  const std::vector<std::string> ids = world.all_gather_strings(id);
  for (size_t rank = 1; rank < ids.size(); ++rank)
    if (ids[rank] != ids.front())
      fail_together(ExitCode::environment,
                    "rank {} computes as {}, rank 0 as {}: expected one kind of node, for one kind of bits", rank,
                    ids[rank], ids.front());
}

}  // namespace switchyard
