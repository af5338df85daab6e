#include "jobs/plan/plan_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "jobs/records/csv.h"
#include "report/document.h"
#include "report/table.h"

namespace switchyard {
namespace {

template <class Value>
const PlanTable::Row* least(const PlanTable& table, const Value& value) {
  const PlanTable::Row* best = nullptr;
  bool best_keeps = false;
  for (const PlanTable::Row& row : table.rows) {
    if (!row.is_possible()) continue;
    const bool keeps = table.keeps_deadline(row);
    if (best == nullptr || (keeps && !best_keeps) ||
        (keeps == best_keeps && value(*row.prediction) < value(*best->prediction))) {
      best = &row;
      best_keeps = keeps;
    }
  }
  return best;
}

std::string name_of_row(const PlanTable& table, const PlanTable::Row& row) {
  return fmt::format("{} node{}{}{}", row.nodes, row.nodes > 1 ? "s" : "", table.over.empty() ? "" : ", ",
                     table.varied(row));
}

/// Of all rows, each once.
std::vector<std::string> notes_of(const PlanTable& table) {
  std::vector<std::string> notes = table.notes;
  for (const PlanTable::Row& row : table.rows)
    if (row.is_possible())
      for (const std::string& note : row.prediction->notes)
        if (std::ranges::find(notes, note) == notes.end()) notes.push_back(note);
  return notes;
}

std::vector<std::string> recommendations(const PlanTable& table) {
  std::vector<std::string> lines;
  const auto say = [&](std::string_view what, const PlanTable::Row* row) {
    if (row == nullptr) return;
    const Prediction& p = *row->prediction;
    lines.push_back(fmt::format("{}: {}, {}, {:.3g} node-hours{}; what limits it is {}{}", what,
                                name_of_row(table, *row), duration_text(p.seconds()), p.node_hours(),
                                p.on_gpus ? fmt::format(", {:.3g} GPU-hours", p.gpu_hours()) : "", p.limit(),
                                table.keeps_deadline(*row) ? "" : "; NONE keeps the deadline"));
  };
  say("cheapest", table.cheapest());
  say("fastest", table.fastest());
  return lines;
}

report::Table table_of(const PlanTable& table) {
  report::Table shown{.title = "Layouts",
                      .columns = {{"nodes", report::kCount},
                                  {table.over.empty() ? "ranks" : "varied", std::nullopt},
                                  {"experts over", report::kCount},
                                  {"dtype", std::nullopt},
                                  {"memory of a rank", report::kBytes},
                                  {"rate", report::kTokensPerSecond},
                                  {"exchange", report::kShare},
                                  {"time", report::kSeconds},
                                  {"node-hours", report::kNumber},
                                  {"GPU-hours", report::kNumber},
                                  {"limit", std::nullopt}}};
  for (const PlanTable::Row& row : table.rows) {
    if (!row.is_possible()) {
      shown.rows.push_back(
          {static_cast<double>(row.nodes), table.varied(row), NAN, "", NAN, NAN, NAN, NAN, NAN, NAN, row.refusal});
      continue;
    }
    const Prediction& p = *row.prediction;
    shown.rows.push_back({static_cast<double>(p.nodes),
                          table.over.empty() ? std::to_string(p.ranks) : table.varied(row), static_cast<double>(p.ep),
                          std::string(name_of(p.operand)), static_cast<double>(p.memory), p.tokens_per_second(),
                          p.exchange_share, p.seconds(), p.node_hours(), p.on_gpus ? p.gpu_hours() : NAN, p.limit()});
  }
  return shown;
}

}  // namespace

std::string PlanTable::varied(const Row& row) const {
  std::string text;
  for (size_t i = 0; i < over.size(); ++i)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", over[i], row.values[i]);
  return text;
}

const PlanTable::Row* PlanTable::cheapest() const {
  return least(*this, [](const Prediction& p) { return p.node_hours(); });
}

const PlanTable::Row* PlanTable::fastest() const {
  return least(*this, [](const Prediction& p) { return p.seconds(); });
}

std::string table_text(const PlanTable& table) {
  std::string text =
      fmt::format("{} on nodes as {} has them: {}\n\n", table.job, table.profile, describe(table.machine));
  text += fmt::format("{:>6} {:>6} {:>4} {:>5} {:>12} {:>10} {:>9} {:>10} {:>11}  {}\n", "nodes", "ranks", "ep",
                      "dtype", "memory/rank", "tok/s", "exchange", "time", "node-hours", "limit");
  for (const PlanTable::Row& row : table.rows) {
    const std::string value = table.over.empty() ? "" : fmt::format("  [{}]", table.varied(row));
    if (!row.is_possible()) {
      text += fmt::format("{:>6}  impossible{}: {}\n", row.nodes, value, row.refusal);
      continue;
    }
    const Prediction& p = *row.prediction;
    text += fmt::format("{:>6} {:>6} {:>4} {:>5} {:>12} {:>10} {:>7.1f} % {:>10} {:>11.4g}  {}{}\n", p.nodes, p.ranks,
                        p.ep, name_of(p.operand), bytes_text(p.memory), rate_text(p.tokens_per_second()),
                        100 * p.exchange_share, duration_text(p.seconds()), p.node_hours(), p.limit(), value);
  }
  text += '\n';
  for (const std::string& line : recommendations(table)) text += line + '\n';
  for (const std::string& note : notes_of(table)) text += "note: " + note + '\n';
  if (!table.costs.empty()) {
    text += fmt::format("\na year, in {}:\n", table.workload->currency);
    for (const CostRow& row : table.costs)
      text += fmt::format(
          "{:>12} {:>8}: {:>12.2f}{}\n", row.where, row.what, row.cost,
          row.hours > 0 ? fmt::format(" for {:.4g} hours", row.hours) : fmt::format(" for {:.4g} tokens", row.tokens));
  }
  return text;
}

std::string plan_csv(const PlanTable& table) {
  std::string csv =
      "nodes,over,ranks,ep,dtype,memory_bytes,tokens_per_second,exchange_share,load,work,finish,seconds,node_hours,"
      "gpu_hours,limit,refusal\n";
  for (const PlanTable::Row& row : table.rows) {
    const std::string over = table.varied(row);
    if (!row.is_possible()) {
      csv += fmt::format("{},{},,,,,,,,,,,,,,{}\n", row.nodes, csv_field(over), csv_field(row.refusal));
      continue;
    }
    const Prediction& p = *row.prediction;
    csv +=
        fmt::format("{},{},{},{},{},{},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{},\n", p.nodes,
                    csv_field(over), p.ranks, p.ep, name_of(p.operand), p.memory, p.tokens_per_second(),
                    p.exchange_share, p.load, p.work, p.finish, p.seconds(), p.node_hours(), p.gpu_hours(), p.limit());
  }
  if (!table.costs.empty()) csv += '\n' + costs_csv(*table.workload, table.costs);
  return csv;
}

std::string plan_page(const PlanTable& table) {
  report::Document page("switchyard plan", fmt::format("{} on nodes of {}", table.job, describe(table.machine)));
  report::Section& results = page.section("Plan");
  results.add(report::Note{.text = "Predicted from " + table.profile + ", not measured."});
  for (const std::string& line : recommendations(table)) results.add(report::Note{.text = line});
  for (const std::string& note : notes_of(table)) results.add(report::Note{report::Note::Kind::warning, note});
  results.add(table_of(table));
  if (!table.costs.empty()) {
    report::Table costs{.title = "A year's costs",
                        .columns = {{"where", std::nullopt},
                                    {"what", std::nullopt},
                                    {"hours", report::kNumber},
                                    {"tokens", report::kNumber},
                                    {table.workload->currency, report::kNumber}}};
    for (const CostRow& row : table.costs)
      costs.rows.push_back(
          {row.where, row.what, row.hours > 0 ? row.hours : NAN, row.tokens > 0 ? row.tokens : NAN, row.cost});
    page.section("Costs").add(costs);
  }
  return page.html();
}

Json to_json(const PlanTable& table) {
  Json rows = Json::array();
  for (const PlanTable::Row& row : table.rows) {
    Json json = row.is_possible() ? to_json(*row.prediction) : Json{{"nodes", row.nodes}, {"refusal", row.refusal}};
    for (size_t i = 0; i < table.over.size(); ++i)
      if (!json.contains(table.over[i])) json[table.over[i]] = row.values[i];
    rows.push_back(std::move(json));
  }
  Json json{{"job", table.job}, {"profile", table.profile}, {"notes", notes_of(table)}, {"layouts", std::move(rows)}};
  if (table.deadline) json["deadline"] = *table.deadline;
  const auto name_best = [&](const char* name, const PlanTable::Row* row) {
    if (row == nullptr) return;
    json[name] = {{"layout", row - table.rows.data()}, {"keeps_deadline", table.keeps_deadline(*row)}};
  };
  name_best("cheapest", table.cheapest());
  name_best("fastest", table.fastest());
  for (const CostRow& row : table.costs)
    json["costs"].push_back({{"where", row.where},
                             {"what", row.what},
                             {"hours", row.hours},
                             {"tokens", row.tokens},
                             {"cost", row.cost},
                             {"currency", table.workload->currency}});
  return json;
}

}  // namespace switchyard
