// The grammar of sweep files, and the points that they make.
#include <gtest/gtest.h>

#include <set>

#include "jobs/sweep/points.h"
#include "jobs/sweep/slurm_sweep.h"
#include "jobs/sweep/stages.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

SweepFile parse(std::string_view text) {
  return parse_sweep(text, "FILE", jobs());
}

TEST(SweepFile, NamesWhatIsFixedSweptAndDoneThen) {
  const SweepFile file = parse(
      "model = base   # of every point\n"
      "data = a.jsonl\ndata = b.jsonl\n"
      "freeze = [0.9, \"0.95\"]  # two\n"
      "train-also = [\"router,norms\", [ biases ]]\n"
      "eval-data = [[old.h5, new.h5], old.h5]\n"
      "then = score --input held.h5 --run held --batch-tokens=100 --quiet\n"
      "then = score --input other.h5\n"
      "metric = held.loss\nretention = held.loss\nadaptation = score.loss\nbetter = higher\nmode = random 3 17\n");
  EXPECT_EQ(file.fixed, (std::map<std::string, OptionValues>{{"model", {"base"}}, {"data", {"a.jsonl", "b.jsonl"}}}));
  ASSERT_EQ(file.swept.size(), 3u);
  EXPECT_EQ(file.swept[0].name, "freeze");
  EXPECT_EQ(file.swept[0].values, (std::vector<OptionValues>{{"0.9"}, {"0.95"}}));
  EXPECT_EQ(file.swept[1].values, (std::vector<OptionValues>{{"router,norms"}, {"biases"}}));
  EXPECT_EQ(file.swept[2].values, (std::vector<OptionValues>{{"old.h5", "new.h5"}, {"old.h5"}}));
  ASSERT_EQ(file.then.size(), 2u);
  EXPECT_EQ(file.then[0].name, "held");
  EXPECT_EQ(file.then[0].options, (std::map<std::string, OptionValues>{
                                      {"input", {"held.h5"}}, {"batch-tokens", {"100"}}, {"quiet", {"true"}}}));
  EXPECT_EQ(file.then[1].name, "score");
  EXPECT_EQ(file.metric, "held.loss");
  EXPECT_FALSE(file.lower_is_better);
  EXPECT_EQ(file.mode, SweepMode::random);
  EXPECT_EQ(file.random_points, 3);
  EXPECT_EQ(file.random_seed, 17u);
}

TEST(SweepFile, NamesStandForValues) {
  const SweepFile file = parse(
      "let origin = [2007, 2008]\nlet  base=/data\nseed = [1, 2]\n"
      "data = {base}/{origin}.h5\n"
      "then = fisher --run f --data {base}/{origin}-{seed}.h5 {data} --seed {seed}\n"
      "then = train --run next --model {point}/f --max-steps 3\n");
  EXPECT_EQ(file.variables, (std::map<std::string, std::string>{{"base", "/data"}}));
  const SweepPoints points(file, "FILE");
  ASSERT_EQ(points.count(), 4);
  const std::vector<Stage> stages = stages_of(file, points, 3, "/run/points/3");
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[0].options, (std::map<std::string, OptionValues>{{"data", {"/data/2008.h5"}}, {"seed", {"2"}}}));
  EXPECT_EQ(stages[1].options.at("data"), (OptionValues{"/data/2008-2.h5", "/data/2008.h5"}));
  EXPECT_EQ(stages[1].options.at("seed"), OptionValues{"2"});
  EXPECT_EQ(stages[2].options.at("model"), OptionValues{"/run/points/3/f"});
  EXPECT_NE(parse("let a = 1\n").fields(), parse("let a = 2\n").fields());
}

TEST(SweepFile, OtherValuesAreAnotherSweep) {
  EXPECT_NE(parse("train-also = [\"norms, biases\"]\n").fields(), parse("train-also = [norms, biases]\n").fields());
  EXPECT_NE(parse("eval-data = [[a, b]]\n").fields(), parse("eval-data = [a, b]\n").fields());
  EXPECT_NE(parse("freeze = 0.9\n").fields(), parse("freeze = [0.9]\n").fields());
  EXPECT_EQ(parse("seed = 1\nmetric = loss\n").fields(), parse("seed = 1\n").fields());
}

