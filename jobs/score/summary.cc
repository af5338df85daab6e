#include "jobs/score/summary.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <set>
#include <string_view>

#include "base/text.h"
#include "run/lease.h"

namespace switchyard {
namespace {

struct Phase {
  std::string_view name;
  double PhaseSeconds::*seconds;
};
constexpr std::array<Phase, 12> kPhases = {{{"load", &PhaseSeconds::load},
                                            {"read input", &PhaseSeconds::read},
                                            {"decoder", &PhaseSeconds::decode},
                                            {"  exchange wait", &PhaseSeconds::exchange_wait},
                                            {"  exchange transfer", &PhaseSeconds::exchange_transfer},
                                            {"vocabulary", &PhaseSeconds::head},
                                            {"gather", &PhaseSeconds::gather},
                                            {"write shards", &PhaseSeconds::write},
                                            {"agree (step skew)", &PhaseSeconds::agree},
                                            {"wait for the others", &PhaseSeconds::wait},
                                            {"merge", &PhaseSeconds::merge},
                                            {"total", &PhaseSeconds::total}}};
static_assert(sizeof(PhaseSeconds) == kPhases.size() * sizeof(double), "every phase has a row");

double sum_of(const RunSummary& s, double PhaseSeconds::*phase) {
  return std::accumulate(s.phases.begin(), s.phases.end(), 0.0,
                         [&](double sum, const PhaseSeconds& p) { return sum + p.*phase; });
}

/// Largest over mean; 1 when there is nothing.
template <class T>
double imbalance_of(const std::vector<T>& values) {
  const double total = std::accumulate(values.begin(), values.end(), 0.0);
  if (total <= 0) return 1;
  return static_cast<double>(*std::max_element(values.begin(), values.end())) * static_cast<double>(values.size()) /
         total;
}

double elapsed_seconds(const RunSummary& s) {
  double longest = 0;
  for (const PhaseSeconds& phases : s.phases) longest = std::max(longest, phases.total);
  return longest;
}

/// Of a rank, on average, for the others.
double waiting_seconds(const RunSummary& s) {
  const double sum =
      sum_of(s, &PhaseSeconds::exchange_wait) + sum_of(s, &PhaseSeconds::agree) + sum_of(s, &PhaseSeconds::wait);
  return sum / static_cast<double>(s.phases.size());
}

double node_hours(const RunSummary& s) {
  return s.usage.nodes * elapsed_seconds(s) / 3600;
}

uint64_t peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

/// Of the whole allocation, which is paid for, also where no rank is; without Slurm those that ranks are on.
/// Collective.
int count_nodes(Communicator& world) {
  const std::vector<std::string> hosts = world.all_gather_strings(LeaseHolder::self().host);
  for (const char* name : {"SLURM_JOB_NUM_NODES", "SLURM_NNODES"})
    if (const char* value = std::getenv(name))
      if (const int nodes = std::atoi(value); nodes > 0) return nodes;
  return static_cast<int>(std::set<std::string>(hosts.begin(), hosts.end()).size());
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char ch : text) {
    switch (ch) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      default:
        out += ch;
    }
  }
  return out;
}

}  // namespace

RunSummary gather_summary(Communicator& world, const PhaseSeconds& mine, int64_t tokens,
                          const std::vector<int64_t>& expert_rows) {
  RunSummary summary;
  const auto ranks = static_cast<size_t>(world.size());
  constexpr auto kFields = static_cast<int64_t>(kPhases.size());
  summary.phases.resize(ranks);
  world.all_gather({&mine, {1, kFields}, DType::f64}, {summary.phases.data(), {world.size(), kFields}, DType::f64});
  summary.rank_tokens.resize(ranks);
  world.all_gather({&tokens, {1}, DType::i64}, {summary.rank_tokens.data(), {world.size()}, DType::i64});
  summary.expert_rows = expert_rows;
  world.all_reduce({summary.expert_rows.data(), {static_cast<int64_t>(expert_rows.size())}, DType::i64}, ReduceOp::sum);
  summary.usage.nodes = count_nodes(world);
  summary.usage.peak_memory =
      static_cast<uint64_t>(world.all_reduce_one(static_cast<int64_t>(peak_resident_bytes()), ReduceOp::max));
  return summary;
}

double exchange_share(const RunSummary& s) {
  const double computing = sum_of(s, &PhaseSeconds::decode) + sum_of(s, &PhaseSeconds::head);
  const double moving = sum_of(s, &PhaseSeconds::exchange_wait) + sum_of(s, &PhaseSeconds::exchange_transfer);
  return computing > 0 ? moving / computing : 0;
}

std::vector<std::string> phase_table(const RunSummary& s) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{:<22}{:>10}{:>10}{:>10}{:>8}", "phase (seconds)", "min", "avg", "max", "share"));
  const auto ranks = static_cast<double>(s.phases.size());
  const double total = sum_of(s, &PhaseSeconds::total) / ranks;
  for (const Phase& phase : kPhases) {
    const auto [low, high] = std::minmax_element(
        s.phases.begin(), s.phases.end(),
        [&](const PhaseSeconds& a, const PhaseSeconds& b) { return a.*phase.seconds < b.*phase.seconds; });
    const double average = sum_of(s, phase.seconds) / ranks;
    lines.push_back(fmt::format("{:<22}{:>10.2f}{:>10.2f}{:>10.2f}{:>7.1f}%", phase.name, (*low).*phase.seconds,
                                average, (*high).*phase.seconds, total > 0 ? 100 * average / total : 0));
  }
  return lines;
}

