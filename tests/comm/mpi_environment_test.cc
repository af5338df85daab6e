#include <gtest/gtest.h>

#include <cstdlib>

#include "comm/mpi_communicator.h"

namespace switchyard {
namespace {

/// Sets or (nullptr) unsets an environment variable until the end of the scope.
class ScopedEnv {
 public:
  ScopedEnv(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old, had_ = true;
    set(value);
  }
  ~ScopedEnv() { set(had_ ? old_.c_str() : nullptr); }
  ScopedEnv(const ScopedEnv&) = delete;
  ScopedEnv& operator=(const ScopedEnv&) = delete;

 private:
  void set(const char* value) const { value != nullptr ? ::setenv(name_, value, 1) : ::unsetenv(name_); }
  const char* name_;
  std::string old_;
  bool had_ = false;
};

class Launcher : public testing::Test {
  ScopedEnv ompi_{"OMPI_COMM_WORLD_SIZE", nullptr}, pmix_{"PMIX_RANK", nullptr}, pmi_{"PMI_RANK", nullptr},
      step_{"SLURM_STEP_NUM_TASKS", nullptr}, tasks_{"SLURM_NTASKS", nullptr};
};

TEST_F(Launcher, IsSeenInTheEnvironment) {
  EXPECT_FALSE(launched_by_mpi());
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    const ScopedEnv env(name, "0");
    EXPECT_TRUE(launched_by_mpi()) << name;
  }
}

TEST_F(Launcher, SeveralTasksThatAreEachAloneAreAnError) {
  EXPECT_NO_THROW(check_launcher(1));
  const ScopedEnv step("SLURM_STEP_NUM_TASKS", "4");
  EXPECT_NO_THROW(check_launcher(4));
  try {
    check_launcher(1);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::environment);
    EXPECT_NE(std::string(error.what()).find("srun started 4 tasks"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("--mpi=pmix"), std::string::npos) << error.what();
  }
}

TEST_F(Launcher, ATaskOfABatchScriptMayBeAlone) {
  const ScopedEnv tasks("SLURM_NTASKS", "4");
  EXPECT_NO_THROW(check_launcher(1));
  const ScopedEnv step("SLURM_STEP_NUM_TASKS", "1");
  EXPECT_NO_THROW(check_launcher(1));
}

TEST_F(Launcher, MpirunOfOneRankInsideAStepIsWhatWasAskedFor) {
  const ScopedEnv step("SLURM_STEP_NUM_TASKS", "4"), mpirun("OMPI_COMM_WORLD_SIZE", "1");
  EXPECT_NO_THROW(check_launcher(1));
}

TEST_F(Launcher, AStrangeTaskCountIsIgnored) {
  const ScopedEnv step("SLURM_STEP_NUM_TASKS", "many");
  EXPECT_NO_THROW(check_launcher(1));
}

TEST(MpiLibrary, HasAVersionOfOneLine) {
  const std::string version = mpi_library_version();
  EXPECT_FALSE(version.empty());
  EXPECT_EQ(version.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace switchyard
