// The host memory that an exchange takes, counted at operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "exchange/gradient_exchange.h"
#include "tests/exchange/exchange_case.h"

namespace {

constexpr size_t kHeader = alignof(std::max_align_t);
std::atomic<size_t> bytes_now = 0, bytes_peak = 0;

}  // namespace

void* operator new(size_t size) {
  auto* memory = static_cast<char*>(std::malloc(size + kHeader));
  if (memory == nullptr) throw std::bad_alloc();
  *reinterpret_cast<size_t*>(memory) = size;
  const size_t now = bytes_now += size;
  for (size_t peak = bytes_peak; now > peak && !bytes_peak.compare_exchange_weak(peak, now);) {
  }
  return memory + kHeader;
}
void operator delete(void* pointer) noexcept {
  if (pointer == nullptr) return;
  char* memory = static_cast<char*>(pointer) - kHeader;
  bytes_now -= *reinterpret_cast<size_t*>(memory);
  std::free(memory);
}
void operator delete(void* pointer, size_t) noexcept {
  operator delete(pointer);
}

namespace switchyard::test {
namespace {

/// The peak above the start, of all ranks together, and what they predicted.
struct HostBytes {
  size_t used, predicted;
};

/// Runs body(stream) on all ranks at once. predicted: of this rank. Collective; the result is rank 0's.
template <class Body>
HostBytes peak_of(Communicator& world, size_t predicted, const Body& body) {
  const int64_t all = world.all_reduce_one(static_cast<int64_t>(predicted), ReduceOp::sum);
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  size_t before = 0;
  world.barrier();
  if (world.rank() == 0) bytes_peak = before = bytes_now;
  world.barrier();
  body(stream);
  world.barrier();
  return {bytes_peak - before, static_cast<size_t>(all)};
}

std::vector<int32_t> experts_of_tokens(int64_t first, int64_t tokens, int top_k, const Router& routing) {
  std::vector<int32_t> expert_of;
  for (int64_t t = first; t < first + tokens; ++t)
    for (const int32_t expert : routing(t, top_k, 12)) expert_of.push_back(expert);
  return expert_of;
}

HostBytes measure(int num_ranks, int top_k, int64_t tokens, int64_t exchange_bytes, const Router& routing,
                  const MakePlacement& placement = ExpertPlacement::blocks) {
  HostBytes bytes{};
  run_thread_ranks(num_ranks, [&](Communicator& world) {
    const auto exchange = make_exchange(
        world, {.placement = placement(12, num_ranks), .dim = 2, .top_k = top_k, .exchange_bytes = exchange_bytes});
    const auto scratch = exchange->scratch_bytes(tokens);
    std::vector<float> x(static_cast<size_t>(tokens) * 2), y(x.size() * static_cast<size_t>(top_k));
    const auto expert_of = experts_of_tokens(world.rank() * tokens, tokens, top_k, routing);
    Arena arena(scratch.arena_bytes);
    const HostBytes peak = peak_of(world, scratch.host_bytes, [&](const Stream& stream) {
      exchange->run(stream, arena, {x.data(), {tokens, 2}, DType::f32}, {expert_of.data(), {tokens, top_k}, DType::i32},
                    0, [](const Stream&, ConstView, const GroupedRows&, View) {},
                    {y.data(), {tokens * top_k, 2}, DType::f32});
    });
    if (world.rank() == 0) bytes = peak;
  });
  return bytes;
}

HostBytes measure_gradients(int num_ranks, int64_t budget) {
  constexpr int64_t kTokens = 1000, kTopK = 4;
  HostBytes bytes{};
  run_thread_ranks(num_ranks, [&](Communicator& world) {
    GradientExchangeShape shape{.placement = ExpertPlacement::blocks(12, num_ranks),
                                .dim = 2,
                                .top_k = kTopK,
                                .bytes = budget,
                                .max_tokens = kTokens,
                                .max_slice_tokens = kTokens};
    for (int64_t r = 0; r < num_ranks; ++r) shape.slices_of_rank.push_back({r, r + 1});
    GradientExchange exchange(world, shape);
    const GradientScratch scratch = exchange.scratch();
    const int64_t room = exchange.room();
    std::vector<float> u(static_cast<size_t>(kTokens + room) * 2), weight(kTokens * kTopK),
        dx(weight.size() * 2 + static_cast<size_t>(room) * 2);
    const auto expert_of = experts_of_tokens(world.rank() * kTokens, kTokens, kTopK, scattered);
    const View numbers{weight.data(), {kTokens, kTopK}, DType::f32}, rows{u.data(), {kTokens + room, 2}, DType::f32};
    const std::vector<int64_t> slice_offsets = {0, kTokens};
    Arena arena(scratch.arena_bytes);
    const HostBytes peak = peak_of(world, scratch.host_bytes, [&](const Stream& stream) {
      const auto windows = exchange.plan(stream, arena, Way::backward, 0,
                                         {expert_of.data(), {kTokens, kTopK}, DType::i32}, slice_offsets,
                                         {.u = rows,
                                          .dy = rows,
                                          .weight = numbers,
                                          .result = {dx.data(), {kTokens * kTopK + room, 2}, DType::f32},
                                          .dweight = numbers});
      while (windows->begin()) {
        windows->rows();
        windows->give_back();
      }
    });
    if (world.rank() == 0) bytes = peak;
  });
  return bytes;
}

constexpr size_t kCommunicator = 8192;  // what transfers between threads take

TEST(ExchangeMemory, OfOneRankIsPredicted) {
  const HostBytes bytes = measure(1, 4, 10'000, 0, scattered);
  EXPECT_LE(bytes.used, bytes.predicted);
  EXPECT_GE(bytes.used + 64, bytes.predicted);
}

TEST(ExchangeMemory, OfSeveralRanksIsBounded) {
  for (const int64_t budget : {int64_t{0}, int64_t{100'000}, int64_t{1} << 30}) {
    const HostBytes bytes = measure(3, 4, 10'000, budget, scattered);
    EXPECT_LE(bytes.used, bytes.predicted + kCommunicator) << "budget " << budget;
    EXPECT_GE(bytes.used, bytes.predicted / 2) << "budget " << budget;  // the routing is not the worst there is
  }
}

TEST(ExchangeMemory, OfTheWorstRoutingIsPredicted) {
  // One expert a token on each of 4 ranks: as many local entries and rows to others as there can be.
  const Router spread = [](int64_t token, int, int) {
    const auto i = static_cast<int32_t>(token % 3);
    return std::vector<int32_t>{i, 3 + i, 6 + i, 9 + i};
  };
  const HostBytes bytes = measure(4, 4, 5'000, 0, spread);
  EXPECT_LE(bytes.used, bytes.predicted + kCommunicator);
}

TEST(ExchangeMemory, OfAnyPlacementIsBounded) {
  for (const auto& [name, placement] : all_placements())
    for (const int64_t budget : {int64_t{0}, int64_t{1} << 30}) {
      const HostBytes bytes = measure(3, 4, 10'000, budget, scattered, placement);
      EXPECT_LE(bytes.used, bytes.predicted + kCommunicator) << name << ", budget " << budget;
      EXPECT_GE(bytes.used, bytes.predicted / 2) << name << ", budget " << budget;
    }
}

TEST(ExchangeMemory, OfGradientsIsBounded) {
  for (const int64_t budget : {int64_t{0}, int64_t{1} << 30}) {
    const HostBytes alone = measure_gradients(1, budget);
    EXPECT_LE(alone.used, alone.predicted) << "budget " << budget;
    EXPECT_GE(alone.used + 256, alone.predicted) << "budget " << budget;
    const HostBytes several = measure_gradients(3, budget);
    EXPECT_LE(several.used, several.predicted + kCommunicator) << "budget " << budget;
  }
}

}  // namespace
}  // namespace switchyard::test
