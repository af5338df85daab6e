#include "jobs/scale/pop.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>

#include "base/text.h"
#include "exchange/placement.h"

namespace switchyard {
namespace {

double sum_over_ranks(const PointRecord& record, double RankTimes::*seconds) {
  return std::accumulate(record.ranks.begin(), record.ranks.end(), 0.0,
                         [&](double sum, const RankTimes& rank) { return sum + rank.*seconds; });
}

int64_t sum_of(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

/// The rank that the others wait for: it computes longest.
int slowest_rank(const PointRecord& record) {
  return static_cast<int>(std::ranges::max_element(record.ranks, {}, &RankTimes::useful) - record.ranks.begin());
}

std::string named_experts(const std::vector<HotExpert>& experts) {
  std::vector<std::string> names;
  for (const HotExpert& e : experts)
    names.push_back(fmt::format("expert {} of layer {} ({:.1f} times the mean)", e.expert, e.layer, e.times_mean));
  return fmt::format("{}", fmt::join(names, " and "));
}

/// The ranks that share experts with this one.
std::span<const RankTimes> group_of(const PointRecord& record, int rank) {
  const auto first = static_cast<size_t>(rank - rank % record.ep), count = static_cast<size_t>(record.ep);
  return std::span(record.ranks).subspan(first, count);
}

double tokens_of(std::span<const RankTimes> ranks) {
  return static_cast<double>(std::accumulate(ranks.begin(), ranks.end(), int64_t{0},
                                             [](int64_t sum, const RankTimes& rank) { return sum + rank.tokens; }));
}

/// A group's tokens over the mean of all groups.
double group_share(const PointRecord& record, int rank) {
  const double all = tokens_of(record.ranks);
  return all > 0 ? tokens_of(group_of(record, rank)) * record.num_ranks() / record.ep / all : 1;
}

/// What a rank has to do over the mean of its group: the larger one of its tokens and of those of its experts.
double share_in_group(const PointRecord& record, int rank) {
  const ExpertPlacement placement = ExpertPlacement::blocks(record.num_experts(), record.ep);
  double mine = 0, all = 0;
  for (const auto& layer : record.tokens_per_expert) {
    all += static_cast<double>(sum_of(layer)) / record.ep;
    for (const int expert : placement.experts_of(rank % record.ep))
      mine += static_cast<double>(layer[static_cast<size_t>(expert)]);
  }
  const double of_experts = all > 0 ? mine / all : 1, of_group = tokens_of(group_of(record, rank));
  const double of_tokens =
      of_group > 0 ? static_cast<double>(record.ranks[static_cast<size_t>(rank)].tokens) * record.ep / of_group : 1;
  return std::max(of_experts, of_tokens);
}

double mean_useful(std::span<const RankTimes> ranks) {
  return std::accumulate(ranks.begin(), ranks.end(), 0.0,
                         [](double sum, const RankTimes& rank) { return sum + rank.useful; }) /
         static_cast<double>(ranks.size());
}

/// Ranks whose groups have no token of the whole run: "ranks 2, 3".
std::string idle_ranks(const PointRecord& record) {
  std::vector<int> idle;
  for (int rank = 0; rank < record.num_ranks(); ++rank)
    if (tokens_of(group_of(record, rank)) == 0) idle.push_back(rank);
  if (idle.empty()) return {};
  return fmt::format("rank{} {}", idle.size() > 1 ? "s" : "", fmt::join(idle, ", "));
}

/// Why the ranks do not compute equally long, the causes that are seen.
void explain_imbalance(const PointRecord& record, std::vector<std::string>& notes) {
  constexpr double kHot = 1.25, kSlow = 1.15, kMore = 1.05;
  const int slow = slowest_rank(record);
  const RankTimes& rank = record.ranks[static_cast<size_t>(slow)];
  const double times_mean = rank.useful / mean_useful(record.ranks), of_group = group_share(record, slow);
  const auto percent = [](double times) { return 100 * (times - 1); };
  if (times_mean / std::max(1e-9, of_group * share_in_group(record, slow)) > kSlow) {
    notes.push_back(
        fmt::format("rank {} on {} computes {:.0f} % longer than the mean, and not because it has more to do: look at "
                    "that node (clock, neighbours, binding)",
                    slow, rank.host, percent(times_mean)));
    return;
  }
  const char* const finer = record.job == "train" ? "more records a step (--step-records)"
                                                  : "more chunks, of fewer records (--chunk-records),";
  if (const std::string idle = idle_ranks(record); !idle.empty())
    notes.push_back(fmt::format("{} had nothing to compute: {} give every rank some", idle, finer));
  else if (of_group > kMore && record.ep > 1)
    notes.push_back(
        fmt::format("the group of rank {} has {:.0f} % more tokens than the mean of all groups: {} even that out", slow,
                    percent(of_group), finer));
  const double in_group = rank.useful / mean_useful(group_of(record, slow));
  const std::vector<HotExpert> hot =
      record.ep > 1 && record.num_experts() > 0 ? hottest_experts(record, slow, 2) : std::vector<HotExpert>();
  if (in_group > kMore && !hot.empty() && hot.front().times_mean > kHot)
    notes.push_back(
        fmt::format("the exchange waits for rank {}, which computes {:.0f} % longer than the mean of its group: it "
                    "hosts {}; fewer ranks a group (--ep) even that out",
                    slow, percent(in_group), named_experts(hot)));
  if (notes.empty())
    notes.push_back(fmt::format("rank {} on {} has {:.0f} % more to compute than the mean: {} even that out", slow,
                                rank.host, percent(times_mean), finer));
}

}  // namespace

PopFactors pop_factors(const PointRecord& record) {
  const double runtime = record.work(), ranks = record.num_ranks();
  const double useful = sum_over_ranks(record, &RankTimes::useful),
               most = std::ranges::max(record.ranks, {}, &RankTimes::useful).useful;
  if (runtime <= 0 || most <= 0) return {};
  PopFactors factors{.load_balance = useful / ranks / most, .communication_efficiency = most / runtime};
  const double all = sum_over_ranks(record, &RankTimes::work);
  factors.useful = useful / all;
  factors.wait = sum_over_ranks(record, &RankTimes::wait) / all;
  factors.transfer = sum_over_ranks(record, &RankTimes::transfer) / all;
  factors.overhead = sum_over_ranks(record, &RankTimes::overhead) / all;
  factors.other = 1 - factors.useful - factors.wait - factors.transfer - factors.overhead;
  return factors;
}

RoutingShares routing_shares(const PointRecord& record) {
  RoutingShares shares;
  if (record.num_experts() == 0) return shares;
  const ExpertPlacement placement = ExpertPlacement::blocks(record.num_experts(), record.ep);
  shares.experts_per_rank = placement.max_count();
  shares.expected_remote = 1 - 1.0 / record.ep;
  double assignments = 0, remote = 0;
  for (const RankTimes& rank : record.ranks) {
    assignments += static_cast<double>(rank.assignments);
    remote += static_cast<double>(rank.remote_assignments);
  }
  shares.remote = assignments > 0 ? remote / assignments : 0;
  double tokens = 0, layers = 0;
  for (size_t l = 0; l < record.tokens_per_expert.size(); ++l) {
    const std::vector<int64_t>& layer = record.tokens_per_expert[l];
    const auto total = static_cast<double>(sum_of(layer));
    if (total == 0) {
      shares.layer_imbalance.push_back(1);
      continue;
    }
    tokens += total, ++layers;
    const double imbalance = static_cast<double>(std::ranges::max(layer)) * record.num_experts() / total;
    if (imbalance > shares.expert_imbalance || shares.worst_layer < 0) {
      shares.expert_imbalance = imbalance;
      shares.worst_layer = static_cast<int>(l);
    }
    double busiest = 0;
    for (int rank = 0; rank < record.ep; ++rank) {
      double hosted = 0;
      for (const int expert : placement.experts_of(rank))
        hosted += static_cast<double>(layer[static_cast<size_t>(expert)]);
      busiest = std::max(busiest, hosted);
    }
    shares.layer_imbalance.push_back(busiest * record.ep / total);
  }
  shares.tokens_per_expert = layers > 0 ? tokens / layers / record.num_experts() : 0;
  return shares;
}

std::vector<HotExpert> hottest_experts(const PointRecord& record, int rank, size_t count) {
  std::vector<HotExpert> experts;
  const ExpertPlacement placement = ExpertPlacement::blocks(record.num_experts(), record.ep);
  for (size_t l = 0; l < record.tokens_per_expert.size(); ++l) {
    const std::vector<int64_t>& layer = record.tokens_per_expert[l];
    const auto total = static_cast<double>(sum_of(layer));
    if (total == 0) continue;
    for (const int expert : placement.experts_of(rank % record.ep))
      experts.push_back({static_cast<int>(l), expert,
                         static_cast<double>(layer[static_cast<size_t>(expert)]) * record.num_experts() / total});
  }
  count = std::min(count, experts.size());
  std::ranges::partial_sort(experts, experts.begin() + static_cast<std::ptrdiff_t>(count), std::greater{},
                            &HotExpert::times_mean);
  experts.resize(count);
  return experts;
}

std::vector<std::string> scaling_advice(const PointRecord& record, const PointRecord& base) {
  constexpr double kGood = 0.8, kMuch = 0.1;
  std::vector<std::string> notes;
  const PopFactors pop = pop_factors(record);
  if (record.shares_cores())
    notes.push_back(
        fmt::format("ranks share cores ({} threads a rank): the times are no measure; use fewer --threads or ranks",
                    record.threads));
  if (pop.load_balance < 0.95 && record.num_ranks() > 1) explain_imbalance(record, notes);
  if (pop.transfer > kMuch)
    notes.push_back(
        fmt::format("{:.0f} % of the ranks' time is rows under way: fewer ranks a group (--ep), larger "
                    "--batch-tokens, or a faster network",
                    100 * pop.transfer));
  if (pop.wait > kMuch && pop.load_balance >= 0.95)
    notes.push_back(
        fmt::format("{:.0f} % of the ranks' time is waiting for ranks that come late, though all compute as long: "
                    "their times differ from step to step",
                    100 * pop.wait));
  if (pop.overhead > kMuch)
    notes.push_back(
        fmt::format("{:.0f} % of the time is reading and writing: larger chunks (--chunk-records), rarer "
                    "checkpoints (--save-steps), or a faster file system",
                    100 * pop.overhead));
  const double outside = record.load() + record.finish();
  if (outside > record.work())
    notes.push_back(
        fmt::format("loading and finishing take {}, the work {}: longer runs, or fewer ranks, use the nodes better",
                    duration_text(outside), duration_text(record.work())));
  if (notes.empty() && pop.parallel_efficiency() >= kGood)
    notes.push_back(fmt::format("nothing holds it back: parallel efficiency {:.2f} (POP takes 0.8 as good)",
                                pop.parallel_efficiency()));
  if (&record != &base && base.num_ranks() < record.num_ranks() && !record.shares_cores()) {
    const double rate = static_cast<double>(record.tokens()) / record.work() / record.num_ranks();
    const double alone = static_cast<double>(base.tokens()) / base.work() / base.num_ranks();
    if (pop.parallel_efficiency() >= 0.9 && rate < 0.8 * alone)
      notes.push_back(
          fmt::format("the ranks compute all the time and yet each is {:.0f} % slower than with {} ranks: smaller "
                      "batches an expert, or shared memory bandwidth and clock",
                      100 * (1 - rate / alone), base.num_ranks()));
  }
  return notes;
}

}  // namespace switchyard
