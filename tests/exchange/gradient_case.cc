#include "tests/exchange/gradient_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/listed_rows.h"

namespace switchyard::test {
namespace {

/// Global ids are in order of the slices.
int64_t first_token(const GradientCase& c, int64_t slice) {
  int64_t id = 0;
  for (int64_t s = c.slices.first; s < slice; ++s) id += c.tokens_of(s);
  return id;
}

std::vector<int32_t> experts_of(const GradientCase& c, int64_t id) {
  return c.rows.routing(id, c.rows.top_k, c.rows.num_experts);
}

// Factors of a token's row in what travels.
constexpr float kU = 1, kDy = -2;
float dx_factor(int expert) {
  return static_cast<float>(expert + 3);
}
float weight_of(int64_t id, size_t slot) {
  return static_cast<float>(id) + static_cast<float>(slot) / 16;
}
float dweight_of(int64_t id, int expert) {
  return static_cast<float>(-16 * id - expert);
}

/// A (token, slot) that chose an expert.
struct Chosen {
  int64_t id;
  size_t slot;
  int expert;
};

std::vector<Chosen> chosen_in(const GradientCase& c, int expert, int64_t slice) {
  std::vector<Chosen> list;
  const int64_t first = first_token(c, slice);
  for (int64_t id = first; id < first + c.tokens_of(slice); ++id) {
    const auto experts = experts_of(c, id);
    const auto found = std::ranges::find(experts, expert);
    if (found != experts.end()) list.push_back({id, static_cast<size_t>(found - experts.begin()), expert});
  }
  return list;
}

void expect_row(const GradientCase& c, ConstView view, int64_t row, const Chosen& chosen, float factor,
                const char* name) {
  const auto expected = expected_row(c.rows, chosen.id, factor);
  EXPECT_EQ(std::memcmp(view.slice(row, 1).data, expected.data(), expected.size()), 0)
      << name << ", row " << row << ": expert " << chosen.expert << ", token " << chosen.id;
}

/// This rank's part of the step.
struct Tokens {
  std::vector<int64_t> ids, slice_offsets = {0};
  std::vector<int32_t> expert_of;
  std::vector<std::byte> u, dy, dx, y;
  std::vector<float> weight, dweight;

  Tokens(const GradientCase& c, const SliceRange& slices, int64_t room) {
    for (int64_t slice = slices.first; slice < slices.end; ++slice) {
      const int64_t first = first_token(c, slice);
      for (int64_t id = first; id < first + c.tokens_of(slice); ++id) add(c, id);
      slice_offsets.push_back(std::ssize(ids));
    }
    dx.assign(u.size() * static_cast<size_t>(c.rows.top_k), std::byte{0xff});
    y = dx;
    const size_t behind = static_cast<size_t>(room * c.rows.dim) * size_of(c.rows.dtype);
    for (std::vector<std::byte>* rows : {&u, &dy, &dx, &y}) rows->resize(rows->size() + behind, std::byte{0xff});
    dweight.assign(weight.size(), std::numeric_limits<float>::quiet_NaN());
  }

  void add(const GradientCase& c, int64_t id) {
    ids.push_back(id);
    const auto append_row = [&](std::vector<std::byte>& rows, float factor) {
      const auto row = expected_row(c.rows, id, factor);
      rows.insert(rows.end(), row.begin(), row.end());
    };
    append_row(u, kU);
    append_row(dy, kDy);
    for (const int32_t expert : experts_of(c, id)) {
      weight.push_back(weight_of(id, weight.size() % static_cast<size_t>(c.rows.top_k)));
      expert_of.push_back(expert);
    }
  }

  View rows(const GradientCase& c, std::vector<std::byte>& bytes, int64_t count) const {
    return {bytes.data(), {count, c.rows.dim}, c.rows.dtype};
  }
  template <class T>
  View per_slot(const GradientCase& c, std::vector<T>& values) const {
    return {values.data(), {std::ssize(ids), c.rows.top_k}, DTypeOf<T>::value};
  }

