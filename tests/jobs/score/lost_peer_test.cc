// A transfer fails in the middle of a run, as NCCL's do when another rank, its GPU or the network is gone.
#include <gtest/gtest.h>

#include <functional>

#include "comm/host_decorator.h"
#include "jobs/job.h"
#include "run/run_directory.h"
#include "run/settle.h"
#include "tests/support/environment.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

/// One rank, whose reductions and what is split off do `before_reducing` first.
class FailingCommunicator final : public HostDecorator {
 public:
  FailingCommunicator(std::unique_ptr<Communicator> host, std::function<void()> before_reducing)
      : HostDecorator(std::move(host)), before_reducing_(std::move(before_reducing)) {}

  std::string_view kind() const override { return host().kind(); }
  void all_reduce(View data, ReduceOp op) override {
    before_reducing_();
    HostDecorator::all_reduce(data, op);
  }
  Pending start_all_to_all_v(const Stream& stream, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override {
    return host().start_all_to_all_v(stream, send, send_rows, recv, recv_rows);
  }
  std::unique_ptr<Communicator> split(int color, int key) override {
    return std::make_unique<FailingCommunicator>(host().split(color, key), before_reducing_);
  }

 private:
  const std::function<void()> before_reducing_;
};

class LostPeer : public ::testing::Test {
 protected:
  void SetUp() override { test::write_text_input(directory_ / "input.h5", 60, 100); }

  int score(const RunDirectory& run, std::function<void()> before_reducing) {
    FailingCommunicator world(make_self_communicator(), std::move(before_reducing));
    Pulse pulse;
    Runtime runtime{world, pulse, jobs()};
    const std::vector<std::string> args = {"--model",   SWITCHYARD_DEMO_MODEL,
                                           "--input",   directory_ / "input.h5",
                                           "--run",     run.root(),
                                           "--threads", "1",
                                           "--device",  "cpu",
                                           "--quiet",   "--chunk-records",
                                           "10",        "--per-token"};
    return run_score(runtime, args);
  }

  /// The attempt until its reduction after the second chunk fails; a peer may say something first.
  void lose_peer(const std::function<void()>& last_words) {
    try {
      score(run_, [&] {
        if (run_.units_present().units < 2) return;
        last_words();
        fail(ExitCode::environment, "a transfer failed");
      });
      FAIL() << "nothing was lost";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::environment) << error.what();
    }
  }

  test::TemporaryDirectory directory_;
  test::Variable job_{"SLURM_JOB_ID", "17"};
  RunDirectory run_{directory_ / "run"};
};

TEST_F(LostPeer, IsTriedAgain) {
  lose_peer([] {});
  const RunState lost = run_.read_state();
  EXPECT_EQ(lost.status, RunStatus::interrupted);
  EXPECT_EQ(lost.exit_code, 75);
  EXPECT_EQ(lost.units_done, 2);
  EXPECT_EQ(lost.message, "a transfer failed");
  EXPECT_TRUE(settle(run_, 69).requeue);

  const RunDirectory quiet(directory_ / "quiet");
  ASSERT_EQ(score(quiet, [] {}), 0);
  ASSERT_EQ(score(run_, [] {}), 0);
  EXPECT_EQ(test::datasets(run_.results_path()), test::datasets(quiet.results_path()));
}

TEST_F(LostPeer, WhichSaidThatTryingAgainIsOfNoUse) {
  lose_peer([&] {
    RunState state = run_.read_state();
    state.status = RunStatus::failed;
    state.exit_code = 70;
    state.message = "broken invariant";
    run_.write_state(state);
  });
  EXPECT_FALSE(settle(run_, 69).requeue);
  const RunState settled = run_.read_state();
  EXPECT_EQ(settled.status, RunStatus::failed);
  EXPECT_EQ(settled.exit_code, 70);
  EXPECT_EQ(settled.message, "broken invariant");
}

}  // namespace
}  // namespace switchyard