std::vector<std::string> usage_lines(const RunSummary& s) {
  const double elapsed = elapsed_seconds(s);
  std::vector<std::string> lines;
  lines.push_back(
      fmt::format("this attempt: {} elapsed, of it {} waiting for other ranks; {:.2f} node-hours on {} node{}",
                  duration_text(elapsed), duration_text(waiting_seconds(s)), node_hours(s), s.usage.nodes,
                  s.usage.nodes == 1 ? "" : "s"));
  lines.push_back(fmt::format("memory: at most {} in a rank", bytes_text(s.usage.peak_memory)));
  lines.push_back(fmt::format("the run: {} attempt{} in {}", s.usage.attempts, s.usage.attempts == 1 ? "" : "s",
                              duration_text(std::max(elapsed, s.usage.run_seconds))));
  if (s.usage.lost.items > 0)
    lines.push_back(
        fmt::format("computed in vain: {} records of {} chunks, dropped or lost with an attempt, as far as is noted",
                    s.usage.lost.items, s.usage.lost.units));
  return lines;
}

std::vector<std::string> advice(const RunSummary& s) {
  std::vector<std::string> notes;
  const double total = std::max(1e-9, sum_of(s, &PhaseSeconds::total));
  if (s.threads_total > s.cores)
    notes.push_back(
        fmt::format("this host runs {} threads on {} cores: use fewer --threads or ranks", s.threads_total, s.cores));
  if (exchange_share(s) > 0.25)
    notes.push_back(
        fmt::format("{:.0f}% of computing time went into the exchange: fewer ranks per group (--ep), larger "
                    "--batch-tokens, or a faster network",
                    100 * exchange_share(s)));
  if (imbalance_of(s.rank_tokens) > 1.2)
    notes.push_back(fmt::format(
        "the busiest rank had {:.2f} times the mean tokens: more records per chunk (--chunk-records) even it out",
        imbalance_of(s.rank_tokens)));
  if (sum_of(s, &PhaseSeconds::wait) > 0.1 * total)
    notes.push_back(
        "ranks waited for the last group at the end: more, smaller chunks (--chunk-records) end closer together");
  if (sum_of(s, &PhaseSeconds::load) > 0.5 * total)
    notes.push_back("loading the model took most of the time: score more records per run");
  if (s.resumed_chunks > 0)
    notes.push_back(fmt::format("{} of {} chunks were there from earlier attempts", s.resumed_chunks, s.chunks));
  return notes;
}

Json summary_json(const RunSummary& s) {
  const auto tokens = static_cast<double>(std::accumulate(s.rank_tokens.begin(), s.rank_tokens.end(), int64_t{0}));
  Json json;
  json["records"] = s.records;
  json["rejects"] = s.rejects;
  json["scored_tokens"] = s.scored_tokens;
  json["logprob"] = s.logprob;
  json["bits_per_token"] =
      s.scored_tokens > 0 ? -s.logprob / std::log(2.0) / static_cast<double>(s.scored_tokens) : 0.0;
  json["ranks"] = s.phases.size();
  json["computed_tokens"] = static_cast<int64_t>(tokens);
  json["scoring_seconds"] = s.scoring_seconds;
  json["tokens_per_second"] = s.scoring_seconds > 0 ? tokens / s.scoring_seconds : 0.0;
  json["exchange_share"] = exchange_share(s);
  json["expert_imbalance"] = imbalance_of(s.expert_rows);
  json["elapsed_seconds"] = elapsed_seconds(s);
  json["waiting_seconds"] = waiting_seconds(s);
  json["nodes"] = s.usage.nodes;
  json["node_hours"] = node_hours(s);
  json["peak_memory_bytes"] = s.usage.peak_memory;
  json["attempts"] = s.usage.attempts;
  json["run_seconds"] = std::max(elapsed_seconds(s), s.usage.run_seconds);
  json["lost_records"] = s.usage.lost.items;
  json["lost_chunks"] = s.usage.lost.units;
  return json;
}

std::string report_html(const std::string& title, const std::vector<std::string>& plan, const RunSummary& s) {
  const auto block = [](const std::vector<std::string>& lines) {
    return escaped(fmt::format("{}", fmt::join(lines, "\n")));
  };
  const auto notes = advice(s);
  const Json facts = summary_json(s);
  std::string numbers;
  for (const auto& [key, value] : facts.items())
    numbers += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", escaped(key), escaped(value.dump()));
  return fmt::format(R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{0}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}}
table{{border-collapse:collapse}}th{{text-align:left;font-weight:500}}td{{text-align:right}}th,td{{padding:.15em 1em;border-bottom:1px solid #ddd}}
pre{{background:#f6f6f4;padding:1em;overflow:auto}}</style></head><body>
<h1>{0}</h1>
<h2>Results</h2><table>
{1}</table>
<h2>Plan</h2><pre>{2}</pre>
<h2>Time of the last attempt</h2><pre>{3}</pre>
<h2>What it took</h2><pre>{4}</pre>
<h2>Notes</h2><pre>{5}</pre>
</body></html>
)",
                     escaped(title), numbers, block(plan), block(phase_table(s)), block(usage_lines(s)),
                     notes.empty() ? "none" : block(notes));
}

}  // namespace switchyard
