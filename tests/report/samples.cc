#include "tests/report/samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"

namespace switchyard::test {
namespace {

using namespace report;

/// The same numbers on every machine.
double random(uint64_t seed, uint64_t i) {
  return random_uniform(seed, i);
}

TimeSeries speed(int attempts, int points) {
  TimeSeries series{.title = "Tokens per second", .unit = kTokensPerSecond};
  double begin = 0;
  for (int a = 0; a < attempts; ++a) {
    const double lasts = 1800 + 5400 * random(1, a);
    TimeSeries::Attempt attempt{.label = fmt::format("attempt {}", a + 1), .begin = begin, .end = begin + lasts};
    for (int p = 0; p < points; ++p) {
      const double at = begin + lasts * (p + 1) / points;
      attempt.points.push_back({at, 41000 * (1 - std::exp(-p / 3.0)) + 4000 * random(2 + a, p)});
    }
    series.attempts.push_back(attempt);
    begin += lasts + 20000 * random(3, a);
  }
  return series;
}

/// A loss that falls, at every step and now and then held out.
Curves losses(int64_t steps) {
  Curves curves{.title = "Loss over steps", .x_name = "step", .lines = {{.label = "loss"}, {.label = "held-out loss"}}};
  for (int64_t step = 1; step <= steps; ++step) {
    const double loss = 2 + 3.5 * std::exp(-6.0 * static_cast<double>(step) / static_cast<double>(steps));
    curves.lines[0].points.add(static_cast<double>(step), loss + 0.2 * random(7, static_cast<uint64_t>(step)));
    if (step % std::max<int64_t>(steps / 20, 1) == 0) curves.lines[1].points.add(static_cast<double>(step), loss + 0.3);
  }
  return curves;
}

StackedBars phases(int ranks) {
  StackedBars bars{.title = "Where the time went, rank by rank",
                   .parts = {"load", "read input", "decoder", "exchange wait", "exchange transfer", "vocabulary",
                             "gather", "write shards", "agree", "wait for the others"}};
  for (int r = 0; r < ranks; ++r) {
    StackedBars::Row row{.label = fmt::format("rank {}", r)};
    for (size_t p = 0; p < bars.parts.size(); ++p)
      row.values.push_back((p == 2 ? 900 : p == 3 ? 200 : p == 5 ? 240 : 40) * (0.7 + 0.3 * random(r, p)));
    bars.rows.push_back(row);
  }
  return bars;
}

HeatMap traffic(int64_t ranks) {
  HeatMap map{.title = "Traffic between ranks", .row_name = "sender", .column_name = "receiver", .unit = kBytes};
  map.rows = map.columns = ranks;
  map.spacing = Spacing::logarithmic;
  for (int64_t from = 0; from < ranks; ++from)
    for (int64_t to = 0; to < ranks; ++to)
      map.values.push_back(from == to ? 0 : std::exp(18 + 4 * random(from, to) + (from / 8 == to / 8 ? 2 : 0)));
  return map;
}

Histogram lengths() {
  Histogram histogram{.title = "Length of records",
                      .value_name = "tokens per record",
                      .value_unit = kCount,
                      .counted = kRecords,
                      .bins = Bins::logarithmic(1, 65536, 64)};
  for (int i = 0; i < 20000; ++i)
    histogram.bins.add(std::exp(6 + 1.1 * (random(5, i) + random(6, i) + random(7, i) - 1.5) * 2), 1000);
  histogram.bins.add(100000, 12);
  return histogram;
}

Histogram log_probabilities() {
  Histogram histogram{.title = "Log-probability of tokens",
                      .value_name = "log-probability (nats)",
                      .value_unit = kNumber,
                      .counted = kTokens,
                      .bins = Bins::linear(-20, 0.0001, 80)};
  for (int i = 0; i < 20000; ++i) histogram.bins.add(3 * std::log(1 - random(8, i)), 100000);
  return histogram;
}

Table phase_table(const StackedBars& bars) {
  Table table{.title = "Phases",
              .columns = {{.title = "phase"},
                          {"min", kSeconds},
                          {"mean", kSeconds},
                          {"max", kSeconds},
                          {"share", kShare},
                          {"calls", kCount}}};
  for (size_t p = 0; p < bars.parts.size(); ++p)
    table.rows.push_back({bars.parts[p], 0.7 * bars.rows[0].values[p], bars.rows[0].values[p],
                          1.2 * bars.rows[0].values[p], bars.rows[0].values[p] / 2000,
                          1234.0 * static_cast<double>(p)});
  return table;
}

Tiles figures(double scale) {
  return {{{"Records", 51234567 * scale, kRecords},
           {"Tokens", 23456789012 * scale, kTokens},
           {"Speed", 41234 * scale, kTokensPerSecond, "4.1 k in each of 10 groups"},
           {"Bits per token", 2.3456, kNumber},
           {"Time", 51234 * scale, kSeconds, "of it 1 h 02 min waiting"},
           {"Node-hours", 227.7 * scale, kNumber},
           {"Peak memory", 78.5e9, kBytes},
           {"Exchange", 0.23, kShare}}};
}

Definitions plan() {
  return {"Plan",
          {{"model", "qwen3_moe, 60 layers, 128 experts, 8 per token; 30.532 B parameters, 3.353 B active"},
           {"input", "51,234,567 records, 23,456,789,012 tokens, longest 32,768; 12,509 chunks of 4,096 records"},
           {"layout", "64 ranks = 8 groups × 8 expert ranks, 16 threads each, 4 ranks on this host"}}};
}

BarList rejects() {
  return {.title = "Rejected records by reason",
          .unit = kRecords,
          .rows = {{"longer than the model's 32,768 positions", 12345},
                   {"empty record", 812},
                   {"token 151,936 is not in the vocabulary", 3}}};
}

Document one_attempt() {
  Document page("switchyard score", "qwen3_moe on 51 k records");
  page.section("Results").add(figures(1e-3));
  page.section("Speed").add(speed(1, 12)).add(phases(4)).add(phase_table(phases(4)));
  return page;
}

Document large() {
  Document page("switchyard score", "qwen3_moe · 60 layers × 128 experts · 256 ranks");
  page.section("Results")
      .add(figures(1))
      .add(Note{Note::Kind::warning, "812 records were rejected."})
      .add(Note{Note::Kind::remark,
                "23% of computing time went into the exchange: fewer ranks per group (--ep), larger --batch-tokens, or "
                "a faster network."});
  page.section("Loss").add(losses(100'000));
  page.section("Speed").add(speed(7, 300)).add(phases(256)).add(phase_table(phases(64)));
  page.section("Experts").add(expert_map(60, 128));
  page.section("Exchange").add(traffic(64)).add(traffic(256));
  page.section("Data").add(lengths()).add(log_probabilities()).add(rejects()).add(plan());
  return page;
}

Document long_texts() {
  const std::string word(300, 'w'), sentence = [] {
    std::string text;
    for (int i = 0; i < 60; ++i) text += "a rather long sentence & <b>markup</b> ";
    return text;
  }();
  Document page("A title that goes on and on, " + word, sentence);
  for (int s = 0; s < 5; ++s) page.section("Section " + word);
  Section& section = page.section(sentence);
  section.add(Tiles{{{word, 1e300, kTokens, sentence}, {sentence, -1e15, kBytes}, {"x", 1e-300, kSeconds}}});
  section.add(Note{Note::Kind::warning, word + sentence});
  section.add(Definitions{word, {{word, sentence}, {sentence, word}}});
  section.add(
      Table{word, {{.title = word}, {sentence, kBytes}, {"a", kCount}}, {{word, 1e18, 1e18}, {sentence, 1.0, 0.5}}});
  section.add(
      BarList{word, {Unit::Kind::count, "records of the input"}, {{word, 1e14}, {sentence, 3}, {"short", 1e13}}});
  StackedBars bars = phases(2);
  bars.title = word;
  bars.parts[2] = word;
  bars.parts[5] = sentence;
  bars.rows[0].label = sentence;
  section.add(bars);
  TimeSeries series = speed(3, 5);
  series.title = word;
  for (TimeSeries::Attempt& attempt : series.attempts) attempt.label = word;
  section.add(series);
  return page;
}

Document edges() {
  Document page("Edges");
  Section& section = page.section("Unusual numbers");
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  section.add(speed(60, 2))
      .add(speed(2, 1))
      .add(speed(5, 40))
      .add(expert_map(1, 128))
      .add(expert_map(3, 8))
      .add(expert_map(61, 1));
  section.add(TimeSeries{"Tiny", kNumber, {{"a", 0, 1e-3, {{0, -1e-7}, {5e-4, kNaN}, {1e-3, 2e-7}}}}});
  section.add(losses(1)).add(losses(30));
  section.add(BarList{"With NaN", kSeconds, {{"a", kNaN}, {"b", 0.0123}, {"c", 0}}});
  Histogram few{"Three days", "age", kSeconds, kRecords, Bins::linear(0, 300000, 4)};
  few.bins.add(100, 3);
  section.add(few);
  Histogram narrow{"Narrow", "tokens", kCount, kRecords, Bins::logarithmic(30, 60, 10)};
  narrow.bins.add(44);
  section.add(narrow);
  return page;
}

Document nothing() {
  Document page("Nothing");
  Section& section = page.section("Empty");
  section.add(TimeSeries{"Speed"})
      .add(StackedBars{"Phases"})
      .add(HeatMap{"Experts"})
      .add(BarList{"Rejects"})
      .add(Curves{"Loss"});
  section.add(Histogram{.title = "Lengths", .bins = Bins::linear(0, 1, 2)});
  section.add(Table{"Table", {{.title = "a"}}}).add(Definitions{"Plan"}).add(Tiles{});
  page.section("Nothing at all");
  return page;
}

}  // namespace

report::HeatMap expert_map(int64_t layers, int64_t experts) {
  HeatMap map{.title = "Tokens per expert", .row_name = "layer", .column_name = "expert", .unit = kTokens};
  map.rows = layers;
  map.columns = experts;
  for (int64_t layer = 0; layer < layers; ++layer)
    for (int64_t expert = 0; expert < experts; ++expert)
      map.values.push_back(std::round(1e6 * std::exp(1.6 * random(layer + 100, expert) - (expert == 17 ? 9 : 0))));
  return map;
}

std::vector<Sample> sample_reports() {
  return {{"one attempt", one_attempt()},
          {"large", large()},
          {"long texts", long_texts()},
          {"edges", edges()},
          {"nothing", nothing()}};
}

}  // namespace switchyard::test
