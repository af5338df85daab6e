// The counting job on this machine: killed, settled, shown by status, resumed on other ranks; refused where it must be.
#include "tests/run/counting.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "io/file.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

using namespace std::chrono_literals;

class CountingTest : public ::testing::Test {
 protected:
  ProcessResult tool(const std::string& job, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> argv = {COUNTING_PROGRAM, job, run_.native()};
    argv.insert(argv.end(), more.begin(), more.end());
    return test::run(argv);
  }
  Json status() const { return parse_json(tool("status", {"--json"}).out, "status").at(0); }
  std::vector<std::string> on_ranks(int ranks, int units = 24, int milliseconds = 40) const {
    std::vector<std::string> argv = mpirun(ranks);
    const auto command = count_command(run_, units, milliseconds);
    argv.insert(argv.end(), command.begin(), command.end());
    return argv;
  }

  TemporaryDirectory directory_;
  const std::filesystem::path run_ = directory_ / "run";
};

TEST_F(CountingTest, KilledSettledAndResumedOnOtherRanks) {
  {
    Process process(on_ranks(3), mpi_environment());
    while (process.running() && squares(run_) < 4) std::this_thread::sleep_for(2ms);
    for (const pid_t rank : descendants(process.pid(), "counting")) ::kill(rank, SIGKILL);
    EXPECT_NE(process.wait().exit_code, 0);
  }
  const int done = squares(run_);
  ASSERT_LT(done, 24);
  const ProcessResult settled = tool("settle", {"--rc", "137"});
  EXPECT_EQ(settled.out, "requeue\n") << settled.err;
  const Json killed = status();
  EXPECT_EQ(killed.at("state"), "interrupted");
  EXPECT_EQ(killed.at("units"), "numbers");
  EXPECT_EQ(killed.at("numbers_done"), done);
  EXPECT_EQ(killed.at("numbers_total"), 24);
  EXPECT_NE(tool("status").out.find(" numbers "), std::string::npos) << tool("status").out;

  const ProcessResult resumed = test::run(on_ranks(2), mpi_environment());
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find(fmt::format("resuming: {} of 24 numbers are there", done)), std::string::npos)
      << resumed.err;
  EXPECT_EQ(read_text_file(run_ / "sum.txt"), "4324");  // 0² + … + 23²
  EXPECT_EQ(status().at("state"), "complete");
  EXPECT_EQ(tool("settle", {"--rc", "0"}).out, "stop\n");
}

TEST_F(CountingTest, StopsOnRequestAndRefusesOtherWork) {
  Process process(on_ranks(0, 24, 100));
  while (process.running() && squares(run_) < 2) std::this_thread::sleep_for(2ms);
  ::kill(process.pid(), SIGTERM);
  const ProcessResult stopped = process.wait(30s);
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  EXPECT_EQ(status().at("message"), "stopped on request");
  const ProcessResult other = test::run(on_ranks(0, 25));
  EXPECT_EQ(other.exit_code, 78);
  EXPECT_NE(other.err.find("units: the run has \"24\", this command \"25\""), std::string::npos) << other.err;
  EXPECT_EQ(status().at("numbers_total"), 24);
}

}  // namespace
}  // namespace switchyard::test
