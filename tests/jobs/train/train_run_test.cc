// A training run from end to end.
#include <gtest/gtest.h>

#include <fstream>
#include <numeric>

#include "io/hdf5.h"
#include "io/json.h"
#include "io/seal.h"
#include "tests/support/event_records.h"
#include "tests/support/train_case.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::TrainCase;

std::vector<Json> lines_of(const std::filesystem::path& path) {
  std::vector<Json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(parse_json(line, path.native()));
  return lines;
}

/// Sum of a scoring run's log-probabilities, record by record as an evaluation adds them, and how many there are.
std::pair<double, size_t> sum_of_scores(const std::filesystem::path& results) {
  const h5::Reader reader(results);
  const h5::Dataset logprob = reader.open("token_logprob/values"), begins = reader.open("token_logprob/offsets");
  std::vector<float> values(static_cast<size_t>(logprob.rows()));
  std::vector<int64_t> offsets(static_cast<size_t>(begins.rows()));
  logprob.read(0, std::span(values));
  begins.read(0, std::span(offsets));
  double all = 0;
  for (size_t r = 0; r + 1 < offsets.size(); ++r)
    all += std::accumulate(values.begin() + offsets[r], values.begin() + offsets[r + 1], 0.0);
  return {all, values.size()};
}

TEST(TrainTest, ARunHasMetricsCheckpointsAndAModel) {
  const TrainCase c;
  const auto result = c.expect("run", 0, {"held-out loss"});
  const std::vector<Json> lines = lines_of(c / "run" / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 12u);
  for (size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["step"], i + 1);
    EXPECT_EQ(lines[i]["records"], 8 * (i + 1));
    EXPECT_GT(lines[i]["grad_norm"], 0.0);
    EXPECT_GE(lines[i]["expert_load"], 1.0);
    EXPECT_EQ(lines[i].contains("eval_loss"), (i + 1) % 4 == 0) << i;
  }
  EXPECT_NEAR(lines.front()["loss"], std::log(256.0), 0.1);
  EXPECT_LT(lines.back()["loss"].get<double>(), lines.front()["loss"].get<double>() - 0.3);
  EXPECT_EQ(lines_of(c / "run" / "timing.jsonl").size(), 12u);
  const auto files = c.files("run");
  for (const char* name : {"checkpoints/step-000012/checkpoint.json", "checkpoints/step-000012/state-00000.safetensors",
                           "checkpoints/step-000010/checkpoint.json", "model/config.json", "model/model.safetensors"})
    EXPECT_TRUE(files.contains(name)) << name;
  EXPECT_FALSE(files.contains("checkpoints/step-000002/checkpoint.json")) << "--save-total-limit is 2";
  const auto status = test::run({SWITCHYARD_PROGRAM, "status", "--json", c / "run"});
  const Json report = parse_json(status.out, "status").at(0);
  EXPECT_EQ(report["state"], "complete") << status.out;
  EXPECT_EQ(report["steps_done"], 12);
  EXPECT_EQ(report["records_done"], 96);
}

TEST(TrainTest, GoesOnAfterAStopAsIfThereHadBeenNone) {
  const TrainCase c;
  c.expect("quiet", 0);
  c.expect("stopped", 75, {}, {"--stop-after", "5"});
  EXPECT_EQ(lines_of(c / "stopped" / "metrics.jsonl").size(), 5u);
  EXPECT_FALSE(std::filesystem::exists(c / "stopped" / "model"));
  const auto settled = test::run({SWITCHYARD_PROGRAM, "settle", "--run", c / "stopped", "--rc", "75"});
  EXPECT_EQ(settled.out, "stop\n") << settled.err;  // nobody is to go on before the option is gone
  const auto status = test::run({SWITCHYARD_PROGRAM, "status", "--json", c / "stopped"});
  EXPECT_EQ(parse_json(status.out, "status").at(0)["records_done"], 40) << status.out;
  EXPECT_NE(status.out.find("after step 5, as --stop-after says"), std::string::npos) << status.out;
  c.expect("stopped", 75, {"after step 3, as --stop-after says"}, {"--stop-after", "3"});  // no less is done for it
  c.expect("stopped", 0, {"resuming: 5 of 12 steps"}, {}, 3);
  test::expect_same_files(c.files("stopped"), c.files("quiet"));
  const std::string metrics = bytes_of_file(c / "stopped" / "metrics.jsonl");
  c.expect("stopped", 0);
  EXPECT_EQ(bytes_of_file(c / "stopped" / "metrics.jsonl"), metrics);
}

TEST(TrainTest, EventFilesHaveEverySession) {
  const TrainCase c;
  c.expect("run", 75, {}, {"--stop-after", "5"});
  EXPECT_FALSE(std::filesystem::exists(c / "run/tensorboard"));
  // The first one has what was before; a step is two events, what it was and how fast.
  c.expect("run", 75, {}, {"--stop-after", "7", "--tensorboard"});
  c.expect("run", 0, {}, {"--tensorboard"}, 3);
  c.expect("run", 0, {}, {"--tensorboard"});
  std::vector<size_t> events;
  for (const auto& entry : std::filesystem::directory_iterator(c / "run/tensorboard"))
    events.push_back(test::event_records(entry.path()).size());
  std::ranges::sort(events);
  EXPECT_EQ(events, (std::vector<size_t>{2 + 5 + 2 * 2, 2 + 2 * 5}));
  // Asked for when all is done, it has all the same.
  std::filesystem::remove_all(c / "run/tensorboard");
  c.expect("run", 0, {}, {"--tensorboard"});
  const std::filesystem::directory_iterator files(c / "run/tensorboard");
  EXPECT_EQ(test::event_records(files->path()).size(), 2u + 12);
}

