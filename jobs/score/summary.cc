#include "jobs/score/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <set>
#include <string_view>

#include "base/text.h"
#include "jobs/records/rank_times.h"
#include "run/lease.h"

namespace switchyard {
namespace {

constexpr std::array<Phase, 12> kPhases = {{{"load", &PhaseSeconds::load},
                                            {"read input", &PhaseSeconds::read},
                                            {"decoder", &PhaseSeconds::decode},
                                            {"exchange wait", &PhaseSeconds::exchange_wait, true},
                                            {"exchange transfer", &PhaseSeconds::exchange_transfer, true},
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

double exchange_share(const RunSummary& s) {
  const double computing = sum_of(s, &PhaseSeconds::decode) + sum_of(s, &PhaseSeconds::head);
  const double moving = sum_of(s, &PhaseSeconds::exchange_wait) + sum_of(s, &PhaseSeconds::exchange_transfer);
  return computing > 0 ? moving / computing : 0;
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

}  // namespace

RunSummary gather_summary(Communicator& world, const PhaseSeconds& mine, int64_t tokens,
                          const std::vector<int64_t>& expert_rows, const std::vector<int64_t>& bytes_to) {
  RunSummary summary;
  const auto ranks = static_cast<size_t>(world.size());
  constexpr auto kFields = static_cast<int64_t>(kPhases.size());
  summary.phases.resize(ranks);
  world.all_gather({&mine, {1, kFields}, DType::f64}, {summary.phases.data(), {world.size(), kFields}, DType::f64});
  summary.rank_tokens.resize(ranks);
  world.all_gather({&tokens, {1}, DType::i64}, {summary.rank_tokens.data(), {world.size()}, DType::i64});
  summary.expert_rows = expert_rows;
  world.all_reduce({summary.expert_rows.data(), {static_cast<int64_t>(expert_rows.size())}, DType::i64}, ReduceOp::sum);
  const auto group = static_cast<int64_t>(bytes_to.size());
  summary.bytes_sent.resize(ranks * bytes_to.size());
  world.all_gather({bytes_to.data(), {1, group}, DType::i64},
                   {summary.bytes_sent.data(), {world.size(), group}, DType::i64});
  summary.usage.nodes = count_nodes(world);
  summary.usage.peak_memory = static_cast<uint64_t>(world.all_reduce_one(peak_resident_bytes(), ReduceOp::max));
  return summary;
}

std::span<const Phase> phases() {
  return kPhases;
}

std::vector<PhaseRow> phase_rows(const RunSummary& s) {
  const auto of_ranks = [&](double PhaseSeconds::*phase) {
    std::vector<double> seconds;
    for (const PhaseSeconds& rank : s.phases) seconds.push_back(rank.*phase);
    return seconds;
  };
  const std::vector<double> totals = of_ranks(&PhaseSeconds::total);
  std::vector<PhaseRow> rows;
  for (const Phase& phase : kPhases)
    rows.push_back({std::string(phase.name), phase.within_decoder, spread_over_ranks(of_ranks(phase.seconds), totals)});
  return rows;
}

KeyFigures key_figures(const RunSummary& s) {
  const int64_t tokens = std::accumulate(s.rank_tokens.begin(), s.rank_tokens.end(), int64_t{0});
  const double elapsed = elapsed_seconds(s);
  return {
      .bits_per_token = s.scored_tokens > 0 ? -s.logprob / std::log(2.0) / static_cast<double>(s.scored_tokens) : 0.0,
      .computed_tokens = tokens,
      .tokens_per_second = s.scoring_seconds > 0 ? static_cast<double>(tokens) / s.scoring_seconds : 0.0,
      .exchange_share = exchange_share(s),
      .expert_imbalance = imbalance_of(s.expert_rows),
      .elapsed_seconds = elapsed,
      .waiting_seconds = waiting_seconds(s),
      .node_hours = s.usage.nodes * elapsed / 3600,
      .run_seconds = std::max(elapsed, s.usage.run_seconds)};
}

std::vector<std::string> usage_lines(const RunSummary& s) {
  const KeyFigures figures = key_figures(s);
  std::vector<std::string> lines;
  lines.push_back(
      fmt::format("this attempt: {} elapsed, of it {} waiting for other ranks; {:.2f} node-hours on {} node{}",
                  duration_text(figures.elapsed_seconds), duration_text(figures.waiting_seconds), figures.node_hours,
                  s.usage.nodes, s.usage.nodes == 1 ? "" : "s"));
  lines.push_back(fmt::format("memory: at most {} in a rank", bytes_text(s.usage.peak_memory)));
  lines.push_back(fmt::format("the run: {} attempt{} in {}", s.usage.attempts, s.usage.attempts == 1 ? "" : "s",
                              duration_text(figures.run_seconds)));
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
  const KeyFigures figures = key_figures(s);
  Json json;
  json[s.joined ? "documents" : "records"] = s.records;
  json["rejects"] = s.rejects;
  json["scored_tokens"] = s.scored_tokens;
  json["logprob"] = s.logprob;
  json["bits_per_token"] = figures.bits_per_token;
  json["ranks"] = s.phases.size();
  json["computed_tokens"] = figures.computed_tokens;
  json["scoring_seconds"] = s.scoring_seconds;
  json["tokens_per_second"] = figures.tokens_per_second;
  json["exchange_share"] = figures.exchange_share;
  json["expert_imbalance"] = figures.expert_imbalance;
  json["elapsed_seconds"] = figures.elapsed_seconds;
  json["waiting_seconds"] = figures.waiting_seconds;
  json["nodes"] = s.usage.nodes;
  json["node_hours"] = figures.node_hours;
  json["peak_memory_bytes"] = s.usage.peak_memory;
  json["attempts"] = s.usage.attempts;
  json["run_seconds"] = figures.run_seconds;
  json["lost_records"] = s.usage.lost.items;
  json["lost_chunks"] = s.usage.lost.units;
  return json;
}

}  // namespace switchyard
