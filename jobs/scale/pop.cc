#include "jobs/scale/pop.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

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

/// A rank's useful seconds over the mean, as far as neither its tokens nor those of its experts explain them.
double slowness(const PointRecord& record, int rank) {
  const double mean = sum_over_ranks(record, &RankTimes::useful) / record.num_ranks();
  const ExpertPlacement placement = ExpertPlacement::blocks(record.num_experts(), record.ep);
  double mine = 0, all = 0;
  for (const auto& layer : record.tokens_per_expert) {
    all += static_cast<double>(sum_of(layer)) / record.ep;
    for (const int expert : placement.experts_of(rank % record.ep))
      mine += static_cast<double>(layer[static_cast<size_t>(expert)]);
  }
  const RankTimes& of_rank = record.ranks[static_cast<size_t>(rank)];
  const double of_experts = all > 0 ? mine / all : 1;
  const double of_tokens = static_cast<double>(of_rank.tokens * record.num_ranks()) /
                           static_cast<double>(std::max<int64_t>(1, record.tokens()));
  return of_rank.useful / mean / std::max({of_experts, of_tokens, 1e-9});
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
  constexpr double kGood = 0.8, kMuch = 0.1, kHot = 1.25, kSlow = 1.15;
  std::vector<std::string> notes;
  const PopFactors pop = pop_factors(record);
  if (record.shares_cores())
    notes.push_back(
        fmt::format("ranks share cores ({} threads a rank): the times are no measure; use fewer --threads or ranks",
                    record.threads));
  if (pop.load_balance < 0.95 && record.num_ranks() > 1) {
    const int slow = slowest_rank(record);
    const RankTimes& rank = record.ranks[static_cast<size_t>(slow)];
    const double excess = 100 * (1 / pop.load_balance - 1);
    const std::vector<HotExpert> hot =
        record.ep > 1 && record.num_experts() > 0 ? hottest_experts(record, slow, 2) : std::vector<HotExpert>();
    if (slowness(record, slow) > kSlow)
      notes.push_back(fmt::format(
          "rank {} on {} computes {:.0f} % longer than the mean, and not because it has more to do: look at "
          "that node (clock, neighbours, binding)",
          slow, rank.host, excess));
    else if (!hot.empty() && hot.front().times_mean > kHot)
      notes.push_back(fmt::format(
          "the exchange waits for rank {}, which computes {:.0f} % longer than the mean: it hosts {}; fewer "
          "ranks a group (--ep) even that out",
          slow, excess, named_experts(hot)));
    else
      notes.push_back(
          fmt::format("rank {} on {} has {:.0f} % more to compute than the mean: more records a chunk or a step even "
                      "that out",
                      slow, rank.host, excess));
  }
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
  if (&record != &base && base.num_ranks() < record.num_ranks()) {
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
