#include "tests/exchange/exchange_case.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "base/rng.h"

namespace switchyard::test {
namespace {

float element(const ExchangeCase& c, int64_t id, int64_t i) {
  return random_normal(static_cast<uint64_t>(id), static_cast<uint64_t>(i)) + static_cast<float>(c.dim);
}

void store(DType dtype, float value, std::byte* to) {
  if (dtype == DType::f32) {
    std::memcpy(to, &value, sizeof value);
  } else {
    const BFloat16 rounded = to_bfloat16(value);
    std::memcpy(to, &rounded, sizeof rounded);
  }
}

float load(DType dtype, const std::byte* from) {
  if (dtype == DType::f32) {
    float value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  BFloat16 value;
  std::memcpy(&value, from, sizeof value);
  return to_float(value);
}

/// y[output_row] = x[input_row] · scale(group), an entry a task.
template <class Scale>
void scale_rows(const Stream& stream, ConstView x, const GroupedRows& rows, View y, Scale scale) {
  const size_t size = size_of(x.dtype), dim = static_cast<size_t>(x.row_elements());
  for (size_t g = 0; g + 1 < rows.offsets.size(); ++g) {
    const int64_t first = rows.offsets[g];
    stream.parallel_for(rows.offsets[g + 1] - first, [&](int64_t task, int) {
      const auto entry = static_cast<size_t>(first + task);
      const auto* from =
          static_cast<const std::byte*>(x.data) + static_cast<size_t>(rows.input_row[entry]) * dim * size;
      auto* to = static_cast<std::byte*>(y.data) + static_cast<size_t>(rows.output_row[entry]) * dim * size;
      for (size_t i = 0; i < dim; ++i) store(x.dtype, load(x.dtype, from + i * size) * scale(g), to + i * size);
    });
  }
}

}  // namespace

std::vector<int32_t> scattered(int64_t token, int top_k, int num_experts) {
  std::vector<int32_t> deck(static_cast<size_t>(num_experts));
  std::iota(deck.begin(), deck.end(), 0);
  for (size_t j = 0; j < static_cast<size_t>(top_k); ++j)
    std::swap(deck[j], deck[j + random_bits(static_cast<uint64_t>(token), j) % (deck.size() - j)]);
  deck.resize(static_cast<size_t>(top_k));
  return deck;
}

std::vector<int32_t> first_ones(int64_t, int top_k, int) {
  std::vector<int32_t> experts(static_cast<size_t>(top_k));
  std::iota(experts.begin(), experts.end(), 0);
  return experts;
}

ExchangeShape shape_of(const ExchangeCase& c, int num_ranks) {
  return {.placement = c.placement(c.num_experts, num_ranks),
          .num_layers = c.num_layers,
          .dim = c.dim,
          .top_k = c.top_k,
          .dtype = c.dtype,
          .exchange_bytes = c.exchange_bytes};
}

int64_t global_token(const ExchangeCase& c, int rank, int64_t t) {
  for (int r = 0; r < rank; ++r) t += c.tokens_of(r);
  return t;
}

Experts scaling_experts(const ExpertPlacement& placement, int rank) {
  return [placement, rank](const Stream& stream, ConstView x, const GroupedRows& rows, View y) {
    scale_rows(stream, x, rows, y, [&](size_t g) { return static_cast<float>(placement.experts_of(rank)[g] + 1); });
  };
}

Experts identity_experts() {
  return [](const Stream& stream, ConstView x, const GroupedRows& rows, View y) {
    scale_rows(stream, x, rows, y, [](size_t) { return 1.0f; });
  };
}

std::vector<std::byte> expected_row(const ExchangeCase& c, int64_t id, float scale) {
  std::vector<std::byte> row(static_cast<size_t>(c.dim) * size_of(c.dtype));
  for (int64_t i = 0; i < c.dim; ++i) {
    std::byte* to = row.data() + static_cast<size_t>(i) * size_of(c.dtype);
    store(c.dtype, element(c, id, i), to);
    store(c.dtype, load(c.dtype, to) * scale, to);
  }
  return row;
}

ExchangeResult run_exchange(Communicator& group, const ExchangeCase& c, Experts experts) {
  const auto exchange = make_exchange(group, shape_of(c, group.size()));
  const int64_t tokens = c.tokens_of(group.rank());
  int64_t max_tokens = 0;
  for (int r = 0; r < group.size(); ++r) max_tokens = std::max(max_tokens, c.tokens_of(r));

  std::vector<std::byte> x;
  std::vector<int32_t> expert_of;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t id = global_token(c, group.rank(), t);
    const auto row = expected_row(c, id, 1);
    x.insert(x.end(), row.begin(), row.end());
    const auto chosen = c.routing(id, c.top_k, c.num_experts);
    expert_of.insert(expert_of.end(), chosen.begin(), chosen.end());
  }

  ExchangeResult result;
  result.scratch = exchange->scratch_bytes(max_tokens);
  result.y.assign(x.size() * static_cast<size_t>(c.top_k), std::byte{0xff});
  Arena arena(result.scratch.arena_bytes);
  ThreadPool pool(2);
  Stream stream;
  stream.pool = &pool;
  if (!experts) experts = scaling_experts(exchange->placement(), group.rank());
  exchange->run(stream, arena, {x.data(), {tokens, c.dim}, c.dtype}, {expert_of.data(), {tokens, c.top_k}, DType::i32},
                c.layer, experts, {result.y.data(), {tokens * c.top_k, c.dim}, c.dtype});
  EXPECT_EQ(arena.mark(), 0u);
  result.arena_used = arena.high_water();
  result.counters = exchange->counters();
  return result;
}

void expect_scaled(Communicator& group, const ExchangeCase& c, const ExchangeResult& result) {
  const size_t row_bytes = static_cast<size_t>(c.dim) * size_of(c.dtype);
  for (int64_t t = 0; t < c.tokens_of(group.rank()); ++t) {
    const int64_t id = global_token(c, group.rank(), t);
    const auto experts = c.routing(id, c.top_k, c.num_experts);
    for (size_t j = 0; j < experts.size(); ++j) {
      const auto expected = expected_row(c, id, static_cast<float>(experts[j] + 1));
      const size_t row = static_cast<size_t>(t) * experts.size() + j;
      EXPECT_EQ(std::memcmp(result.y.data() + row * row_bytes, expected.data(), row_bytes), 0)
          << "rank " << group.rank() << " of " << group.size() << ", token " << t << ", slot " << j << ", expert "
          << experts[j];
    }
  }
}

}  // namespace switchyard::test
