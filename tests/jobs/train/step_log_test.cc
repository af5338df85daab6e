#include "jobs/train/step_log.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

std::string line(int step, const char* by) {
  return fmt::format("{{\"step\":{},\"by\":\"{}\"}}\n", step, by);
}

// The last lines of a rank that did not yet know that its job goes on without it.
TEST(StepLog, AnOrphansLinesAreForgotten) {
  const TemporaryDirectory directory;
  const auto file =
      directory.write("metrics.jsonl", line(1, "us") + line(2, "us") + line(51, "orphan") + line(3, "us") +
                                           line(2, "orphan") + line(4, "us") + line(5, "us") + "{\"step\":6,");
  const StepLog log{RunDirectory(directory.path())};
  EXPECT_TRUE(fails(ExitCode::input, {"metrics.jsonl", "expected the 6 steps", "found 5"}, [&] { log.cut_back(6); }));
  log.cut_back(4);
  EXPECT_EQ(bytes_of_file(file), line(1, "us") + line(2, "us") + line(3, "us") + line(4, "us"));
}

}  // namespace
}  // namespace switchyard::test
