#include "tests/exchange/exchange_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "kernels/routing/permute.h"
#include "tests/exchange/exchange_case.h"

namespace switchyard::test {
namespace {

std::vector<int32_t> all_from_the_tokens_own(int64_t token, int top_k, int num_experts) {
  std::vector<int32_t> experts;
  for (int j = 0; j < top_k; ++j) experts.push_back(static_cast<int32_t>((token + j) % num_experts));
  return experts;
}

void check_scaled(Communicator& world, const ExchangeCase& c) {
  expect_scaled(world, c, run_exchange(world, c));
}

void identity_experts_return_the_rows(Communicator& world, const ExchangeCase& base) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    ExchangeCase c = base;
    c.dtype = dtype;
    const auto result = run_exchange(world, c, identity_experts());
    const size_t row_bytes = static_cast<size_t>(c.dim) * size_of(dtype);
    for (size_t row = 0; row * row_bytes < result.y.size(); ++row) {
      const auto token = static_cast<int64_t>(row) / c.top_k;
      const auto expected = expected_row(c, global_token(c, world.rank(), token), 1);
      EXPECT_EQ(std::memcmp(result.y.data() + row * row_bytes, expected.data(), row_bytes), 0) << "row " << row;
    }
  }
}

void rows_reach_their_experts(Communicator& world, const ExchangeCase& base) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int top_k : {1, 2, 8}) {
      ExchangeCase c = base;
      c.dtype = dtype;
      c.top_k = top_k;
      check_scaled(world, c);
    }
}

void every_budget_gives_the_same_bits(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  const ExchangeResult ample = run_exchange(world, c);
  expect_scaled(world, c, ample);
  EXPECT_EQ(ample.counters.rounds, world.size() > 1 ? 1 : 0);
  c.exchange_bytes = 0;
  const auto probe = make_exchange(world, shape_of(c, world.size()));
  EXPECT_EQ(probe->budget_too_small(), world.size() > 1);
  const int64_t least = probe->least_exchange_bytes(), single_rows = run_exchange(world, c).counters.rounds;
  for (const int64_t budget : {int64_t{0}, least, 3 * least, 5 * least}) {
    c.exchange_bytes = budget;
    const ExchangeResult tight = run_exchange(world, c);
    EXPECT_EQ(tight.y, ample.y) << "budget " << budget;
    if (world.size() == 1) continue;
    EXPECT_GT(tight.counters.rounds, 1);
    EXPECT_LE(static_cast<int64_t>(tight.arena_used), std::max(budget, least));
    EXPECT_EQ(tight.counters.rounds == single_rows, budget <= least) << "budget " << budget;
  }
}

/// Rounds follow from the longest list of any pair, on every rank.
void rounds_are_those_of_the_longest_list(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  c.top_k = 1;
  c.routing = first_ones;
  c.exchange_bytes = 0;
  const ExchangeResult result = run_exchange(world, c);
  expect_scaled(world, c, result);
  int64_t longest = 0;
  const int host = c.placement(c.num_experts, world.size()).rank_of(0);
  for (int rank = 0; rank < world.size(); ++rank)
    if (rank != host) longest = std::max(longest, c.tokens_of(rank));
  EXPECT_EQ(result.counters.rounds, longest);
  EXPECT_EQ(result.counters.calls, 1);
}

void all_tokens_to_one_expert(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  c.top_k = 1;
  c.routing = [](int64_t, int, int num_experts) { return std::vector<int32_t>{num_experts - 1}; };
  for (const int64_t budget : {0, 1000, 1 << 20}) {
    c.exchange_bytes = budget;
    check_scaled(world, c);
  }
}

