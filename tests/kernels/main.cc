// The instruction set is pinned once a process, so each gets its own ctest entry of this program, chosen by an
// environment variable.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "kernels/cpu_isa.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (const char* name = std::getenv("SWITCHYARD_TEST_CPU_ISA")) {
    const auto names = switchyard::cpu_isa_names();
    const auto wanted = std::find(names.begin(), names.end(), name);
    if (wanted == names.end()) return 1;
    if (wanted > std::find(names.begin(), names.end(), switchyard::detected_cpu_isa())) {
      std::printf("skipped: this CPU lacks %s\n", name);
      return 77;
    }
    switchyard::set_cpu_isa(name);
  }
  return RUN_ALL_TESTS();
}
