#include "jobs/train/options.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using Words = std::vector<std::string>;

const Words kModel = {"--model", "m", "--data", "a.txt", "--run", "r", "--max-steps", "10"};

Words with(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

struct Parsed : TrainOptions {
  OptionSet set;
  explicit Parsed(const Words& words) {
    describe(set);
    parse_options(set, "train", words, {});
    resolve(set);
  }
};

::testing::AssertionResult refuses(const Words& words, std::initializer_list<std::string_view> named,
                                   ExitCode code = ExitCode::usage) {
  return test::fails(code, named, [&] { Parsed parsed(words); });
}

TEST(TrainOptionsTest, SaySoWhereOneOfTwoIsNeeded) {
  const Words rest = {"--data", "a.txt", "--run", "r"};
  EXPECT_TRUE(refuses(with(rest, {"--max-steps", "1"}), {"--model", "--init", "neither"}));
  EXPECT_TRUE(refuses(with(kModel, {"--init", "config.json"}), {"--model", "--init", "both"}));
  EXPECT_TRUE(refuses(with(rest, {"--model", "m"}), {"--max-steps", "--epochs", "neither"}));
  EXPECT_TRUE(refuses(with(kModel, {"--epochs", "1"}), {"--max-steps", "--epochs", "both"}));
  EXPECT_TRUE(refuses({"--model", "m", "--run", "r", "--max-steps", "1"}, {"--data"}));
  EXPECT_TRUE(refuses({"--model", "m", "--data", "a", "--max-steps", "1"}, {"--run"}));
}

TEST(TrainOptionsTest, NumbersHaveARange) {
  for (const char* name : {"--learning-rate", "--min-lr-ratio", "--adam-beta1", "--adam-beta2", "--adam-epsilon",
                           "--weight-decay", "--max-grad-norm", "--balance"})
    for (const char* bad : {"nan", "inf", "-0.1", "x", ""})
      EXPECT_TRUE(refuses(with(kModel, {std::string(name) + "=" + bad}), {name})) << bad;
  for (const char* bad : {"--adam-beta1=1", "--adam-beta2=1", "--adam-epsilon=0", "--min-lr-ratio=1.5",
                          "--step-records=0", "--max-steps=-1", "--seed=-1", "--warmup-steps=1.5", "--slices=-8",
                          "--save-steps=x", "--lr-scheduler=polynomial", "--export=f16", "--data-order=random"})
    EXPECT_TRUE(refuses(with(kModel, {bad}), {std::string_view(bad).substr(0, std::string_view(bad).find('='))}))
        << bad;
}

TEST(TrainOptionsTest, WeightsAreOnePerFileAndPositive) {
  const Words two = {"--model", "m", "--data", "a.txt", "b.txt", "--run", "r", "--epochs", "2"};
  EXPECT_EQ(Parsed(with(two, {"--weights", "0.5", "3"})).file_weights(), (std::vector<double>{0.5, 3}));
  EXPECT_TRUE(Parsed(two).file_weights().empty());
  EXPECT_TRUE(refuses(with(two, {"--weights", "1"}), {"--weights", "2 files", "found 1"}));
  EXPECT_TRUE(refuses(with(two, {"--weights", "1", "2", "3"}), {"--weights", "found 3"}));
  for (const char* bad : {"0", "nan", "inf", "1e300", "x", "1x", " 1"})
    EXPECT_TRUE(refuses(with(two, {"--weights", "1", bad}), {"--weights", bad})) << bad;
}

TEST(TrainOptionsTest, WhatCannotBeTogetherIsRefused) {
  EXPECT_TRUE(refuses(with(kModel, {"--slices", "12"}), {"--slices 12", "power of two"}));
  EXPECT_EQ(Parsed(with(kModel, {"--slices", "16"})).slices, 16);
  EXPECT_TRUE(refuses(with(kModel, {"--warmup-steps", "11"}), {"--warmup-steps 11", "10"}));
  EXPECT_EQ(Parsed(with(kModel, {"--warmup-steps", "10"})).schedule(10).rate(10), 5e-5);
  EXPECT_TRUE(refuses(with(kModel, {"--device", "cuda"}), {"cuda", "cpu"}, ExitCode::environment));
  EXPECT_EQ(Parsed(with(kModel, {"--device", "auto"})).device, "auto");
}

TEST(TrainOptionsTest, RoutersLearnInNewModelsOrWhenAsked) {
  const Words init = {"--init", "c.json", "--data", "a.txt", "--run", "r", "--max-steps", "10"};
  EXPECT_FALSE(Parsed(kModel).train_router);
  EXPECT_TRUE(Parsed(with(kModel, {"--train-router"})).train_router);
  EXPECT_TRUE(Parsed(init).train_router);
  EXPECT_FALSE(Parsed(with(init, {"--train-router=false"})).train_router);
}

// The run's config.resolved.cfg is a command that means the same.
TEST(TrainOptionsTest, WhatWasResolvedMeansTheSame) {
  const test::TemporaryDirectory directory;
  for (const Words& words : {with(kModel, {}), with(kModel, {"--train-router", "--seed", "3"}),
                             Words{"--init", "c.json", "--data", "a.txt", "b.h5", "--weights", "1", "2", "--run", "r",
                                   "--epochs", "3", "--lr-scheduler", "constant"}}) {
    const Parsed first(words);
    const std::string text = resolved_config(first.set);
    const Parsed again({"--config", directory.write("resolved.cfg", text)});
    EXPECT_EQ(resolved_config(again.set), text);
  }
}

TEST(TrainOptionsTest, MakeAnOrderAndASchedule) {
  const Parsed options({"--model",
                        "m",
                        "--data",
                        "a",
                        "b",
                        "--weights",
                        "3",
                        "1",
                        "--run",
                        "r",
                        "--epochs",
                        "3",
                        "--step-records",
                        "8",
                        "--seed",
                        "7",
                        "--learning-rate",
                        "0.5",
                        "--min-lr-ratio",
                        "0.5",
                        "--lr-scheduler",
                        "linear",
                        "--warmup-steps",
                        "2"});
  const DataOrder order(options.order({30, 11}));
  const DataOrder same({.sizes = {30, 11}, .weights = {3, 1}, .step_records = 8, .seed = 7});
  EXPECT_EQ(order.records(5), same.records(5));
  EXPECT_EQ(order.records(5).size(), 8u);
  EXPECT_EQ(options.num_steps(order), (41 * 3 + 7) / 8);
  EXPECT_EQ(options.schedule(10).rate(1), 0.25);
  EXPECT_EQ(options.schedule(10).rate(10), 0.25);
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--warmup-steps 2", "1 steps"}, [&] { options.schedule(1); }));
  EXPECT_EQ(Parsed(kModel).num_steps(order), 10);

  const Parsed in_order(with(kModel, {"--data-order", "file", "--step-records", "3"}));
  EXPECT_EQ(DataOrder(in_order.order({2, 5})).records(1), (std::vector<RecordPlace>{{0, 0}, {0, 1}, {1, 0}}));
}

TEST(TrainOptionsTest, TheTokenizerIsBesideTheConfiguration) {
  const test::TemporaryDirectory directory;
  const auto beside = [&](const std::string& init) {
    return Parsed({"--init", init, "--data", "a", "--run", "r", "--max-steps", "1"}).sources().model;
  };
  const std::string file = directory.write("config.json", "{}");
  EXPECT_EQ(beside(file), directory.path());
  EXPECT_EQ(beside(directory.path()), directory.path());
  EXPECT_EQ(Parsed(kModel).sources().model, "m");
}

}  // namespace
}  // namespace switchyard
