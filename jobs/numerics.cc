#include "jobs/numerics.h"

#include <fmt/format.h>

namespace switchyard {

std::string numerics_id(DType operand) {
  constexpr int kRevision = 1;
  return fmt::format("r{}/{}/{}/onednn-{}", kRevision, name_of(operand), current_cpu_isa(), onednn_version());
}

}  // namespace switchyard
