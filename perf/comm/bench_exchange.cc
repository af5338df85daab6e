// The expert exchange over MPI, with experts that cost nothing, beside MPI_Alltoallv of the same rows:
//
//   mpirun -n RANKS bench_exchange [--tokens N] [--dim D] [--top-k K] [--experts E] [--skew S] [--budget BYTES]
//                                  [--repeats R]
//
// Expert e is chosen in proportion to 1 / (e + 1)^S. The three take turns. Rank 0 prints one JSON line: the setting; of
// the slowest rank bytes (sent to others a call: rows, metadata and results, so repeated slots on a rank count once on
// the way out), seconds (median call), useful, wait and transfer seconds (means). bottleneck_gb_s: the most bytes of
// rows that cross any rank in one direction, there and back, over seconds; of MPI_Alltoallv alone beside it, and how
// the exchange's is to it. times_peer: seconds but for the experts' over those of MPI_Alltoallv with a gather before
// and a scatter behind, the median over turns. goodput_gb_s: a row and a result for every (token, slot) that leaves the
// rank, over seconds. bytes_over_formula: rows and results that are sent over (distinct + k) · d · b of the ranks that
// are not the token's own, for S = 0. GB/s, 10^9.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <set>
#include <string_view>

#include "alltoallv_peer.h"
#include "base/rng.h"
#include "base/stopwatch.h"
#include "comm/mpi_communicator.h"
#include "exchange/exchange.h"
#include "exchange/route_plan.h"
#include "io/json.h"