void ranks_without_tokens_take_part(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  for (const int64_t budget : {0, 1 << 20}) {
    c.exchange_bytes = budget;
    for (int owner = 0; owner < world.size(); ++owner) {
      c.tokens_of = [=](int rank) { return int64_t{rank == owner ? 11 : 0}; };
      check_scaled(world, c);
    }
    c.tokens_of = [](int) { return int64_t{0}; };
    const ExchangeResult result = run_exchange(world, c);
    EXPECT_EQ(result.counters.rounds, 0);
    EXPECT_TRUE(result.y.empty());
  }
}

void every_expert_for_every_token(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  c.top_k = c.num_experts;
  c.routing = all_from_the_tokens_own;
  for (const int64_t budget : {0, 3000, 1 << 20}) {
    c.exchange_bytes = budget;
    check_scaled(world, c);
  }
}

void as_many_ranks_as_experts(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  c.num_experts = world.size();
  c.top_k = std::min(3, world.size());
  check_scaled(world, c);
}

void combine_is_the_weighted_sum(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  const auto weight_of = [](int64_t id, int slot) { return 0.125f * static_cast<float>(1 + (id + slot) % 7); };
  const ExchangeResult result = run_exchange(world, c, identity_experts());
  const int64_t tokens = c.tokens_of(world.rank());
  std::vector<float> weights, out(static_cast<size_t>(tokens * c.dim));
  for (int64_t t = 0; t < tokens; ++t)
    for (int j = 0; j < c.top_k; ++j) weights.push_back(weight_of(global_token(c, world.rank(), t), j));
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  combine(stream, {result.y.data(), {tokens, c.top_k, c.dim}, c.dtype}, {weights.data(), {tokens, c.top_k}, DType::f32},
          {}, {out.data(), {tokens, c.dim}, DType::f32});
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t id = global_token(c, world.rank(), t);
    const auto row = expected_row(c, id, 1);
    for (int64_t i = 0; i < c.dim; ++i) {
      float x = 0;
      std::memcpy(&x, row.data() + static_cast<size_t>(i) * sizeof x, sizeof x);
      double expected = 0, magnitude = 0;
      for (int j = 0; j < c.top_k; ++j) {
        expected += double{weight_of(id, j)} * x;
        magnitude += std::abs(double{weight_of(id, j)} * x);
      }
      EXPECT_NEAR(out[static_cast<size_t>(t * c.dim + i)], expected, 4 * magnitude * 0x1p-23);
    }
  }
}

void groups_exchange_independently(Communicator& world, const ExchangeCase& base) {
  const auto group = world.split(world.rank() % 2, world.rank());
  ExchangeCase c = base;
  c.exchange_bytes = 2000;
  const int first = world.rank() % 2;
  c.tokens_of = [=](int rank) { return int64_t{5} * rank + 3 + first; };
  for (int call = 0; call <= first; ++call)
    check_scaled(*group, c);  // the groups do not even agree on the number of calls
}

/// Counted by hand from the routing of all ranks: rows once per destination, metadata with them, a result per slot.
void counters_count_what_crossed(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  c.num_layers = 3;
  c.layer = 1;
  const ExpertPlacement placement = c.placement(c.num_experts, world.size());
  const int64_t row_bytes = c.dim * static_cast<int64_t>(size_of(c.dtype));
  std::vector<int64_t> bytes_to(static_cast<size_t>(world.size())), per_expert(static_cast<size_t>(c.num_experts));
  for (int owner = 0; owner < world.size(); ++owner)
    for (int64_t t = 0; t < c.tokens_of(owner); ++t) {
      std::set<int> hosts;
      for (const int32_t expert : c.routing(global_token(c, owner, t), c.top_k, c.num_experts)) {
        const int host = placement.rank_of(expert);
        hosts.insert(host);
        if (owner == world.rank()) ++per_expert[static_cast<size_t>(expert)];
        if (host == world.rank() && owner != world.rank()) bytes_to[static_cast<size_t>(owner)] += row_bytes;
      }
      hosts.erase(owner);
      if (owner == world.rank())
        for (const int host : hosts) bytes_to[static_cast<size_t>(host)] += row_bytes + 4 * c.top_k;
    }
  for (const int64_t budget : {0, 1 << 20}) {
    c.exchange_bytes = budget;
    const ExchangeCounters counters = run_exchange(world, c).counters;
    EXPECT_EQ(counters.bytes_to, bytes_to);
    std::vector<int64_t> by_layer(3 * per_expert.size());
    std::ranges::copy(per_expert, by_layer.begin() + c.num_experts);
    EXPECT_EQ(counters.tokens_per_expert, by_layer);
    EXPECT_EQ(counters.total_per_expert(), per_expert);
    EXPECT_GT(counters.times[1].useful, 0);
    EXPECT_EQ(counters.times[1].wait > 0, world.size() > 1);
    EXPECT_EQ(counters.times[0].useful + counters.times[2].wait, 0);
    EXPECT_EQ(counters.total_times().transfer, counters.times[1].transfer);
  }
}

