#include "jobs/version_info.h"

#include <fmt/format.h>

#include <iostream>
#include <string_view>
#include <utility>
#include <vector>

#include "base/device.h"
#include "base/error.h"
#include "base/version.h"
#include "comm/mpi_communicator.h"
#include "io/hdf5.h"
#include "io/json.h"
#include "kernels/cpu_isa.h"

namespace switchyard {

std::vector<std::pair<std::string, std::string>> version_facts() {
  const std::string_view nccl = SWITCHYARD_NCCL_VERSION, gpus = SWITCHYARD_CUDA_ARCHITECTURES;
  const auto or_none = [](std::string_view text) { return std::string(text.empty() ? "not in this build" : text); };
  return {
      {"version", SWITCHYARD_VERSION},
      {"git_revision", SWITCHYARD_GIT_REVISION},
      {"compiler", SWITCHYARD_COMPILER},
      {"build_type", SWITCHYARD_BUILD_TYPE},
      {"mpi", mpi_library_version()},
      {"hdf5", h5::library_version()},
      {"onednn", onednn_version()},
      {"cuda", or_none(cuda_toolkit())},
      {"nccl", or_none(nccl)},
      {"gpu_architectures", or_none(gpus)},
      {"cpu_isa", std::string(detected_cpu_isa())},
  };
}

int print_version(std::span<const std::string> args) {
  for (const std::string& arg : args)
    if (arg != "--json") fail(ExitCode::usage, "--version takes --json, not \"{}\"", arg);
  const auto facts = version_facts();
  if (args.empty()) {
    std::cout << "switchyard " << SWITCHYARD_VERSION << '\n';
    for (const auto& [name, value] : facts)
      if (name != "version") std::cout << fmt::format("  {:<18}{}\n", name, value);
  } else {
    Json json;
    for (const auto& [name, value] : facts) json[name] = value;
    std::cout << to_text(json, 2) << '\n';
  }
  return static_cast<int>(ExitCode::complete);
}

}  // namespace switchyard
