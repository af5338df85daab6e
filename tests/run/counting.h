// Runs of the counting job: n numbers, their squares, the sum.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/json.h"
#include "tests/support/process.h"

namespace switchyard::test {

inline std::vector<std::string> count_command(const std::filesystem::path& run, int units, int milliseconds) {
  return {COUNTING_PROGRAM, "count",
          "--run",          run.native(),
          "--units",        std::to_string(units),
          "--milliseconds", std::to_string(milliseconds)};
}

inline int squares(const std::filesystem::path& run) {
  std::error_code none;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(run / "squares", none))
    count += entry.path().extension() == ".txt" ? 1 : 0;
  return count;
}

}  // namespace switchyard::test
