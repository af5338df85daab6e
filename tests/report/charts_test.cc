// Values where they belong: coordinates of marks at points that can be computed by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "report/document.h"
#include "tests/report/samples.h"

namespace switchyard::report {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();

size_t count(const std::string& html, std::string_view what) {
  size_t num = 0;
  for (size_t at = 0; (at = html.find(what, at)) != std::string::npos; at += what.size()) ++num;
  return num;
}

Curves::Line line_of(std::string label, std::initializer_list<ThinnedLine::Point> points) {
  Curves::Line line{std::move(label), {}};
  for (const ThinnedLine::Point& point : points) line.points.add(point.x, point.value);
  return line;
}

TEST(Curves, PointsLieAtTheirStepAndValue) {
  const std::string html =
      render(Curves{"Loss",
                    "step",
                    kNumber,
                    {line_of("loss", {{0, 4}, {25, 2}, {100, 0}}), line_of("held-out loss", {{50, 3}, {100, 1}})}});
  // 0 … 4 over 200 pixels, from the bottom; steps over 1000.
  EXPECT_THAT(html, HasSubstr("<path class=\"line l0\" d=\"M0 0L250 100L1000 200\"/>"));
  EXPECT_THAT(html, HasSubstr("<path class=\"line l1\" d=\"M500 50L1000 150\"/>"));
  EXPECT_THAT(html, HasSubstr("<circle class=\"spot c1\" cx=\"50%\" cy=\"50\" r=\"2.5\"/>"));
  // Nearest to the second point is what lies from half way to the first to half way to the third.
  EXPECT_THAT(html, HasSubstr("<rect class=\"target\" x=\"12.5%\" width=\"50%\" height=\"200\">"
                              "<title>step 25: loss 2</title></rect>"));
  EXPECT_THAT(html, HasSubstr("<title>step 100: loss 0; held-out loss 1 at step 100</title>"));
  EXPECT_THAT(html, HasSubstr("loss: 4 at first, 0 at last; held-out loss: 3 at first, 1 at last."));
  EXPECT_THAT(html, Not(HasSubstr("Each point is the mean")));
}

TEST(Curves, OfManyValuesSayWhatAPointIs) {
  Curves curves{.title = "Loss", .x_name = "step", .lines = {{.label = "loss"}}};
  for (int i = 0; i < 1000; ++i) curves.lines.front().points.add(i, i < 500 ? kNaN : 1);
  const std::string html = render(curves);
  EXPECT_THAT(html, HasSubstr("Each point is the mean of 2 values."));
  EXPECT_THAT(html, HasSubstr("500"));  // left out
  EXPECT_EQ(count(html, "class=\"target\""), 250u);
}

TEST(Curves, WithoutValuesHaveATitleAndNoAxis) {
  const std::string html = render(Curves{"Loss", "step", kNumber, {{.label = "loss"}}});
  EXPECT_THAT(html, HasSubstr("Loss"));
  EXPECT_THAT(html, Not(HasSubstr("<path")));
}

TEST(TimeSeries, PointsLieAtTheirTimeAndValue) {
  const std::string html =
      render(TimeSeries{"Speed", kTokensPerSecond, {{"attempt 1", 0, 100, {{0, 0}, {25, 10000}, {100, 40000}}}}});
  // 0 … 40k over 200 pixels, from the bottom; time over 1000.
  EXPECT_THAT(html, HasSubstr("<path class=\"line\" d=\"M0 200L250 150L1000 0\"/>"));
  EXPECT_THAT(html, HasSubstr("<line class=\"grid\" x1=\"0\" x2=\"100%\" y1=\"50\" y2=\"50\"/>")) << "30k";
  EXPECT_THAT(html, HasSubstr("y=\"54\" text-anchor=\"end\">30k</text>"));
  EXPECT_THAT(html, HasSubstr("<text x=\"40%\" y=\"218\" text-anchor=\"middle\">40 s</text>"));
  EXPECT_THAT(
      html, HasSubstr("<rect class=\"target\" x=\"12.5%\" width=\"50%\" height=\"200\"><title>attempt 1, 25.0 s after "
                      "the start: 10,000 tok/s</title></rect>"));
  EXPECT_THAT(
      html,
      HasSubstr("aria-label=\"Speed: 0 tok/s to 40,000 tok/s, mean 16,667 tok/s, over 1 min 40 s in 1 attempt\""));
  EXPECT_THAT(html, Not(HasSubstr("class=\"band\"")));
}

TEST(TimeSeries, TimeBetweenAttemptsIsABreak) {
  const std::string html = render(
      TimeSeries{"Speed", kNumber, {{"a", 0, 100, {{0, 1}, {100, 1}}}, {"b", 5100, 5400, {{5100, 1}, {5400, 1}}}}});
  // 400 s ran; a break of 2%: a has 24.5%, b begins at 26.5%.
  EXPECT_THAT(html, HasSubstr("d=\"M0 0L245 0\""));
  EXPECT_THAT(html, HasSubstr("d=\"M265 0L1000 0\""));
  EXPECT_THAT(
      html,
      HasSubstr(
          "<rect class=\"band\" x=\"26.5%\" width=\"73.5%\" height=\"200\"><title>b: ran for 5 min 00 s</title>"));
  EXPECT_THAT(html, HasSubstr(">a</text>"));
  EXPECT_THAT(html, HasSubstr("2 attempts; 1 h 23 min between them, left out of the axis."));
  EXPECT_THAT(html, HasSubstr("<text x=\"31.4%\" y=\"218\" text-anchor=\"middle\">2 min</text>")) << "of running time";
}

TEST(TimeSeries, AnAttemptWithoutPointsHasItsPlace) {
  const std::string html = render(TimeSeries{"Speed", kNumber, {{"dead", 0, 100, {}}, {"b", 200, 300, {{250, 1}}}}});
  EXPECT_THAT(html, HasSubstr("<title>dead: ran for 1 min 40 s</title>"));
  EXPECT_THAT(html, HasSubstr("<circle class=\"spot\" cx=\"75.5%\" cy=\"0\" r=\"2.5\"/>"));
}

TEST(TimeSeries, WhatIsNotFiniteIsAGap) {
  const std::string html =
      render(TimeSeries{"Speed", kNumber, {{"a", 0, 4, {{0, 1}, {1, 1}, {2, kNaN}, {3, 1}, {4, 1}, {4, kInfinity}}}}});
  EXPECT_EQ(count(html, "<path class=\"line\""), 2);
  EXPECT_THAT(html, HasSubstr("2 values are not finite numbers and are left out."));
}

TEST(TimeSeries, ManyPointsBecomeMeans) {
  TimeSeries series{"Speed", kNumber, {{"a", 0, 100'000, {}}}};
  for (int p = 0; p < 100'000; ++p) series.attempts[0].points.push_back({static_cast<double>(p), p % 2 ? 0.0 : 2.0});
  const std::string html = render(series);
  EXPECT_LE(count(html, "class=\"target\""), 480);
  EXPECT_THAT(html, HasSubstr("Each point is the mean of 209 measurements."));
  EXPECT_LT(html.size(), 150'000);
}

TEST(StackedBars, PartsFollowEachOther) {
  const std::string html = render(
      StackedBars{"Time", kSeconds, {"load", "nothing", "decode"}, {{"rank 0", {10, 0, 30}}, {"rank 1", {0, 0, 20}}}});
  // The axis ends with the longest, at 40 s.
  EXPECT_THAT(
      html,
      HasSubstr("<rect class=\"part c0\" x=\"0%\" width=\"25%\" height=\"100%\"><title>load 10.0 s</title></rect>"
                "<rect class=\"part c1\" x=\"25%\" width=\"75%\" height=\"100%\"><title>decode 30.0 s</title></rect>"));
  EXPECT_THAT(html, HasSubstr("<rect class=\"part c1\" x=\"0%\" width=\"50%\" height=\"100%\">"));
  EXPECT_THAT(html, HasSubstr("aria-label=\"rank 0: load 10.0 s, decode 30.0 s\""));
  EXPECT_THAT(html, HasSubstr("<span class=\"value\">40.0 s</span>"));
  EXPECT_THAT(html, Not(HasSubstr("nothing")));
}

TEST(StackedBars, ColoursAreNeverTooMany) {
  StackedBars bars{"Time", kSeconds, {}, {{"rank", {}}}};
  for (int p = 0; p < 12; ++p) {
    bars.parts.push_back("part " + std::to_string(p));
    bars.rows[0].values.push_back(p < 5 ? 1 : 10);
  }
  const std::string html = render(bars);
  EXPECT_THAT(html, HasSubstr("<title>part 5 10.0 s</title>"));
  EXPECT_THAT(html, Not(HasSubstr("part 4")));
  EXPECT_THAT(
      html,
      HasSubstr("class=\"part c7\" x=\"93.333%\" width=\"6.667%\" height=\"100%\"><title>5 others 5.00 s</title>"));
}

TEST(StackedBars, ManyRanksBecomeMeansOfNeighbours) {
  StackedBars bars{"Time", kSeconds, {"load"}, {}};
  for (int r = 0; r < 100; ++r)
    bars.rows.push_back({"rank " + std::to_string(r), {r == 1 ? 30.0 : r == 2 ? kNaN : 0.0}});
  const std::string html = render(bars);
  EXPECT_EQ(count(html, "class=\"label\""), 34);
  EXPECT_THAT(html, HasSubstr("rank 0 – rank 2</span>"));
  EXPECT_THAT(html, HasSubstr("<title>load 10.0 s</title>"));
  EXPECT_THAT(html, HasSubstr("<span class=\"label\">rank 99</span>"));
  EXPECT_THAT(html, HasSubstr("Each line is the mean of 3 neighbours."));
  EXPECT_THAT(html, HasSubstr("1 value is not a finite number and is left out."));
  bars.rows[7].values.clear();
  EXPECT_THROW(render(bars), Error);
}

TEST(BarList, LengthsFromZeroToTheLargest) {
  const std::string html =
      render(BarList{"Rejects", kRecords, {{"empty", 25}, {"long", 100}, {"lost", kNaN}, {"less", -3}}});
  EXPECT_THAT(
      html, HasSubstr("<span class=\"label\">empty</span><svg width=\"100%\" aria-hidden=\"true\"><rect class=\"bar\" "
                      "width=\"25%\" height=\"100%\"/></svg><span class=\"value\">25 records</span>"));
  EXPECT_THAT(html, HasSubstr("width=\"100%\" height=\"100%\"/></svg><span class=\"value\">100 records"));
  EXPECT_THAT(html, HasSubstr("width=\"0%\" height=\"100%\"/></svg><span class=\"value\">-3 records"));
  EXPECT_THAT(html, Not(HasSubstr("lost")));
  EXPECT_THAT(html, HasSubstr("1 value is not a finite number and is left out."));
}

TEST(BarList, TheLastOfManyAreOne) {
  BarList list{"Rejects", kCount, {}};
  for (int r = 0; r < 1000; ++r) list.rows.push_back({"reason", 1});
  const std::string html = render(list);
  EXPECT_EQ(count(html, "class=\"label\""), 40);
  EXPECT_THAT(html, HasSubstr("961 others</span>"));
  EXPECT_THAT(html, HasSubstr("<span class=\"value\">961</span>"));
}

TEST(HeatMap, CellsHaveTheColourOfTheirValue) {
  const std::string html = render(HeatMap{.title = "Tokens",
                                          .row_name = "layer",
                                          .column_name = "expert",
                                          .rows = 2,
                                          .columns = 3,
                                          .values = {0, 1, 900, 450, kNaN, 899},
                                          .first_row = 1});
  EXPECT_THAT(html, HasSubstr("viewBox=\"0 0 3 2\""));
  EXPECT_THAT(html, HasSubstr("<path class=\"h0\" d=\"M1 0h1v1h-1\"><title>layer 1, expert 1: 1</title></path>"));
  EXPECT_THAT(html, HasSubstr("<path class=\"h8\" d=\"M2 0h1v1h-1\"><title>layer 1, expert 2: 900</title></path>"));
  EXPECT_THAT(html, HasSubstr("<path class=\"h4\" d=\"M0 1h1v1h-1\"><title>layer 2, expert 0: 450</title></path>"));
  EXPECT_THAT(
      html, HasSubstr("<path class=\"missing\" d=\"M1 1h1v1h-1\"><title>layer 2, expert 1: no number</title></path>"));
  EXPECT_THAT(html, Not(HasSubstr("d=\"M0 0h1"))) << "zero is the ground";
  EXPECT_THAT(html, HasSubstr("Largest: 900 at layer 1, expert 2 (2 times the mean of 450)."));
  EXPECT_THAT(html, HasSubstr("Zero: 1 of 5."));
  EXPECT_THAT(html, HasSubstr("1 value is not a finite number and is left out."));
  // Two rows of 22 pixels: the second's label at its middle.
  EXPECT_THAT(html, HasSubstr("y=\"37\" text-anchor=\"end\">2</text>"));
  EXPECT_THAT(html, HasSubstr("<text x=\"50%\" y=\"62\" text-anchor=\"middle\">1</text>"));
}

TEST(HeatMap, LogarithmicColours) {
  const std::string html =
      render(HeatMap{.title = "t", .rows = 1, .columns = 3, .values = {1, 1000, 1e6}, .spacing = Spacing::logarithmic});
  EXPECT_THAT(html, HasSubstr("class=\"h0\" d=\"M0 0"));
  EXPECT_THAT(html, HasSubstr("class=\"h4\" d=\"M1 0"));
  EXPECT_THAT(html, HasSubstr("class=\"h8\" d=\"M2 0"));
  EXPECT_THAT(html, HasSubstr("<span>1</span>"));
  EXPECT_THAT(html, HasSubstr("1,000,000 (logarithmic)"));
}

TEST(HeatMap, SixtyLayersOf128ExpertsAreAllThere) {
  const std::string html = render(test::expert_map(60, 128));
  EXPECT_EQ(count(html, "h1v1h-1"), 60 * 128);
  EXPECT_LT(html.size(), 800'000);
}

TEST(HeatMap, WhatIsTooFineIsMerged) {
  HeatMap map{.title = "t", .row_name = "sender", .column_name = "receiver", .rows = 128, .columns = 128};
  map.values.assign(128 * 128, 0);
  map.values[0] = 8;
  map.values[129] = 4;
  map.values[1] = kNaN;
  std::string html = render(map);
  EXPECT_THAT(html, HasSubstr("Each cell is the mean of 2 senders × 2 receivers."));
  EXPECT_THAT(html, HasSubstr("d=\"M0 0h1v1h-1\"><title>senders 0–1, receivers 0–1: 4</title>")) << "12 over three";
  EXPECT_THAT(html, HasSubstr("Largest: 8 at sender 0, receiver 0"));
  map.merge = HeatMap::Merge::maximum;
  html = render(map);
  EXPECT_THAT(html, HasSubstr("senders 0–1, receivers 0–1: 8</title>"));
  map.values.pop_back();
  EXPECT_THROW(render(map), Error);
  EXPECT_LT(render(test::expert_map(1000, 5000)).size(), 1'000'000);
}

TEST(HeatMap, TheLastCellMayStandForOne) {
  const std::string html = render(HeatMap{.title = "t",
                                          .column_name = "expert",
                                          .unit = kShare,
                                          .rows = 1,
                                          .columns = 129,
                                          .values = std::vector<double>(129, 1e-5)});
  EXPECT_THAT(html, HasSubstr("<title>experts 126–127: &lt;0.1%</title>"));
  EXPECT_THAT(html, HasSubstr("<title>expert 128: &lt;0.1%</title>"));
  EXPECT_THAT(html, HasSubstr("<span>&lt;0.1%</span>")) << "the legend";
}

TEST(HeatMap, AllZero) {
  const std::string html = render(HeatMap{.title = "t", .rows = 1, .columns = 2, .values = {0, 0}});
  EXPECT_THAT(html, HasSubstr("All are zero."));
  EXPECT_THAT(html, Not(HasSubstr("Zero: ")));
  EXPECT_THAT(html, Not(HasSubstr("ramp"))) << "no colour is there to be read";
  EXPECT_THAT(html, Not(HasSubstr("nan")));
}

TEST(Histogram, BarsOverTheirBins) {
  Histogram histogram{"Lengths", "tokens", kCount, kRecords, Bins::linear(0, 40, 4)};
  histogram.bins.add(5, 10);
  histogram.bins.add(35, 40);
  histogram.bins.add(50, 2);
  histogram.bins.add(-1, 1);
  const std::string html = render(histogram);
  // Up to 40 over 200 pixels.
  EXPECT_THAT(html,
              HasSubstr("<rect class=\"bar\" x=\"0%\" y=\"150\" width=\"25%\" height=\"50\"><title>0 to 10: 10 records "
                        "(18.9%)</title></rect>"));
  EXPECT_THAT(html, HasSubstr("<rect class=\"bar\" x=\"75%\" y=\"0\" width=\"25%\" height=\"200\">"));
  EXPECT_EQ(count(html, "class=\"bar\""), 2);
  EXPECT_THAT(html, HasSubstr("53 records, median from 30 to 40."));
  EXPECT_THAT(html, HasSubstr("Not drawn: 1 records below 0."));
  EXPECT_THAT(html, HasSubstr("Not drawn: 2 records at or above 40."));
}

TEST(Histogram, LogarithmicBins) {
  Histogram histogram{"Lengths", "tokens", kCount, kRecords, Bins::logarithmic(1, 10000, 4)};
  for (const double value : {2, 50, 5000}) histogram.bins.add(value);
  EXPECT_THAT(render(histogram),
              HasSubstr("<rect class=\"bar\" x=\"25%\" y=\"0\" width=\"25%\" height=\"200\"><title>10 to 100: "));
  EXPECT_THAT(render(histogram), HasSubstr("<text x=\"50%\" y=\"218\" text-anchor=\"middle\">100</text>"));
}

TEST(Histogram, FromTheLeastToTheLargestThatComes) {
  Histogram histogram{"Lengths", "tokens", kCount, kRecords, Bins::linear(0, 1000, 1000)};
  histogram.bins.add(400);
  histogram.bins.add(409);
  const std::string html = render(histogram);
  EXPECT_EQ(count(html, "class=\"bar\""), 2);
  EXPECT_THAT(html, HasSubstr("x=\"0%\" y=\"0\" width=\"10%\" height=\"200\"><title>400 to 401: "));
  EXPECT_THAT(html, HasSubstr("x=\"90%\" y=\"0\" width=\"10%\" height=\"200\"><title>409 to 410: "));
  EXPECT_THAT(render(Histogram{.title = "t", .bins = Bins::linear(0, 1, 1)}), HasSubstr("No data."));
}

TEST(Histogram, ManyBinsAreMerged) {
  Histogram histogram{"Lengths", "tokens", kCount, kRecords, Bins::linear(0, 1000, 1000)};
  for (int i = 0; i < 1000; ++i) histogram.bins.add(i);
  const std::string html = render(histogram);
  EXPECT_EQ(count(html, "class=\"bar\""), 112);
  EXPECT_THAT(html, HasSubstr("<title>999 to 1,000: 1 records (0.1%)</title>"));
}

}  // namespace
}  // namespace switchyard::report