TEST(TrainTest, AnEvaluationIsWhatScoreSaysOfTheExportedModel) {
  const TrainCase c;
  c.expect("run", 0, {}, {"--export", "f32"});
  const auto scored =
      test::run({SWITCHYARD_PROGRAM, "score", "--model", c / "run" / "model", "--input", c / "run" / "eval-data-0.h5",
                 "--run", c / "scores", "--dtype", "f32", "--device", "cpu", "--per-token", "--threads", "1"});
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  const auto [sum, count] = sum_of_scores(c / "scores" / "results.h5");
  ASSERT_GT(count, 2000u);
  const Json last = lines_of(c / "run" / "metrics.jsonl").back();
  EXPECT_EQ(last["eval_loss"].get<double>(), -sum / static_cast<double>(count));
  EXPECT_EQ(last["eval_losses"].at(0), last["eval_loss"]);
}

/// Of `verify`, which compares checkpoints as their manifests have them.
void change_last_value(const std::filesystem::path& checkpoint) {
  const std::filesystem::path state = checkpoint / "state-00000.safetensors", manifest = checkpoint / "checkpoint.json";
  const std::string before = hash_of_file(state).hex();
  std::string bytes = bytes_of_file(state), text = bytes_of_file(manifest);
  bytes.back() ^= 1;
  std::ofstream(state, std::ios::binary) << bytes;
  text.replace(text.find(before), before.size(), hash_of_file(state).hex());
  std::ofstream(manifest, std::ios::binary) << text;
}

TEST(TrainTest, StepsTakenAgainAreTheRecordedOnes) {
  const TrainCase c;
  c.expect("run", 0, {}, {"--save-total-limit", "0"}, 2);
  const auto verify = [&](int code, const std::string& says, std::vector<std::string> more) {
    std::vector<std::string> words{SWITCHYARD_PROGRAM, "verify", c / "run", "--threads", "2"};
    words.insert(words.end(), more.begin(), more.end());
    const auto result = test::run(words);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE((result.out + result.err).find(says), std::string::npos) << result.out << result.err;
  };
  verify(0, R"({"from":10,"steps":2,"checkpoints_compared":1,"findings":0})", {"--replay", "2"});
  verify(0, R"({"from":0,"steps":12,"checkpoints_compared":6,"findings":0})", {"--replay", "12"});
  verify(0, R"({"from":4,"steps":3,"checkpoints_compared":1,"findings":0})", {"--replay", "3", "--from", "4"});
  verify(64, "--from 3: there is no such checkpoint; expected 0, 2, 4, 6, 8, 10, 12", {"--from", "3"});
  verify(64, "12 steps are recorded", {"--replay", "3", "--from", "10"});
  verify(64, "--rescore is not for a training run", {"--rescore", "3"});
  verify(66, "nowhere", {"--model", c / "nowhere"});

  change_last_value(c / "run/checkpoints/step-000008");
  verify(66, "checkpoint 8: model.layers.1.mlp.experts.127.down_proj.weight.exp_avg_sq: element",
         {"--replay", "2", "--from", "6"});
  std::string metrics = bytes_of_file(c / "run/metrics.jsonl");
  const size_t norm = metrics.find("\"grad_norm\":", metrics.find("\"step\":5,")) + 12;
  metrics[norm] = metrics[norm] == '9' ? '8' : '9';
  c.directory().write("run/metrics.jsonl", metrics);
  verify(66, "step 5: grad_norm: recorded ", {"--replay", "2", "--from", "4"});
  metrics.insert(norm, "x");
  c.directory().write("run/metrics.jsonl", metrics);
  verify(66, "metrics.jsonl: line 5: expected step 5", {});
}

// What one rank of three finds, all end with: none waits for another.
TEST(TrainTest, BrokenNumbersAreNamedOnceOnAllRanks) {
  const TrainCase c;
  constexpr int kRanks = 3;
  c.expect("made", 0, {}, {"--max-steps", "2"});
  std::string weights = bytes_of_file(c / "made/model/model.safetensors");
  weights.replace(weights.size() - 4, 4, std::string("\0\0\xc0\x7f", 4));
  c.directory().write("made/model/model.safetensors", weights);
  c.expect("run", 66, {"layers.1.mlp.experts.127", "weight 127 is nan"}, {"--model", c / "made/model"}, kRanks);
  EXPECT_FALSE(std::filesystem::exists(c / "run/manifest.json"));

  const auto broken = c.expect("wild", 70, {"step 4: the gradient of ", "is not a number"},
                               {"--learning-rate", "1000", "--weight-decay", "1000", "--max-grad-norm", "0"}, kRanks);
  EXPECT_EQ(broken.err.find("error: step 4"), broken.err.rfind("error: step 4")) << broken.err;
  EXPECT_TRUE(std::filesystem::exists(c / "wild/checkpoints/step-000002/checkpoint.json"));
  EXPECT_NE(bytes_of_file(c / "wild/state.json").find("\"failed\""), std::string::npos);
}

TEST(TrainTest, DocumentsThatCannotBeReadAreCounted) {
  const TrainCase c;
  c.directory().write("texts.jsonl", "{\"text\": \"In the beginning\"}\n{\"txt\": 1}\n{\"text\": \"God created\"}\n");
  c.expect("run", 65, {"1 documents of the input were rejected"}, {"--data", c / "texts.jsonl"}, 3);
  c.expect("other", 0, {}, {"--data", c / "texts.jsonl", "--max-rejects", "1"}, 3);
}

}  // namespace
}  // namespace switchyard
