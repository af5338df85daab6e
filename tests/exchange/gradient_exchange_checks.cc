#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/exchange/exchange_checks.h"
#include "tests/exchange/gradient_case.h"

namespace switchyard::test {
namespace {

std::vector<int32_t> the_last_one(int64_t, int, int num_experts) {
  return {num_experts - 1};
}

void rows_come_in_order_and_gradients_go_back(Communicator& world, const GradientCase& base) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int top_k : {1, 2, 3, 4, 5, 6, 7, 8, 13}) {
      GradientCase c = base;
      c.rows.dtype = dtype;
      c.rows.top_k = top_k;
      for (const int64_t bytes : {400, 1 << 20}) {
        c.rows.exchange_bytes = bytes;
        run_gradients(world, c);
      }
    }
}

void every_budget_does(Communicator& world, const GradientCase& base) {
  GradientCase c = base;
  int64_t fewest = 1 << 20;
  for (const int64_t bytes : {0, 500, 1000, 2000, 4000, 8000, 1 << 20}) {
    c.rows.exchange_bytes = bytes;
    const GradientResult result = run_gradients(world, c);
    EXPECT_EQ(result.counters.calls, 1);
    fewest = std::min(fewest, result.counters.windows);
    if (bytes == 0) {
      EXPECT_EQ(result.scratch.max_rows, shape_of(c, world.size()).max_slice_tokens);
      EXPECT_GT(result.counters.windows, 5);
    }
  }
  EXPECT_EQ(fewest, 1);
}

void a_row_at_a_time(Communicator& world, const GradientCase& base) {
  GradientCase c = base;
  c.slices = {0, 16};
  c.tokens_of = [](int64_t slice) { return int64_t{slice % 4 != 2}; };
  c.rows.exchange_bytes = 0;
  const GradientResult result = run_gradients(world, c);
  EXPECT_EQ(result.scratch.max_rows, 1);
  EXPECT_GE(result.counters.windows, 12 * c.rows.top_k / world.size());
}

/// Its slices come in parts.
void all_tokens_to_one_expert(Communicator& world, const GradientCase& base) {
  GradientCase c = base;
  c.rows.top_k = 1;
  c.rows.routing = the_last_one;
  for (const int64_t bytes : {0, 1000, 1 << 20}) {
    c.rows.exchange_bytes = bytes;
    const GradientResult result = run_gradients(world, c);
    EXPECT_EQ(result.any_parts, bytes < 1 << 20);
  }
}

void ranks_without_slices_take_part(Communicator& world, const GradientCase& base) {
  for (const int64_t bytes : {0, 1 << 20}) {
    GradientCase c = base;
    c.rows.exchange_bytes = bytes;
    for (int owner = 0; owner < world.size(); ++owner) {
      c.share = [=](const SliceRange& slices, int ranks) {
        std::vector<SliceRange> shares;
        for (int r = 0; r < ranks; ++r)
          shares.push_back({r <= owner ? slices.first : slices.end, r < owner ? slices.first : slices.end});
        return shares;
      };
      run_gradients(world, c);
    }
    c.share = shared_out;
    c.slices = {4, 6};
    run_gradients(world, c);
    c.tokens_of = [](int64_t) { return int64_t{0}; };
    EXPECT_EQ(run_gradients(world, c).counters.windows, 1);  // of experts without rows
    c.slices = {8, 8};
    EXPECT_EQ(run_gradients(world, c).counters.windows, 0);
  }
}

void as_many_ranks_as_experts(Communicator& world, const GradientCase& base) {
  GradientCase c = base;
  c.rows.num_experts = world.size();
  c.rows.top_k = std::min(3, world.size());
  c.rows.exchange_bytes = 1000;
  run_gradients(world, c);
}

void groups_exchange_independently(Communicator& world, const GradientCase& base) {
  const int half = world.rank() % 2;
  const auto group = world.split(half, world.rank());
  GradientCase c = base;
  c.rows.exchange_bytes = 1000;
  c.slices = {8 * half, 8 * half + 8};
  for (int call = 0; call <= half; ++call) run_gradients(*group, c);
}

void one_exchange_serves_many_layers(Communicator& world, const GradientCase& base) {
  GradientCase c = base;
  c.rows.exchange_bytes = 1000;
  GradientExchange exchange(world, shape_of(c, world.size()));
  for (int layer = 0; layer < 3; ++layer) {
    c.rows.routing = [layer](int64_t token, int top_k, int num_experts) {
      return scattered(token + 1000 * layer, top_k, num_experts);
    };
    EXPECT_EQ(run_gradients(world, exchange, c).counters.calls, 2 * layer + 1);
  }
}

