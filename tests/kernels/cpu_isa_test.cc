#include "kernels/cpu_isa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"

namespace switchyard {
namespace {

ExitCode code_of_setting(std::string_view name) {
  try {
    set_cpu_isa(name);
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << e.what();
    return e.code();
  }
  return ExitCode::complete;
}

TEST(CpuIsa, CurrentIsThePinnedOrDetectedOne) {
  const char* pinned = std::getenv("SWITCHYARD_TEST_CPU_ISA");
  EXPECT_EQ(current_cpu_isa(), pinned != nullptr ? std::string_view(pinned) : detected_cpu_isa());
  EXPECT_EQ(has_native_bf16(), current_cpu_isa() == "avx512_bf16");
}

TEST(CpuIsa, UnknownNameIsAUsageError) {
  EXPECT_EQ(code_of_setting("sse9"), ExitCode::usage);
}

TEST(CpuIsa, PinningAgainIsRefusedUnlessTheSame) {
  EXPECT_EQ(code_of_setting(current_cpu_isa()), ExitCode::complete);
  for (const std::string_view name : cpu_isa_names()) {
    if (name == current_cpu_isa()) continue;
    EXPECT_EQ(code_of_setting(name), ExitCode::environment) << name;
  }
}

TEST(CpuIsa, OneDnnNamesItsVersion) {
  EXPECT_EQ(onednn_version().find_first_not_of("0123456789."), onednn_version().find('+'));
}

}  // namespace
}  // namespace switchyard