/// All tokens of all ranks to an expert of rank 0, where scratch_bytes() must be exact; scattered, where it must bound.
void arena_use_is_predicted(Communicator& world, const ExchangeCase& base) {
  for (const int64_t budget : {int64_t{0}, int64_t{4000}, int64_t{20'000}, int64_t{1} << 30}) {
    ExchangeCase c = base;
    c.exchange_bytes = budget;
    const ExchangeResult some = run_exchange(world, c);
    EXPECT_LE(some.arena_used, some.scratch.arena_bytes);
    c.top_k = 1;
    const int expert = c.placement(c.num_experts, world.size()).experts_of(0).front();
    c.routing = [=](int64_t, int, int) { return std::vector<int32_t>{expert}; };
    const ExchangeResult most = run_exchange(world, c);
    EXPECT_EQ(most.arena_used, most.scratch.arena_bytes) << "budget " << budget;
    if (world.size() > 1 && most.counters.rounds < c.tokens_of(world.size() - 1)) {  // more than a row at a time
      EXPECT_LE(static_cast<int64_t>(most.arena_used), budget);
    }
  }
}

/// Within an expert rows come in the order of their owners, then tokens; entries are in range, outputs distinct.
void received_rows_are_in_order(Communicator& world, const ExchangeCase& base) {
  ExchangeCase c = base;
  c.dim = 1;
  c.tokens_of = [](int) { return int64_t{20}; };
  const ExpertPlacement placement = c.placement(c.num_experts, world.size());
  const auto scaling = scaling_experts(placement, world.rank());
  int num_calls = 0;
  const auto experts = [&](const Stream& stream, ConstView x, const GroupedRows& rows, View y) {
    ++num_calls;
    EXPECT_EQ(rows.offsets.front(), 0);
    EXPECT_EQ(rows.offsets.back(), std::ssize(rows.input_row));
    EXPECT_EQ(rows.input_row.size(), rows.output_row.size());
    EXPECT_FALSE(rows.input_row.empty());
    for (size_t g = 0; g + 1 < rows.offsets.size(); ++g) {
      const auto inputs = rows.input_row.subspan(static_cast<size_t>(rows.offsets[g]),
                                                 static_cast<size_t>(rows.offsets[g + 1] - rows.offsets[g]));
      EXPECT_TRUE(std::ranges::is_sorted(inputs, std::less_equal<>()));
      for (const int32_t input : inputs) EXPECT_TRUE(input >= 0 && input < x.rows());
    }
    const std::set<int32_t> outputs(rows.output_row.begin(), rows.output_row.end());
    EXPECT_EQ(outputs.size(), rows.output_row.size());
    EXPECT_GE(*outputs.begin(), 0);
    EXPECT_LT(*outputs.rbegin(), y.rows());
    if (num_calls == 2) {  // the first call has the local rows, the second all of the others': the budget is ample
      EXPECT_EQ(std::ssize(outputs), y.rows());
      std::vector<std::vector<std::byte>> expected;
      for (int64_t id = 0; id < world.size() * 20; ++id) {
        const auto chosen = c.routing(id, c.top_k, c.num_experts);
        if (id / 20 != world.rank() &&
            std::ranges::any_of(chosen, [&](int e) { return placement.rank_of(e) == world.rank(); }))
          expected.push_back(expected_row(c, id, 1));
      }
      ASSERT_EQ(std::ssize(expected), x.rows());
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(std::memcmp(x.slice(static_cast<int64_t>(i), 1).data, expected[i].data(), expected[i].size()), 0);
    }
    scaling(stream, x, rows, y);
  };
  expect_scaled(world, c, run_exchange(world, c, experts));
  EXPECT_EQ(num_calls, world.size() > 1 ? 2 : 1);
}

void one_exchange_serves_many_calls(Communicator& world, const ExchangeCase& base) {
  const int64_t dim = 3, tokens = 5;
  ExchangeCase c = base;
  c.dim = dim;
  c.top_k = 2;
  c.exchange_bytes = 500;
  const auto exchange = make_exchange(world, shape_of(c, world.size()));
  Arena arena(exchange->scratch_bytes(tokens).arena_bytes);
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  int num_polls = 0;
  stream.poll = [&] { ++num_polls; };
  for (int call = 0; call < 4; ++call) {
    std::vector<float> x, y(static_cast<size_t>(tokens * 2 * dim));
    std::vector<int32_t> experts;
    for (int64_t t = 0; t < tokens; ++t) {
      const auto chosen = scattered(t + call * 100 + world.rank() * 7, 2, 13);
      experts.insert(experts.end(), chosen.begin(), chosen.end());
      x.insert(x.end(), static_cast<size_t>(dim), static_cast<float>(world.rank() * 100 + t));
    }
    exchange->run(stream, arena, {x.data(), {tokens, dim}, DType::f32}, {experts.data(), {tokens, 2}, DType::i32}, 0,
                  scaling_experts(exchange->placement(), world.rank()), {y.data(), {tokens * 2, dim}, DType::f32});
    for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], x[i / 6 * 3] * static_cast<float>(experts[i / 3] + 1));
  }
  EXPECT_EQ(exchange->counters().calls, 4);
  EXPECT_GT(num_polls, 0);  // the caller's own poll is still called
}

}  // namespace

