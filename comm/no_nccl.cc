// nccl_communicator.h in a program without the CUDA half.
#include "comm/nccl_communicator.h"

namespace switchyard {

std::unique_ptr<Communicator> add_nccl(std::unique_ptr<Communicator>, int, std::chrono::milliseconds) {
  fail(ExitCode::environment, "this build has no NCCL");
}

std::string nccl_library_version() {
  return "";
}

}  // namespace switchyard