TEST(SweepFile, WhatIsWrongIsNamedWithItsLine) {
  const std::vector<std::pair<std::string, std::vector<std::string_view>>> cases = {
      {"model = m\nfreze = [0.9]", {"FILE, line 2", "freze is no option of train", "is freeze meant?"}},
      {"wholly-unknown = 3", {"line 1", "wholly-unknown is no option of train"}},
      {"data = {orign}.h5\nlet origin = 1", {"line 1", "{orign} stands for nothing"}},
      {"let seed = 1", {"line 1", "let seed", "no option of train"}},
      {"let point = 1", {"line 1", "let point"}},
      {"let a b = 1", {"line 1", "let a b", "a name of letters"}},
      {"let a = [[1, 2], 3]", {"line 1", "single values", "[1, 2]"}},
      {"let a = 1\nlet b = {a}", {"line 2", "let b", "without names in braces"}},
      {"let a = []", {"line 1", "at least one value"}},
      {"let a = 1\nlet a = [2]", {"line 2", "more than once"}},
      {"then = fisher --data {dta}", {"line 1", "{dta} stands for nothing"}},
      {"freeze = []", {"line 1", "freeze", "at least one value"}},
      {"freeze = [0.9, ]", {"line 1", "an item of the list is missing"}},
      {"freeze = [0.9, 0.95", {"line 1", "does not end"}},
      {"freeze = [0.9] 0.8", {"line 1", "\"0.8\" stands behind the list"}},
      {"max-steps = [10, many]", {"line 1", "max-steps", "an integer", "many"}},
      {"select = [new, odd]", {"line 1", "select", "expected one of new|old", "odd"}},
      {"freeze = [0.9]\nfreeze = 0.8", {"line 2", "freeze is given more than once"}},
      {"freeze = 0.8\nfreeze = [0.9]", {"line 2", "freeze is given more than once"}},
      {"freeze = 0.8\nfreeze = 0.9", {"freeze", "given more than once"}},
      {"seed = [1, 2, 1]", {"line 1", "seed", "1 comes twice"}},
      {"run = somewhere", {"line 1", "run", "a folder of its own"}},
      {"mode = all", {"line 1", "mode", "grid, random N [SEED] or list", "all"}},
      {"mode = random 0", {"line 1", "random N", "\"0\""}},
      {"better = more", {"line 1", "lower or higher", "more"}},
      {"metric =", {"line 1", "metric", "the name of a metric"}},
      {"then = scor --input x", {"line 1", "then", "\"scor\" is no job"}},
      {"then = inspect --model x", {"line 1", "inspect has no run directory"}},
      {"then = score --inputs x", {"line 1", "then", "inputs is no option of score", "is input meant?"}},
      {"then = score x", {"line 1", "expected an option of score", "\"x\""}},
      {"then = score --run train", {"line 1", "the name train is taken"}},
      {"then = score\nthen = score", {"line 2", "the name score is taken"}},
      {"then = score --run a/b", {"line 1", "a folder's name", "a/b"}},
      {"mode = list\nfreeze = [0.9, 0.95]\nseed = [1, 2, 3]", {"line 3", "seed has 3 values", "freeze (line 2) has 2"}},
  };
  for (const auto& [text, words] : cases) EXPECT_TRUE(fails(ExitCode::usage, words, [&] { parse(text); })) << text;
}

TEST(SweepPoints, AGridHasAllCombinationsTheLastOptionChangingFirst) {
  const SweepFile file = parse("model = m\nfreeze = [0.9, 0.95]\nselect = [new, old, random]\n");
  const SweepPoints points(file, "FILE");
  ASSERT_EQ(points.count(), 6);
  EXPECT_EQ(points.choices(0), (std::vector<size_t>{0, 0}));
  EXPECT_EQ(points.choices(2), (std::vector<size_t>{0, 2}));
  EXPECT_EQ(points.choices(3), (std::vector<size_t>{1, 0}));
  EXPECT_EQ(points.options(5),
            (std::map<std::string, OptionValues>{{"model", {"m"}}, {"freeze", {"0.95"}}, {"select", {"random"}}}));
}

