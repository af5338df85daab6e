#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "jobs/scale/scale_table.h"
#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using test::fails_input;

ScaleDefinition definition() {
  ScaleDefinition d;
  d.job = "score";
  d.local = true;
  d.sizes = {1, 2, 4};
  d.repetitions = 3;
  d.options = {{"sample-tokens", {"1000"}}, {"model", {"m"}}};
  return d;
}

ScaleStudy study(const ScaleDefinition& d) {
  RunOptions options;
  options.run = "/nowhere/study";
  return {options, d, jobs()};
}

TEST(ScaleStudy, PointsAreAllMeasurementsInARandomOrder) {
  ScaleDefinition d = definition();
  d.over = "ep";
  d.values = {"1", "2"};
  const ScaleStudy s = study(d);
  ASSERT_EQ(s.num_points(), 18);
  std::set<std::vector<std::string>> seen;
  std::vector<int64_t> sizes;
  for (int64_t number = 0; number < s.num_points(); ++number) {
    seen.insert(s.values_of(number));
    sizes.push_back(s.point(number).size);
    EXPECT_EQ(s.stages(number).front().options.at("ep"), OptionValues{s.point(number).value});
  }
  EXPECT_EQ(seen.size(), 18U);
  EXPECT_FALSE(std::ranges::is_sorted(sizes));
  EXPECT_EQ(study(d).values_of(5), s.values_of(5));  // the same whenever it is asked
}

TEST(ScaleStudy, WeakScalingMultipliesTheWorkOfARank) {
  ScaleDefinition d = definition();
  d.scaling = Scaling::weak;
  const ScaleStudy s = study(d);
  for (int64_t number = 0; number < s.num_points(); ++number)
    EXPECT_EQ(s.stages(number).front().options.at("sample-tokens"),
              OptionValues{std::to_string(1000 * s.point(number).ranks)});
}

TEST(ScaleStudy, NodesHaveTheirRanks) {
  ScaleDefinition d = definition();
  d.local = false;
  d.over = "tasks-per-node";
  d.values = {"2", "8"};
  const ScaleStudy s = study(d);
  for (int64_t number = 0; number < s.num_points(); ++number) {
    const ScalePoint p = s.point(number);
    EXPECT_EQ(p.ranks, p.size * std::stoll(p.value));
    EXPECT_FALSE(s.stages(number).front().options.contains("tasks-per-node"));
  }
}

TEST(ScaleStudy, ADefinitionIsKeptWhole) {
  ScaleDefinition d = definition();
  d.scaling = Scaling::weak;
  d.over = "dtype";
  d.values = {"f32", "bf16"};
  EXPECT_EQ(ScaleDefinition::from_json(d.to_json(), "study.json").fields(), d.fields());
  Json broken = d.to_json();
  broken["sizes"] = "many";
  EXPECT_TRUE(
      fails_input({"study.json", "\"sizes\"", "many"}, [&] { ScaleDefinition::from_json(broken, "study.json"); }));
}

SizeSummary size(int64_t ranks, std::vector<double> seconds, double tokens = 1000) {
  SizeSummary s;
  s.point.size = s.point.ranks = ranks;
  for (const double t : seconds) s.total.push_back(t + 1), s.tokens_per_second.push_back(tokens / t);
  s.seconds = std::move(seconds);
  return s;
}

TEST(ScaleStudy, SpeedUpAndEfficiency) {
  const Scalability strong = scalability(Scaling::strong, size(1, {10, 12, 8}), size(4, {4, 5, 4}));
  EXPECT_DOUBLE_EQ(strong.speedup, 2.5);
  EXPECT_DOUBLE_EQ(strong.efficiency, 0.625);
  const Scalability weak = scalability(Scaling::weak, size(2, {10}, 2000), size(8, {12.5}, 8000));
  EXPECT_DOUBLE_EQ(weak.speedup, 3.2);
  EXPECT_DOUBLE_EQ(weak.efficiency, 0.8);
}

/// As PyPI's extrap 4.2 reads it (--text).
TEST(ScaleStudy, ExtraPsFormat) {
  const std::vector<SizeSummary> sizes = {size(1, {10, 10.5}), size(2, {5.25, 5}), size(4, {3})};  // the last lacks one
  EXPECT_EQ(to_extrap(study(definition()), sizes),
            "PARAMETER ranks\n\n"
            "POINTS 1\nPOINTS 2\n\n"
            "REGION work\nMETRIC time\nDATA 10 10.5\nDATA 5.25 5\n\n"
            "REGION total\nMETRIC time\nDATA 11 11.5\nDATA 6.25 6\n");
}

TEST(ScaleStudy, ExtraPHasWordsAsRegions) {
  ScaleDefinition d = definition();
  d.over = "dtype";
  d.values = {"bf16", "f32"};
  std::vector<SizeSummary> sizes;
  for (const auto& [value, seconds] : {std::pair("bf16", 2.0), {"f32", 4.0}})
    for (const int64_t ranks : {1, 2, 4}) {
      sizes.push_back(size(ranks, {seconds / static_cast<double>(ranks)}));
      sizes.back().point.value = value;
    }
  sizes.back().seconds.clear();  // f32 on four ranks: neither has that point
  EXPECT_EQ(to_extrap(study(d), sizes),
            "PARAMETER ranks\n\n"
            "POINTS 1\nPOINTS 2\n\n"
            "REGION work_bf16\nMETRIC time\nDATA 2\nDATA 1\n\nREGION total_bf16\nMETRIC time\nDATA 3\nDATA 2\n\n"
            "REGION work_f32\nMETRIC time\nDATA 4\nDATA 2\n\nREGION total_f32\nMETRIC time\nDATA 5\nDATA 3\n");
}

}  // namespace
}  // namespace switchyard
