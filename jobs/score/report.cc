#include "jobs/score/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "jobs/records/report_blocks.h"
#include "report/document.h"

namespace switchyard {
namespace {

using report::Section;

/// What the results are of.
struct Rows {
  std::string_view one, all;
  report::Unit unit;
};
constexpr Rows kRecordRows{"record", "Records", report::kRecords},
    kDocumentRows{"document", "Documents", report::kDocuments};

const Rows& rows_of(const RunSummary& s) {
  return s.joined ? kDocumentRows : kRecordRows;
}

void add_results(Section& section, const RunSummary& s) {
  const Rows& rows = rows_of(s);
  section.add(report::Tiles{{
      {std::string(rows.all), static_cast<double>(s.records), report::kCount,
       fmt::format("{} rejected", report::text(static_cast<double>(s.rejects), report::kCount))},
      {"Scored tokens", static_cast<double>(s.scored_tokens), report::kCount},
      {"Bits per token", key_figures(s).bits_per_token, report::kNumber},
  }});
  if (s.rejects > 0)
    section.add(report::Note{report::Note::Kind::warning,
                             fmt::format("{} were rejected; rejects.jsonl says which, and why.", rows.all)});
  for (const std::string& note : advice(s)) section.add(report::Note{.text = note});
}

report::Tiles figures_of_attempt(const RunSummary& s) {
  const KeyFigures figures = key_figures(s);
  report::Tiles tiles{{
      {"Time", figures.elapsed_seconds, report::kSeconds,
       fmt::format("{} waiting for other ranks", report::text(figures.waiting_seconds, report::kSeconds))},
      {"Node-hours", std::round(1e4 * figures.node_hours) / 1e4, report::kCount,
       fmt::format("on {} node{}", s.usage.nodes, s.usage.nodes == 1 ? "" : "s")},
      {"Memory", static_cast<double>(s.usage.peak_memory), report::kBytes, "of the rank with most"},
  }};
  if (figures.computed_tokens == 0) return tiles;  // an earlier one had scored all
  tiles.tiles.push_back({"Speed", figures.tokens_per_second, report::kTokensPerSecond});
  tiles.tiles.push_back({"Exchange", figures.exchange_share, report::kShare, "of computing time"});
  return tiles;
}

/// Every rank's phases without overlap: the decoder's without its exchange, and what no phase covers as "between
/// phases".
report::StackedBars times_of_ranks(const RunSummary& s) {
  report::StackedBars bars{.title = "Where the time went"};
  for (const Phase& phase : phases()) bars.parts.emplace_back(phase.name);
  bars.parts.back() = "between phases";  // in place of the total
  for (size_t rank = 0; rank < s.phases.size(); ++rank) {
    const PhaseSeconds& seconds = s.phases[rank];
    report::StackedBars::Row row{.label = fmt::format("rank {}", rank)};
    double rest = seconds.total;
    for (const Phase& phase : phases().first(phases().size() - 1)) {
      const double within =
          phase.seconds == &PhaseSeconds::decode ? seconds.exchange_wait + seconds.exchange_transfer : 0;
      row.values.push_back(std::max(0.0, seconds.*phase.seconds - within));
      rest -= row.values.back();
    }
    row.values.push_back(std::max(0.0, rest));
    bars.rows.push_back(std::move(row));
  }
  return bars;
}

/// Ranks of a group follow each other in the world. Of very many ranks neighbours are taken together.
report::HeatMap traffic(const RunSummary& s) {
  constexpr int64_t kMostCells = 64;  // a side
  const int64_t ranks = std::ssize(s.rank_tokens), group = std::ssize(s.bytes_sent) / ranks;
  const int64_t together = (ranks + kMostCells - 1) / kMostCells, cells = (ranks + together - 1) / together;
  report::HeatMap map{.title = together == 1 ? std::string("Sent from rank to rank")
                                             : fmt::format("Sent between blocks of {} ranks", together),
                      .row_name = together == 1 ? "sender" : "sending block",
                      .column_name = together == 1 ? "receiver" : "receiving block",
                      .unit = report::kBytes,
                      .rows = cells,
                      .columns = cells,
                      .values = std::vector<double>(static_cast<size_t>(cells * cells))};
  for (int64_t from = 0; from < ranks; ++from)
    for (int64_t member = 0; member < group; ++member) {
      const int64_t to = from / group * group + member;
      map.values[static_cast<size_t>(from / together * cells + to / together)] +=
          static_cast<double>(s.bytes_sent[static_cast<size_t>(from * group + member)]);
    }
  return map;
}

report::BarList reasons(const ResultTotals& totals, const Rows& rows) {
  report::BarList list{.title = "Rejects by reason (N: a number)", .unit = rows.unit};
  for (const auto& [reason, count] : totals.rejects_by_reason)
    list.rows.push_back({reason, static_cast<double>(count)});
  std::ranges::stable_sort(list.rows, std::greater(), &report::BarList::Row::value);
  return list;
}

void add_rows(Section& section, const ResultTotals& totals, const Rows& rows) {
  section.add(report::Histogram{.title = "Length",
                                .value_name = fmt::format("scored tokens of a {}", rows.one),
                                .value_unit = report::kCount,
                                .counted = rows.unit,
                                .bins = totals.record_lengths});
  section.add(report::Histogram{.title = "Log-probability",
                                .value_name = fmt::format("mean per token of a {}, nats", rows.one),
                                .counted = rows.unit,
                                .bins = totals.mean_logprobs});
  if (totals.rejects > 0) section.add(reasons(totals, rows));
}

}  // namespace

std::string report_html(const std::string& title, const std::vector<std::string>& plan, const RunSummary& s,
                        const ResultTotals& totals, const std::vector<report::TimeSeries::Attempt>& speed) {
  const report::Definitions decided = definitions("Plan", plan);
  report::Document page(title, decided.entries.empty() ? "" : decided.entries.front().second);
  add_results(page.section("Results"), s);
  page.section("Speed").add(
      report::TimeSeries{.title = "Tokens per second", .unit = report::kTokensPerSecond, .attempts = speed});
  Section& attempt = page.section("Last attempt");
  attempt.add(figures_of_attempt(s)).add(times_of_ranks(s)).add(phase_spreads(phase_rows(s)));
  if (std::ranges::any_of(s.bytes_sent, std::identity())) attempt.add(traffic(s));
  page.section("Experts").add(
      tokens_of_experts(totals.expert_tokens.layers, totals.expert_tokens.experts, totals.expert_tokens.tokens));
  add_rows(page.section(std::string(rows_of(s).all)), totals, rows_of(s));
  page.section("Plan and usage").add(definitions("What it took", usage_lines(s))).add(decided);
  return page.html();
}

}  // namespace switchyard