/// Counted by hand from the routing of all ranks: per (token, slot) that crosses two rows and a number there, a row
/// and a number back.
void counters_count_what_crossed(Communicator& world, const GradientCase& base) {
  GradientCase c = base;
  const GradientExchangeShape shape = shape_of(c, world.size());
  const int64_t row_bytes = c.rows.dim * static_cast<int64_t>(size_of(c.rows.dtype));
  std::vector<int64_t> bytes_to(static_cast<size_t>(world.size()));
  int64_t id = 0;
  for (int owner = 0; owner < world.size(); ++owner) {
    const SliceRange slices = shape.slices_of_rank[static_cast<size_t>(owner)];
    for (int64_t slice = slices.first; slice < slices.end; ++slice)
      for (int64_t t = 0; t < c.tokens_of(slice); ++t)
        for (const int32_t expert : c.rows.routing(id++, c.rows.top_k, c.rows.num_experts)) {
          const int host = shape.placement.rank_of(expert);
          if (host == owner) continue;
          if (owner == world.rank()) bytes_to[static_cast<size_t>(host)] += 2 * row_bytes + 4;
          if (host == world.rank()) bytes_to[static_cast<size_t>(owner)] += row_bytes + 4;
        }
  }
  for (const int64_t bytes : {0, 1000, 1 << 20}) {
    c.rows.exchange_bytes = bytes;
    const GradientCounters counters = run_gradients(world, c).counters;
    EXPECT_EQ(counters.bytes_to, bytes_to);
    EXPECT_EQ(counters.times.front().wait > 0, world.size() > 1);
    EXPECT_EQ(counters.times.front().transfer > 0, world.size() > 1);
    EXPECT_EQ(counters.times.front().useful, 0);
  }
}

/// Exact where a rank has as many tokens as any; and the rows' part within the budget unless a slice needs more.
void arena_use_is_predicted(Communicator& world, const GradientCase& base) {
  GradientCase c = base;
  const GradientExchangeShape shape = shape_of(c, world.size());
  int64_t tokens = 0;
  const SliceRange slices = shape.slices_of_rank[static_cast<size_t>(world.rank())];
  for (int64_t slice = slices.first; slice < slices.end; ++slice) tokens += c.tokens_of(slice);
  for (const int64_t bytes : {0, 1000, 5000, 1 << 20}) {
    c.rows.exchange_bytes = bytes;
    const GradientResult result = run_gradients(world, c);
    EXPECT_LE(result.arena_used, result.scratch.arena_bytes);
    if (tokens == shape.max_tokens) {
      EXPECT_EQ(result.arena_used, result.scratch.arena_bytes);
    }
    Arena arena = Arena::measuring(Device::cpu);
    const GradientBuffers buffers(arena, shape, result.scratch.max_rows);
    for (int i = 0; i < 3; ++i) arena.alloc({result.scratch.max_rows, shape.dim}, shape.dtype);  // behind the tensors
    if (result.scratch.max_rows > shape.max_slice_tokens) {
      EXPECT_LE(static_cast<int64_t>(arena.high_water()), bytes);
    }
  }
}

}  // namespace

std::vector<Check> gradient_exchange_checks() {
  constexpr std::pair<const char*, void (*)(Communicator&, const GradientCase&)> kChecks[] = {
      {"rows_come_in_order_and_gradients_go_back", rows_come_in_order_and_gradients_go_back},
      {"every_budget_does", every_budget_does},
      {"a_row_at_a_time", a_row_at_a_time},
      {"all_tokens_to_one_expert", all_tokens_to_one_expert},
      {"ranks_without_slices_take_part", ranks_without_slices_take_part},
      {"as_many_ranks_as_experts", as_many_ranks_as_experts},
      {"groups_exchange_independently", groups_exchange_independently},
      {"one_exchange_serves_many_layers", one_exchange_serves_many_layers},
      {"counters_count_what_crossed", counters_count_what_crossed},
      {"arena_use_is_predicted", arena_use_is_predicted}};
  std::vector<Check> checks;
  for (const auto& [where, placement] : all_placements())
    for (const auto& [name, check] : kChecks) {
      GradientCase base;
      base.rows.placement = placement;
      checks.push_back({std::string(name) + "_" + where, [check, base](Communicator& world) { check(world, base); }});
    }
  return checks;
}

}  // namespace switchyard::test
