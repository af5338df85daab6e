// What a training run's files say of it, and the page that is made of that.
#include "jobs/train/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/train/report.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string step_line(int step, double loss, const std::string& more = "") {
  return fmt::format(R"({{"step":{},"records":{},"tokens":100,"loss":{},"balance":1.5,"grad_norm":0.5,)"
                     R"("learning_rate":0.001,"expert_load":2{}}})"
                     "\n",
                     step, 8 * step, loss, more);
}

std::string time_line(int unit, int64_t time) {
  return fmt::format(R"({{"unit":{},"time":{},"seconds":2,"forward":0.5,"head":0.25,"backward":1,"update":0.125,)"
                     R"("evaluation":0,"checkpoint":0,"tokens_per_second":50,"gflop_per_second":7,)"
                     R"("exchange_share":0.25}})"
                     "\n",
                     unit, time);
}

class HistoryTest : public testing::Test {
 protected:
  HistoryTest() { run_.create("checkpoints"); }

  void attempt(const std::string& name, int number, int64_t time, int units) const {
    std::filesystem::create_directories(run_.attempts_path() / name);
    directory_.write("run/attempts/" + name + "/start.json",
                     fmt::format(R"({{"number":{},"units":{},"time":{}}})", number, units, time));
  }
  /// Four steps of six were taken twice: the first attempt was killed after the checkpoint of step 2.
  void write_a_run() const {
    attempt("17.0", 1, 1000, 0);
    attempt("17.1", 2, 2000, 2);
    attempt("17.2", 3, 3000, 2);
    std::string times;
    for (int step = 1; step <= 6; ++step) times += time_line(step - 1, 1000 + 2 * step);
    for (int step = 3; step <= 6; ++step) times += time_line(step - 1, 3000 + 2 * step);
    directory_.write("run/timing.jsonl", times + R"({"unit":6,"ti)");
    std::string steps;
    for (int step = 1; step <= 6; ++step)
      steps += step_line(step, 6.0 - step, step % 2 == 0 ? fmt::format(R"(,"eval_loss":{})", step == 4 ? 1 : 2) : "");
    directory_.write("run/metrics.jsonl", steps + R"({"step":7,"lo)");
  }

  const test::TemporaryDirectory directory_;
  const RunDirectory run_{directory_ / "run"};
};

TEST_F(HistoryTest, StepsAreThoseThatStand) {
  write_a_run();
  const StepHistory h = read_steps(run_);
  EXPECT_EQ(h.steps, 6);
  EXPECT_EQ(h.tokens, 600);
  EXPECT_EQ(h.first->loss, 5);
  EXPECT_EQ(h.last->loss, 0);
  EXPECT_EQ(h.last_held_out->step, 6);
  EXPECT_EQ(h.best_held_out->step, 4);
  EXPECT_EQ(h.best_held_out->loss, 1);
  ASSERT_EQ(h.loss.points().size(), 6u);
  EXPECT_EQ(h.loss.points()[1].x, 2);
  EXPECT_EQ(h.loss_by_tokens.points()[1].x, 200);
  EXPECT_EQ(h.held_out.points().size(), 3u);
  EXPECT_EQ(h.expert_load.points()[0].value, 2);
}

TEST_F(HistoryTest, StepsBelongToTheAttemptThatTookThem) {
  write_a_run();
  const std::vector<AttemptHistory> attempts = read_attempts(run_);
  ASSERT_EQ(attempts.size(), 3u);
  EXPECT_EQ(attempts[0].steps, 6);
  EXPECT_EQ(attempts[0].last_step, 6);
  EXPECT_EQ(attempts[0].end, 1012);
  EXPECT_EQ(attempts[0].seconds, 12);
  EXPECT_EQ(attempts[0].phases[2], 6);  // backward
  EXPECT_EQ(attempts[1].steps, 0);      // killed before it had taken one
  EXPECT_EQ(attempts[1].end, 2000);
  EXPECT_EQ(attempts[1].last_step, 2);
  EXPECT_EQ(attempts[2].units_at_start, 2);
  EXPECT_EQ(attempts[2].steps, 4);
  EXPECT_EQ(attempts[2].tokens_per_second.points().size(), 4u);
}

TEST_F(HistoryTest, ARunWithoutAStepHasNone) {
  attempt("17.0", 1, 1000, 0);
  directory_.write("run/metrics.jsonl", "");
  directory_.write("run/timing.jsonl", "");
  EXPECT_EQ(read_steps(run_).steps, 0);
  EXPECT_FALSE(read_steps(run_).last);
  EXPECT_EQ(read_attempts(run_).front().steps, 0);
}

TEST_F(HistoryTest, ThePageHasWhatTheRunCameTo) {
  write_a_run();
  TrainSummary summary{.steps = read_steps(run_),
                       .attempts = read_attempts(run_),
                       .layers = 1,
                       .num_experts = 2,
                       .expert_tokens = {900, 1500}};
  const std::string page = train_report_html({"model: qwen3_moe", "steps: 6"}, summary);
  for (const char* part :
       {"Loss over steps", "Loss over tokens", "Learning rate", "Gradient norm", "Balancing loss", "Busiest expert",
        "Tokens per second", "GFLOP per second", "Where the time of the steps went", "Attempts", "after step 4",
        "in 3 attempts", "held-out loss"})
    EXPECT_THAT(page, HasSubstr(part));
  EXPECT_THAT(page, Not(HasSubstr("rejected")));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
  // The first attempt's steps 3 to 6 were taken again.
  const size_t row = page.find("17.0", page.find("computed again later"));
  ASSERT_NE(row, std::string::npos);
  EXPECT_THAT(page.substr(row, 400), HasSubstr(">4<"));
  summary.rejects = 3;
  EXPECT_THAT(train_report_html({}, summary), HasSubstr("3 records were rejected"));
}

TEST_F(HistoryTest, TheLogEndsWithTheLosses) {
  write_a_run();
  const TrainSummary summary{.steps = read_steps(run_), .attempts = read_attempts(run_)};
  const std::string all = fmt::format("{}", fmt::join(summary_lines(summary), "\n"));
  EXPECT_THAT(all, HasSubstr("6 steps, 600 tokens, 3 attempts"));
  EXPECT_THAT(all, HasSubstr("loss: 5.000000 in the first step, 0.000000 in the last"));
  EXPECT_THAT(all, HasSubstr("held-out loss: 2.000000 after step 6; best: 1.000000 after step 4"));
}

}  // namespace
}  // namespace switchyard