namespace switchyard {
namespace {

struct Setting {
  int64_t tokens = 4096, dim = 2048, top_k = 4, experts = 128, budget = int64_t{256} << 20, repeats = 10;
  double skew = 0;
};

Setting setting_from(std::span<char*> args) {
  Setting s;
  const std::pair<std::string_view, int64_t*> options[] = {{"--tokens", &s.tokens}, {"--dim", &s.dim},
                                                           {"--top-k", &s.top_k},   {"--experts", &s.experts},
                                                           {"--budget", &s.budget}, {"--repeats", &s.repeats}};
  if (args.size() % 2 != 0) fail(ExitCode::usage, "expected pairs of --option value");
  for (size_t i = 0; i < args.size(); i += 2) {
    const std::string_view name = args[i], value = args[i + 1];
    if (name == "--skew") {
      s.skew = std::atof(args[i + 1]);
      continue;
    }
    const auto* option = std::ranges::find(options, name, &std::pair<std::string_view, int64_t*>::first);
    if (option == std::end(options)) fail(ExitCode::usage, "unknown option {}", name);
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *option->second);
    if (error != std::errc{} || end != value.data() + value.size() || *option->second < 1)
      fail(ExitCode::usage, "{}: expected a positive number, found '{}'", name, value);
  }
  return s;
}

/// k distinct experts a token, by their weights: the largest of log w_e + a Gumbel number each.
std::vector<int32_t> drawn_experts(const Setting& s, int rank) {
  std::vector<int32_t> experts, order(static_cast<size_t>(s.experts));
  std::vector<double> key(order.size());
  for (int64_t t = 0; t < s.tokens; ++t) {
    for (int64_t e = 0; e < s.experts; ++e) {
      const double u = (static_cast<double>(
                            random_bits(static_cast<uint64_t>(rank), static_cast<uint64_t>(t * s.experts + e)) >> 11) +
                        0.5) *
                       0x1p-53;
      key[static_cast<size_t>(e)] = -s.skew * std::log(static_cast<double>(e + 1)) - std::log(-std::log(u));
    }
    std::iota(order.begin(), order.end(), 0);
    std::ranges::partial_sort(order, order.begin() + s.top_k, std::greater{},
                              [&](int32_t e) { return key[static_cast<size_t>(e)]; });
    experts.insert(experts.end(), order.begin(), order.begin() + s.top_k);
  }
  return experts;
}

/// Rows and results of a token that cross ranks, on average, where all experts are chosen alike.
double crossing_rows(const Setting& s, int ranks) {
  const double elsewhere = static_cast<double>(s.experts) / ranks;  // experts of one other rank
  double none = 1;                                                  // of k experts
  for (int64_t j = 0; j < s.top_k; ++j)
    none *= (static_cast<double>(s.experts) - elsewhere - static_cast<double>(j)) / static_cast<double>(s.experts - j);
  return (ranks - 1) * (1 - none) + static_cast<double>(s.top_k) * (1 - 1.0 / ranks);
}

/// Of one rank.
bench::Traffic traffic_of(const ExpertPlacement& placement, ConstView expert_of, int rank) {
  const RoutePlan plan = plan_routes(expert_of, placement, rank);
  std::vector<int64_t> rows_to, results_from(static_cast<size_t>(placement.num_ranks()));
  for (int r = 0; r < placement.num_ranks(); ++r) rows_to.push_back(plan.rows_to(r));
  for (int64_t i = 0; i < expert_of.elements(); ++i) {
    const int host = placement.rank_of(expert_of.as<int32_t>()[i]);
    if (host != rank) ++results_from[static_cast<size_t>(host)];
  }
  return bench::Traffic::from(std::move(rows_to), std::move(results_from));
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return name;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// Copies rows: the least that experts can cost.
void copying_experts(const Stream& stream, ConstView x, const GroupedRows& rows, View y) {
  const size_t bytes = static_cast<size_t>(x.row_elements()) * size_of(x.dtype);
  const auto num_entries = std::ssize(rows.input_row);
  constexpr int64_t kTile = 64;
  stream.parallel_for((num_entries + kTile - 1) / kTile, [&](int64_t tile, int) {
    for (int64_t i = tile * kTile; i < std::min(num_entries, (tile + 1) * kTile); ++i) {
      const auto entry = static_cast<size_t>(i);
      std::memcpy(static_cast<std::byte*>(y.data) + static_cast<size_t>(rows.output_row[entry]) * bytes,
                  static_cast<const std::byte*>(x.data) + static_cast<size_t>(rows.input_row[entry]) * bytes, bytes);
    }
  });
}

void measure(Communicator& world, const Setting& s) {
  const auto exchange =
      make_exchange(world, {.placement = ExpertPlacement::blocks(static_cast<int>(s.experts), world.size()),
                            .dim = s.dim,
                            .top_k = static_cast<int>(s.top_k),
                            .dtype = DType::bf16,
                            .exchange_bytes = s.budget});
  std::vector<int32_t> experts = drawn_experts(s, world.rank());
  Arena tensors(allocation_bytes({s.tokens, s.dim}, DType::bf16, Device::cpu) * static_cast<size_t>(s.top_k + 1) + 64);
  const View x = tensors.alloc({s.tokens, s.dim}, DType::bf16),
             y = tensors.alloc({s.tokens * s.top_k, s.dim}, DType::bf16);
  std::memset(x.data, world.rank(), x.bytes());
  Arena scratch(exchange->scratch_bytes(s.tokens).arena_bytes);
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  const auto call = [&] {
    exchange->run(stream, scratch, x, {experts.data(), {s.tokens, s.top_k}, DType::i32}, 0, copying_experts, y);
  };

  const ConstView expert_of{experts.data(), {s.tokens, s.top_k}, DType::i32};
  const bench::Traffic traffic = traffic_of(exchange->placement(), expert_of, world.rank());
  const int64_t row_bytes = s.dim * static_cast<int64_t>(size_of(DType::bf16));
  bench::AlltoallvPeer peer(traffic, row_bytes);

  call();  // first touch of the buffers, connections
  peer.gather_move_and_scatter();
  const ExchangeCounters before = exchange->counters();
  const auto of_slowest = [&](double own) { return world.all_reduce_one(own, ReduceOp::max); };
  const auto seconds_of = [&](const auto& body) {
    world.barrier();
    const double start = seconds_now();
    body();
    return seconds_now() - start;
  };
  std::vector<double> seconds, bare, ratios;
  for (int64_t i = 0; i < s.repeats; ++i) {
    const double experts_before = exchange->counters().times[0].useful, whole = seconds_of(call);
    seconds.push_back(of_slowest(whole));
    bare.push_back(of_slowest(seconds_of([&] { peer.move(); })));
    const double own = of_slowest(whole - (exchange->counters().times[0].useful - experts_before));
    ratios.push_back(own / of_slowest(seconds_of([&] { peer.gather_move_and_scatter(); })));
  }
  const ExchangeCounters& after = exchange->counters();
  const auto sum = [](const std::vector<int64_t>& v) { return std::accumulate(v.begin(), v.end(), int64_t{0}); };
  const int64_t bytes = world.all_reduce_one((sum(after.bytes_to) - sum(before.bytes_to)) / s.repeats, ReduceOp::max);
  const double calls = static_cast<double>(s.repeats);
  const auto slowest = [&](double ExchangeTimes::*kind) {
    return world.all_reduce_one((after.times[0].*kind - before.times[0].*kind) / calls, ReduceOp::max);
  };
  const double useful = slowest(&ExchangeTimes::useful), wait = slowest(&ExchangeTimes::wait),
               transfer = slowest(&ExchangeTimes::transfer);
  const int64_t bottleneck = row_bytes * world.all_reduce_one(traffic.most_in_one_direction(), ReduceOp::max);
  const int64_t pairs = world.all_reduce_one(sum(traffic.results_from), ReduceOp::max);
  const int64_t crossing = world.all_reduce_one(sum(traffic.rows_to) + sum(traffic.results_from), ReduceOp::sum);
  const std::vector<std::string> hosts = world.all_gather_strings(host_name());
  if (world.rank() != 0) return;

  const double all_tokens = static_cast<double>(s.tokens * world.size());
  Json line = {{"bench", "exchange"},
               {"ranks", world.size()},
               {"hosts", std::set(hosts.begin(), hosts.end()).size()},
               {"ranks_beyond_cores", std::ranges::count(hosts, hosts.front()) > available_cores()},
               {"tokens", s.tokens},
               {"dim", s.dim},
               {"top_k", s.top_k},
               {"experts", s.experts},
               {"skew", s.skew},
               {"dtype", "bf16"},
               {"budget", s.budget},
               {"rounds", (after.rounds - before.rounds) / s.repeats},
               {"bytes", bytes},
               {"bottleneck_bytes", bottleneck},
               {"seconds", median(seconds)},
               {"min_seconds", std::ranges::min(seconds)},
               {"useful_seconds", useful},
               {"wait_seconds", wait},
               {"transfer_seconds", transfer},
               {"bottleneck_gb_s", static_cast<double>(bottleneck) / median(seconds) / 1e9},
               {"alltoallv_bottleneck_gb_s", static_cast<double>(bottleneck) / median(bare) / 1e9},
               {"share_of_alltoallv", median(bare) / median(seconds)},
               {"times_peer", median(ratios)},
               {"goodput_gb_s", 2e-9 * static_cast<double>(pairs * row_bytes) / median(seconds)}};
  if (s.skew == 0 && world.size() > 1)
    line["bytes_over_formula"] = static_cast<double>(crossing) / all_tokens / crossing_rows(s, world.size());
  fmt::print("{}\n", line.dump());
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  using namespace switchyard;
  try {
    const MpiEnvironment mpi;
    const auto world = make_mpi_communicator();
    measure(*world, setting_from(std::span(argv, static_cast<size_t>(argc)).subspan(1)));
    return 0;
  } catch (const Error& error) {
    fmt::print(stderr, "bench_exchange: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
