// The expert exchange over MPI with uniform routing and experts that cost nothing, by hand:
//
//   mpirun -n RANKS bench_exchange [--tokens N] [--dim D] [--top-k K] [--experts E] [--budget BYTES] [--repeats R]
//
// Rank 0 prints one JSON line: the setting; per call of the slowest rank: bytes (sent to other ranks: rows, metadata
// and results, so repeated slots on a rank count once on the way out), seconds (median call, each the slowest rank's),
// useful, wait and transfer seconds (means over calls). As nccl-tests define them for an all-to-all: busbw = bytes /
// seconds, that is, what a rank's link carries; algbw = busbw · P / (P − 1), as if its own share had travelled too.
// GB/s, 10^9.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string_view>

#include "base/rng.h"
#include "comm/mpi_communicator.h"
#include "exchange/exchange.h"

namespace switchyard {
namespace {

struct Setting {
  int64_t tokens = 4096, dim = 2048, top_k = 4, experts = 128, budget = int64_t{256} << 20, repeats = 10;
};

Setting setting_from(std::span<char*> args) {
  Setting s;
  const std::pair<std::string_view, int64_t*> options[] = {{"--tokens", &s.tokens}, {"--dim", &s.dim},
                                                           {"--top-k", &s.top_k},   {"--experts", &s.experts},
                                                           {"--budget", &s.budget}, {"--repeats", &s.repeats}};
  if (args.size() % 2 != 0) fail(ExitCode::usage, "expected pairs of --option value");
  for (size_t i = 0; i < args.size(); i += 2) {
    const std::string_view name = args[i], value = args[i + 1];
    const auto* option = std::ranges::find(options, name, &std::pair<std::string_view, int64_t*>::first);
    if (option == std::end(options)) fail(ExitCode::usage, "unknown option {}", name);
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *option->second);
    if (error != std::errc{} || end != value.data() + value.size() || *option->second < 1)
      fail(ExitCode::usage, "{}: expected a positive number, found '{}'", name, value);
  }
  return s;
}

/// k distinct experts a token, drawn uniformly.
std::vector<int32_t> uniform_experts(const Setting& s, int rank) {
  std::vector<int32_t> experts(static_cast<size_t>(s.tokens * s.top_k));
  std::vector<int32_t> deck(static_cast<size_t>(s.experts));
  std::iota(deck.begin(), deck.end(), 0);
  for (int64_t t = 0; t < s.tokens; ++t)
    for (int64_t j = 0; j < s.top_k; ++j) {  // the first steps of a Fisher-Yates shuffle
      const auto left = static_cast<uint64_t>(s.experts - j);
      const auto pick = random_bits(static_cast<uint64_t>(rank), static_cast<uint64_t>(t * s.top_k + j)) % left;
      std::swap(deck[static_cast<size_t>(j)], deck[static_cast<size_t>(j) + pick]);
      experts[static_cast<size_t>(t * s.top_k + j)] = deck[static_cast<size_t>(j)];
    }
  return experts;
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
  std::vector<int32_t> experts = uniform_experts(s, world.rank());
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

  call();  // first touch of the buffers, connections
  const ExchangeCounters before = exchange->counters();
  std::vector<double> seconds;
  for (int64_t i = 0; i < s.repeats; ++i) {
    world.barrier();
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> mine = std::chrono::steady_clock::now() - start;
    seconds.push_back(world.all_reduce_one(mine.count(), ReduceOp::max));
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
  if (world.rank() != 0) return;

  std::ranges::sort(seconds);
  const double median = seconds[seconds.size() / 2];
  const double busbw = static_cast<double>(bytes) / median / 1e9;
  const double algbw = world.size() > 1 ? busbw * world.size() / (world.size() - 1) : 0;
  fmt::print(
      "{{\"bench\":\"exchange\",\"ranks\":{},\"tokens\":{},\"dim\":{},\"top_k\":{},\"experts\":{},\"dtype\":\"bf16\","
      "\"budget\":{},\"rounds\":{},\"bytes\":{},\"seconds\":{:.6f},\"min_seconds\":{:.6f},\"useful_seconds\":{:.6f},"
      "\"wait_seconds\":{:.6f},"
      "\"transfer_seconds\":{:.6f},\"algbw_gb_s\":{:.3f},\"busbw_gb_s\":{:.3f}}}\n",
      world.size(), s.tokens, s.dim, s.top_k, s.experts, s.budget, (after.rounds - before.rounds) / s.repeats, bytes,
      median, seconds.front(), useful, wait, transfer, algbw, busbw);
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
