#include "comm/launcher.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <vector>

#include "tests/support/expect_error.h"

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
 protected:
  static constexpr const char* kSizes[] = {"PMI_SIZE",        "MPI_LOCALNRANKS",    "PMI_LOCAL_SIZE",
                                           "PALS_LOCAL_SIZE", "FLUX_JOB_SIZE",      "JSM_NAMESPACE_SIZE",
                                           "PALS_SIZE",       "MV2_COMM_WORLD_SIZE"};
  static constexpr const char* kRanks[] = {"PMI_RANK",    "PMIX_RANK",       "PALS_RANKID",
                                           "ALPS_APP_PE", "MPI_LOCALRANKID", "FLUX_TASK_RANK"};

  Launcher() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"}) unset(name);
    for (const char* name : kSizes) unset(name);
    for (const char* name : kRanks) unset(name);
  }
  static testing::AssertionResult refused(std::initializer_list<std::string_view> parts) {
    return test::fails(ExitCode::environment, parts, [] { check_launcher(1); });
  }

 private:
  void unset(const char* name) { unset_.push_back(std::make_unique<ScopedEnv>(name, nullptr)); }
  std::vector<std::unique_ptr<ScopedEnv>> unset_;
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
  EXPECT_TRUE(refused({"srun started 4 tasks", "--mpi=pmix"}));
}

TEST_F(Launcher, OfAnotherMpiIsAnErrorWhereItStartedSeveral) {
  for (const char* name : kSizes) {
    const ScopedEnv several(name, "4");
    EXPECT_TRUE(refused({std::string(name) + " is 4", "at least 4 ranks", "MPI finds 1"})) << name;
    EXPECT_NO_THROW(check_launcher(4)) << name;
    EXPECT_NO_THROW(check_launcher(2)) << name;
    const ScopedEnv one(name, "1");
    EXPECT_NO_THROW(check_launcher(1)) << name;
  }
}

TEST_F(Launcher, ARankOfWhichThereMustBeLowerOnesIsNotAlone) {
  for (const char* name : kRanks) {
    const ScopedEnv third(name, "2");
    EXPECT_TRUE(refused({std::string(name) + " is 2", "at least 3 ranks"})) << name;
    EXPECT_NO_THROW(check_launcher(3)) << name;
    const ScopedEnv first(name, "0");
    EXPECT_NO_THROW(check_launcher(1)) << name;
  }
}

TEST_F(Launcher, OfAnotherVersionOfTheSameMpiIsAnErrorToo) {
  const ScopedEnv mpirun("OMPI_COMM_WORLD_SIZE", "4");
  EXPECT_TRUE(refused({"OMPI_COMM_WORLD_SIZE is 4"}));
  EXPECT_NO_THROW(check_launcher(4));
}

TEST_F(Launcher, ATaskOfABatchScriptMayBeAlone) {
  const ScopedEnv tasks("SLURM_NTASKS", "4");
  EXPECT_NO_THROW(check_launcher(1));
  const ScopedEnv step("SLURM_STEP_NUM_TASKS", "1");
  EXPECT_NO_THROW(check_launcher(1));
}

TEST_F(Launcher, MpirunOfOneRankInsideAStepIsWhatWasAskedFor) {
  const ScopedEnv step("SLURM_STEP_NUM_TASKS", "4"), pmi("PMI_SIZE", "4"), mpirun("OMPI_COMM_WORLD_SIZE", "1");
  EXPECT_NO_THROW(check_launcher(1));
}

TEST_F(Launcher, AStrangeTaskCountIsIgnored) {
  for (const char* strange : {"many", "", "-4", "4 of 8", "99999999999999999999"}) {
    const ScopedEnv step("SLURM_STEP_NUM_TASKS", strange), pmi("PMI_SIZE", strange);
    EXPECT_NO_THROW(check_launcher(1)) << strange;
  }
}

}  // namespace
}  // namespace switchyard
