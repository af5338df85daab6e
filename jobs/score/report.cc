#include "jobs/score/report.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/document.h"

namespace switchyard {
namespace {

using report::Section;

/// Lines of "what: how".
report::Definitions definitions(std::string title, const std::vector<std::string>& lines) {
  report::Definitions out{.title = std::move(title)};
  constexpr std::string_view kColon = ": ";
  for (const std::string& line : lines) {
    const size_t at = line.find(kColon);
    if (at == std::string::npos)
      out.entries.emplace_back("", line);
    else
      out.entries.emplace_back(line.substr(0, at), line.substr(at + kColon.size()));
  }
  return out;
}

void add_results(Section& section, const RunSummary& s) {
  const KeyFigures figures = key_figures(s);
  section.add(report::Tiles{{
      {"Records", static_cast<double>(s.records), report::kCount,
       fmt::format("{} rejected", report::text(static_cast<double>(s.rejects), report::kCount))},
      {"Scored tokens", static_cast<double>(s.scored_tokens), report::kCount},
      {"Bits per token", figures.bits_per_token, report::kNumber},
      {"Speed", figures.tokens_per_second, report::kTokensPerSecond},
      {"Time", figures.elapsed_seconds, report::kSeconds,
       fmt::format("{} waiting for other ranks", report::text(figures.waiting_seconds, report::kSeconds))},
      {"Node-hours", figures.node_hours, report::kNumber,
       fmt::format("on {} node{}", s.usage.nodes, s.usage.nodes == 1 ? "" : "s")},
      {"Memory", static_cast<double>(s.usage.peak_memory), report::kBytes, "of the rank with most"},
      {"Exchange", figures.exchange_share, report::kShare, "of computing time"},
  }});
  if (s.rejects > 0)
    section.add(report::Note{report::Note::Kind::warning, "Records were rejected; rejects.jsonl says which, and why."});
  for (const std::string& note : advice(s)) section.add(report::Note{.text = note});
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

report::Table phase_spreads(const RunSummary& s) {
  report::Table table{.title = "Phases over the ranks",
                      .columns = {{"phase", {}},
                                  {"least", report::kSeconds},
                                  {"mean", report::kSeconds},
                                  {"most", report::kSeconds},
                                  {"share", report::kShare}}};
  for (const Phase& phase : phases()) {
    const PhaseSpread spread = spread_of(s, phase);
    table.rows.push_back({fmt::format("{}{}", phase.within_decoder ? "of it " : "", phase.name), spread.least,
                          spread.mean, spread.most, spread.share});
  }
  return table;
}

report::HeatMap tokens_of_experts(const RunSummary& s) {
  return {.title = "Tokens through each expert, all layers",
          .column_name = "expert",
          .unit = report::kTokens,
          .rows = 1,
          .columns = std::ssize(s.expert_rows),
          .values = {s.expert_rows.begin(), s.expert_rows.end()}};
}

}  // namespace

std::string report_html(const std::string& title, const std::vector<std::string>& plan, const RunSummary& s) {
  const report::Definitions decided = definitions("Plan", plan);
  report::Document page(title, decided.entries.empty() ? "" : decided.entries.front().second);
  add_results(page.section("Results"), s);
  page.section("Time of the last attempt").add(times_of_ranks(s)).add(phase_spreads(s));
  page.section("Experts").add(tokens_of_experts(s));
  page.section("Plan and usage").add(definitions("What it took", usage_lines(s))).add(decided);
  return page.html();
}

}  // namespace switchyard