TEST(SweepPoints, RandomOnesAreOfTheGridEachOnceAndTheSameAgain) {
  const std::string axes = "seed = [1, 2, 3, 4, 5]\nfreeze = [0.5, 0.6, 0.7, 0.8]\n";
  const auto drawn = [&](const std::string& mode) {
    const SweepFile file = parse(axes + mode);
    const SweepPoints points(file, "FILE");
    std::vector<std::vector<size_t>> all;
    for (int64_t i = 0; i < points.count(); ++i) all.push_back(points.choices(i));
    return all;
  };
  const auto some = drawn("mode = random 12");
  EXPECT_EQ(some.size(), 12u);
  EXPECT_EQ(std::set(some.begin(), some.end()).size(), 12u);
  EXPECT_EQ(some, drawn("mode = random 12"));
  EXPECT_NE(some, drawn("mode = random 12 5"));
  const SweepFile most = parse(axes + "mode = random 21");
  EXPECT_TRUE(fails(ExitCode::usage, {"random 21", "20 points"}, [&] { SweepPoints(most, "FILE"); }));
}

TEST(SweepPoints, AListGoesItemByItem) {
  const SweepFile file = parse("mode = list\nfreeze = [0.9, 0.9, 0.5]\nseed = [1, 2, 1]\n");
  const SweepPoints points(file, "FILE");
  ASSERT_EQ(points.count(), 3);
  EXPECT_EQ(points.options(2), (std::map<std::string, OptionValues>{{"freeze", {"0.5"}}, {"seed", {"1"}}}));
}

TEST(SweepPoints, NothingSweptIsOnePointAndTooManyAreRefused) {
  const SweepFile one = parse("model = m\n");
  EXPECT_EQ(SweepPoints(one, "FILE").count(), 1);
  std::string text;
  for (const char* name : {"seed", "max-steps", "step-records", "eval-steps"}) {
    text += std::string(name) + " = [";
    for (int i = 1; i <= 300; ++i) text += fmt::format("{}{}", i == 1 ? "" : ", ", i);
    text += "]\n";
  }
  const SweepFile many = parse(text);
  EXPECT_TRUE(fails(ExitCode::usage, {"FILE", "mode = random N"}, [&] { SweepPoints(many, "FILE"); }));
}

TEST(SweepStages, FollowingRunsTakeTheTrainedModelAndKnowTheirFolder) {
  const SweepFile file = parse(
      "model = base\nseed = [7]\nthen = score --input in.h5\nthen = score --run other --model {point}/train/model "
      "--input {point}/x.h5\n");
  const SweepPoints points(file, "FILE");
  const std::vector<Stage> stages = stages_of(file, points, 0, "/sweep/points/0");
  ASSERT_EQ(stages.size(), 3u);
  EXPECT_EQ(stages[0].config(), "run = /sweep/points/0/train\nmodel = base\nseed = 7\n");
  EXPECT_EQ(stages[1].config(), "run = /sweep/points/0/score\ninput = in.h5\nmodel = /sweep/points/0/train/model\n");
  EXPECT_EQ(stages[2].config(),
            "run = /sweep/points/0/other\ninput = /sweep/points/0/x.h5\nmodel = /sweep/points/0/train/model\n");
}

TEST(SweepArrays, LargeOnesAreCutWhereSlurmsLargestIndexIs) {
  const auto parts = array_parts({0, 1, 2, 5, 9, 10, 11, 30}, 10);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].indices(), "0-2,5,9");
  EXPECT_EQ(parts[1].first_index(), 10);
  EXPECT_EQ(parts[1].indices(), "0-1");
  EXPECT_EQ(parts[2].indices(), "0");
  EXPECT_TRUE(array_parts({}, 10).empty());
  EXPECT_TRUE(fails(ExitCode::usage, {"MaxArraySize is 1", "--local"}, [] { array_parts({0, 1}, 1); }));
  std::vector<int64_t> scattered;
  for (int64_t i = 0; i < 3000; ++i) scattered.push_back(2 * i);
  for (const ArrayPart& part : array_parts(scattered, 100'000)) EXPECT_LT(part.indices().size(), 4096u);
}

}  // namespace
}  // namespace switchyard::test