  void expect_results(const GradientCase& c, Way way) {
    const ConstView all = rows(c, way == Way::forward ? y : dx, std::ssize(expert_of));
    for (size_t i = 0; i < expert_of.size(); ++i) {
      const size_t slot = i % static_cast<size_t>(c.rows.top_k);
      const Chosen chosen{ids[i / static_cast<size_t>(c.rows.top_k)], slot, expert_of[i]};
      expect_row(c, all, static_cast<int64_t>(i), chosen, dx_factor(chosen.expert), "returned");
      if (way == Way::backward) {
        EXPECT_EQ(dweight[i], dweight_of(chosen.id, chosen.expert)) << "token " << chosen.id << ", slot " << slot;
      }
    }
  }
};

/// The host's side of a window: verifies what came, and writes results. Counts the (expert, slice)s.
void host_window(const GradientCase& c, const GradientExchangeShape& shape, Way way, int host,
                 const GradientRows& window, std::vector<int32_t>& seen) {
  const SliceRange slices = window.rows.slices;
  const ListedRows u(window.u, window.input_row), dy(window.dy, window.input_row),
      result(window.result, window.result_row);
  int64_t row = 0;
  size_t at = 0;
  for (int64_t group = 0; group < window.rows.num_groups(); ++group) {
    const int expert = shape.placement.experts_of(host)[static_cast<size_t>(window.first_expert + group)];
    for (int64_t slice = slices.first; slice < slices.end; ++slice) {
      ASSERT_EQ(window.rows.offsets[at++], row);
      ++seen[static_cast<size_t>(expert * c.slices.count() + slice - c.slices.first)];
      for (const Chosen& chosen : chosen_in(c, expert, slice)) {
        ASSERT_LT(row, u.count());
        expect_row(c, u.of, u[row], chosen, kU, "u");
        const auto expected = expected_row(c.rows, chosen.id, dx_factor(expert));
        std::memcpy(window.result.slice(result[row], 1).data, expected.data(), expected.size());
        if (way == Way::backward) {
          expect_row(c, dy.of, dy[row], chosen, kDy, "dy");
          EXPECT_EQ(window.weight.as<float>()[row], weight_of(chosen.id, chosen.slot));
          window.dweight.as<float>()[row] = dweight_of(chosen.id, expert);
        }
        ++row;
      }
    }
  }
  EXPECT_EQ(window.rows.num_rows(), row);
  EXPECT_EQ(window.weight.rows(), row);
  EXPECT_EQ(window.dweight.rows(), row);
  if (row > 0) {
    EXPECT_EQ(u.count(), row);
    EXPECT_EQ(result.count(), row);
  }
}

/// The rows' bytes and numbers, which stay while results travel.
std::vector<std::byte> came_in(const GradientRows& window) {
  std::vector<std::byte> bytes;
  for (const ConstView& view : {window.u, window.dy, window.weight}) {
    if (view.data == nullptr) continue;
    bytes.insert(bytes.end(), static_cast<const std::byte*>(view.data),
                 static_cast<const std::byte*>(view.data) + view.bytes());
  }
  return bytes;
}

}  // namespace

std::vector<SliceRange> shared_out(const SliceRange& slices, int ranks) {
  std::vector<SliceRange> shares;
  for (int r = 0; r < ranks; ++r)
    shares.push_back({slices.first + slices.count() * r / ranks, slices.first + slices.count() * (r + 1) / ranks});
  return shares;
}

GradientExchangeShape shape_of(const GradientCase& c, int num_ranks) {
  GradientExchangeShape shape{.placement = c.rows.placement(c.rows.num_experts, num_ranks),
                              .dim = c.rows.dim,
                              .top_k = c.rows.top_k,
                              .dtype = c.rows.dtype,
                              .bytes = c.rows.exchange_bytes,
                              .slices_of_rank = c.share(c.slices, num_ranks)};
  for (const SliceRange& slices : shape.slices_of_rank) {
    int64_t tokens = 0;
    for (int64_t slice = slices.first; slice < slices.end; ++slice) {
      tokens += c.tokens_of(slice);
      shape.max_slice_tokens = std::max(shape.max_slice_tokens, c.tokens_of(slice));
    }
    shape.max_tokens = std::max(shape.max_tokens, tokens);
  }
  return shape;
}

GradientResult run_gradients(Communicator& group, GradientExchange& exchange, const GradientCase& c) {
  const GradientExchangeShape& shape = exchange.shape();
  Tokens tokens(c, shape.slices_of_rank[static_cast<size_t>(group.rank())], exchange.room());
  GradientResult result;
  result.scratch = exchange.scratch();
  Arena arena(result.scratch.arena_bytes);
  ThreadPool pool(2);
  Stream stream;
  stream.pool = &pool;
  std::vector<int32_t> seen(static_cast<size_t>(c.rows.num_experts * c.slices.count()));
  const int64_t num_tokens = std::ssize(tokens.ids), room = exchange.room();
  GradientTensors forward, backward;
  forward.u = backward.u = tokens.rows(c, tokens.u, num_tokens + room);
  forward.result = tokens.rows(c, tokens.y, num_tokens * c.rows.top_k + room);
  backward.dy = tokens.rows(c, tokens.dy, num_tokens + room);
  backward.weight = tokens.per_slot(c, tokens.weight);
  backward.result = tokens.rows(c, tokens.dx, num_tokens * c.rows.top_k + room);
  backward.dweight = tokens.per_slot(c, tokens.dweight);
  const auto host = [&](Way way, const GradientRows& window) {
    host_window(c, shape, way, group.rank(), window, seen);
    result.most_rows = std::max(result.most_rows, window.rows.num_rows());
    result.any_parts |= window.rows.slices != c.slices;
  };
  const auto go = [&](Way way, const GradientTensors& tensors) {
    const auto windows =
        exchange.plan(stream, arena, way, 0, tokens.per_slot(c, tokens.expert_of), tokens.slice_offsets, tensors);
    while (windows->begin()) {
      const GradientRows window = windows->rows();
      host(way, window);
      const std::vector<std::byte> before = came_in(window);
      windows->give_back();
      windows->stream().parallel_for(8, [](int64_t, int) {});  // results travel
      EXPECT_EQ(came_in(window), before);
    }
  };
  go(Way::backward, backward);
  result.counters = exchange.counters();
  go(Way::forward, forward);
  EXPECT_EQ(arena.mark(), 0u);
  result.arena_used = arena.high_water();
  result.any_parts = group.all_reduce_one(int64_t{result.any_parts}, ReduceOp::max) != 0;
  group.all_reduce({seen.data(), {std::ssize(seen)}, DType::i32}, ReduceOp::sum);
  for (const int32_t times : seen) EXPECT_EQ(times, 2);  // on each way
  EXPECT_LE(result.most_rows, result.scratch.max_rows);
  for (const Way way : {Way::forward, Way::backward}) tokens.expect_results(c, way);
  return result;
}

GradientResult run_gradients(Communicator& group, const GradientCase& c) {
  GradientExchange exchange(group, shape_of(c, group.size()));
  return run_gradients(group, exchange, c);
}

}  // namespace switchyard::test
