// Fisher runs from end to end.
#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>
#include <numeric>
#include <thread>

#include "io/hdf5.h"
#include "io/json.h"
#include "tests/support/incremental_case.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::IncrementalCase;

class FisherRunTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { case_ = new IncrementalCase; }
  static void TearDownTestSuite() {
    delete case_;
    case_ = nullptr;
  }

  static std::vector<float> values(const std::string& run, const std::string& parameter) {
    const h5::Reader reader(case_->fisher_file(run));
    const h5::Dataset dataset = reader.open("fisher/" + parameter);
    std::vector<float> all(static_cast<size_t>(dataset.rows() * (dataset.shape().size() > 1 ? dataset.shape()[1] : 1)));
    dataset.read(0, std::span(all));
    return all;
  }
  static std::string attribute(const std::string& run, std::string_view name) {
    return h5::Reader(case_->fisher_file(run)).attribute(name).value_or("");
  }
  static std::string bytes(const std::string& run) { return bytes_of_file(case_->fisher_file(run)); }

  inline static const IncrementalCase* case_ = nullptr;
};

TEST_F(FisherRunTest, AFileSaysWhatItIsOf) {
  case_->fisher("one", 0, {"Fisher information"});
  EXPECT_EQ(attribute("one", "kind"), "fisher information");
  EXPECT_EQ(attribute("one", "labels"), "sampled");
  const Json manifest = parse_json(bytes_of_file(case_->path("one/manifest.json")), "manifest");
  EXPECT_EQ(attribute("one", "model"), manifest["fingerprint"]["model"]);
  EXPECT_EQ(attribute("one", "config"), manifest["fingerprint"]["config"]);
  EXPECT_GT(std::stoll(attribute("one", "targets")), 2'000);
  double sum = 0;
  int64_t count = 0;
  const std::vector<float> down = values("one", "model.layers.1.mlp.experts.7.down_proj.weight");
  EXPECT_EQ(down.size(), 16u * 8);
  for (const char* name : {"lm_head.weight", "model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"})
    for (const float x : values("one", name)) {
      EXPECT_TRUE(x >= 0 && std::isfinite(x));
      sum += static_cast<double>(x);
      ++count;
    }
  EXPECT_GT(sum / static_cast<double>(count), 0);
  EXPECT_GT(std::stod(attribute("one", "mean")), 0);
  // Shares of a record's routing: of weights and of choices, over 128 experts.
  for (const char* name : {"expert_choice", "expert_gate"}) {
    const h5::Dataset shares = h5::Reader(case_->fisher_file("one")).open(name);
    EXPECT_EQ(shares.shape(), (std::vector<int64_t>{2, 128}));
    std::vector<double> of_layers(2 * 128);
    shares.read(0, std::span(of_layers));
    for (size_t layer = 0; layer < 2; ++layer)  // the model's weights add up to one
      EXPECT_NEAR(std::accumulate(&of_layers[layer * 128], &of_layers[layer * 128] + 128, 0.0), 1, 1e-6) << name;
  }
  // Again: there is nothing left to do.
  const std::string before = bytes("one");
  case_->fisher("one", 0);
  EXPECT_EQ(bytes("one"), before);
  case_->fisher("one", 78, {"labels", "empirical"}, {"--labels", "empirical"});
}

// 16 slices over three ranks: the rank with the most partial sums is not the one with the most slices.
TEST_F(FisherRunTest, SlicesThatRanksCannotShareEvenlyFit) {
  const std::vector<std::string> even = {"--step-records", "16", "--max-tokens", "48"};
  case_->fisher("even", 0, {}, even);
  case_->fisher("uneven", 0, {}, even, 3);
  EXPECT_EQ(bytes("uneven"), bytes("even"));
}

TEST_F(FisherRunTest, ADamagedResultIsWrittenAgain) {
  case_->fisher("whole", 0);
  const std::string before = bytes("whole");
  std::string damaged = before;
  damaged[damaged.size() / 2] ^= 1;
  case_->runs().directory().write("whole/fisher.h5", damaged);
  case_->train("by-damaged", 66, {"--fisher-new", "is damaged", "hash"},
               {"--freeze", "0.9", "--fisher-new", case_->fisher_file("whole"), "--allow-other-fisher"});
  case_->fisher("whole", 0, {"is damaged", "written again"});
  EXPECT_EQ(bytes("whole"), before);
}

TEST_F(FisherRunTest, BytesAreTheSameOnAnyRanksAndThroughAStop) {
  case_->fisher("alone", 0);
  for (const int ranks : {3, 4}) {
    const std::string run = "ranks-" + std::to_string(ranks);
    case_->fisher(run, 0, {}, ranks == 4 ? std::vector<std::string>{"--ep", "2"} : std::vector<std::string>{}, ranks);
    EXPECT_EQ(bytes(run), bytes("alone")) << ranks;
  }
  // Killed on the way, as often as it takes, each time after some checkpoint; then on other ranks.
  const std::vector<std::string> words{"--save-steps", "1"};
  for (int attempt = 0; attempt < 3; ++attempt) {
    test::Process process(case_->fisher_command("killed", words));
    const std::string checkpoint = case_->path("killed/checkpoints/step-00000" + std::to_string(attempt + 1));
    for (int i = 0; i < 400 && !std::filesystem::exists(checkpoint); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ::kill(-process.pid(), SIGKILL);
    process.wait();
  }
  case_->fisher("killed", 0, {"resuming"}, words, 2);
  EXPECT_EQ(bytes("killed"), bytes("alone"));
}

// More draws of the same records, other seeds, other labels: other numbers; some records are those of a seed.
TEST_F(FisherRunTest, LabelsAreDrawnBySeed) {
  const std::vector<std::string> few{"--max-records", "5"};
  const auto with = [&](std::initializer_list<std::string> more) {
    std::vector<std::string> words = few;
    words.insert(words.end(), more);
    return words;
  };
  case_->fisher("seed-0", 0, {}, few);
  case_->fisher("seed-1", 0, {}, with({"--seed", "1"}));
  case_->fisher("draws", 0, {}, with({"--draws", "3"}));
  case_->fisher("empirical", 0, {}, with({"--labels", "empirical"}));
  const auto head = [](const std::string& run) { return values(run, "lm_head.weight"); };
  EXPECT_NE(head("seed-0"), head("seed-1"));
  EXPECT_NE(head("seed-0"), head("draws"));
  EXPECT_NE(head("seed-0"), head("empirical"));
  EXPECT_EQ(attribute("draws", "records"), "5");
  EXPECT_EQ(attribute("draws", "targets"), attribute("seed-0", "targets"));
  case_->fisher("drawn-data", 64, {"--draws 2", "empirical labels are not drawn"},
                {"--labels", "empirical", "--draws", "2"});
}

// Of one record by its own labels: with T targets T times the square of the mean loss's gradient, whose length training
// says.
TEST_F(FisherRunTest, IsTheMeanOverTargets) {
  case_->runs().directory().write("one-record.txt", "In the beginning was the word, and then another one.");
  const std::string record = case_->path("one-record.txt");
  case_->fisher("one-record", 0, {}, {"--data", record, "--labels", "empirical"});
  case_->train("one-step", 0, {},
               {"--data", record, "--step-records", "1", "--max-steps", "1", "--save-steps", "0", "--train-router",
                "--balance", "0", "--dtype", "f32"});
  const Json step = parse_json(bytes_of_file(case_->path("one-step/metrics.jsonl")), "metrics");
  const double targets = std::stod(attribute("one-record", "targets")), norm = step["grad_norm"].get<double>();
  EXPECT_EQ(step["targets"].get<double>(), targets);
  const double sum = std::stod(attribute("one-record", "mean")) * std::stod(attribute("one-record", "parameters"));
  EXPECT_NEAR(sum, targets * norm * norm, 1e-4 * sum);
}

// In the mean of many draws that of every class.
TEST_F(FisherRunTest, ExactLabelsAreWhatDrawnOnesComeTo) {
  case_->fisher("refused", 64, {"--exact-limit 1000", "each of 256 classes"},
                {"--labels", "exact", "--exact-limit", "1000"});
  const std::vector<std::string> some{"--max-records", "3", "--max-tokens", "5", "--step-records", "64"};
  std::vector<std::string> exact = some, drawn = some;
  exact.insert(exact.end(), {"--labels", "exact"});
  drawn.insert(drawn.end(), {"--draws", "400"});
  case_->fisher("exact", 0, {}, exact);
  case_->fisher("drawn", 0, {}, drawn);
  EXPECT_EQ(attribute("exact", "targets"), attribute("drawn", "targets"));
  double difference = 0, length = 0;
  const std::vector<float> a = values("exact", "lm_head.weight"), b = values("drawn", "lm_head.weight");
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    length += std::pow(static_cast<double>(a[i]), 2);
  }
  EXPECT_LT(std::sqrt(difference / length), 0.6);  // each class was drawn a few times
  EXPECT_FALSE(h5::Reader(case_->fisher_file("exact")).has("expert_gate"));
}

}  // namespace
}  // namespace switchyard