std::vector<Check> exchange_checks() {
  constexpr std::pair<const char*, void (*)(Communicator&, const ExchangeCase&)> kChecks[] = {
      {"identity_experts_return_the_rows", identity_experts_return_the_rows},
      {"rows_reach_their_experts", rows_reach_their_experts},
      {"every_budget_gives_the_same_bits", every_budget_gives_the_same_bits},
      {"rounds_are_those_of_the_longest_list", rounds_are_those_of_the_longest_list},
      {"all_tokens_to_one_expert", all_tokens_to_one_expert},
      {"ranks_without_tokens_take_part", ranks_without_tokens_take_part},
      {"every_expert_for_every_token", every_expert_for_every_token},
      {"as_many_ranks_as_experts", as_many_ranks_as_experts},
      {"combine_is_the_weighted_sum", combine_is_the_weighted_sum},
      {"groups_exchange_independently", groups_exchange_independently},
      {"counters_count_what_crossed", counters_count_what_crossed},
      {"arena_use_is_predicted", arena_use_is_predicted},
      {"received_rows_are_in_order", received_rows_are_in_order},
      {"one_exchange_serves_many_calls", one_exchange_serves_many_calls}};
  std::vector<Check> checks;
  for (const auto& [where, placement] : all_placements())
    for (const auto& [name, check] : kChecks) {
      ExchangeCase base;
      base.placement = placement;
      checks.push_back({std::string(name) + "_" + where, [check, base](Communicator& world) { check(world, base); }});
    }
  return checks;
}

}  // namespace switchyard::test
