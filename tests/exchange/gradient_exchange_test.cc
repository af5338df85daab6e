// The shared checks on ranks that are threads, and what they cannot say: failures.
#include "exchange/gradient_exchange.h"

#include <gtest/gtest.h>

#include "tests/exchange/exchange_checks.h"
#include "tests/exchange/gradient_case.h"

namespace switchyard::test {
namespace {

class ThreadGradientExchange : public testing::TestWithParam<std::tuple<int, Check>> {};

TEST_P(ThreadGradientExchange, Check) {
  const auto& [size, check] = GetParam();
  run_thread_ranks(size, [body = check.body](Communicator& world) { body(world); });
}

INSTANTIATE_TEST_SUITE_P(All, ThreadGradientExchange,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7),
                                          testing::ValuesIn(gradient_exchange_checks())),
                         [](const auto& test) {
                           return std::get<1>(test.param).name + "_" + std::to_string(std::get<0>(test.param));
                         });

TEST(GradientExchange, OneRankSendsNothing) {
  const auto self = make_self_communicator();
  GradientCase c;
  c.rows.exchange_bytes = 1000;
  const GradientResult result = run_gradients(*self, c);
  EXPECT_EQ(result.counters.bytes_to, std::vector<int64_t>{0});
  // No room for rows, which stay where they are: two numbers of each.
  EXPECT_EQ(GradientExchange(*self, shape_of(c, 1)).room(), 0);
  Arena arena = Arena::measuring(Device::cpu);
  const GradientBuffers buffers(arena, shape_of(c, 1), 64);
  EXPECT_EQ(arena.high_water(), 64u * (2 * 4));
}

/// A budget of real sizes is used nearly whole: 128 experts on 8 ranks, rows of 2048 bf16.
TEST(GradientExchange, BudgetsOfRealSizesAreUsed) {
  for (const int64_t bytes : {int64_t{64} << 20, int64_t{1} << 30, int64_t{16} << 30}) {
    const GradientExchangeShape shape{.placement = ExpertPlacement::blocks(128, 8),
                                      .dim = 2048,
                                      .top_k = 8,
                                      .dtype = DType::bf16,
                                      .bytes = bytes,
                                      .slices_of_rank = shared_out({0, 256}, 8),
                                      .max_tokens = 131'072,
                                      .max_slice_tokens = 1024};
    const GradientScratch scratch = gradient_scratch(shape, 16);
    Arena arena = Arena::measuring(Device::cpu);
    const GradientBuffers buffers(arena, shape, scratch.max_rows);
    for (int i = 0; i < 3; ++i) arena.alloc({scratch.max_rows, shape.dim}, shape.dtype);  // behind u, dy and result
    EXPECT_LE(static_cast<int64_t>(arena.high_water()), bytes);
    EXPECT_GT(static_cast<int64_t>(arena.high_water()), bytes - 30'000);
    EXPECT_GE(gradient_scratch(shape, 17).arena_bytes, scratch.arena_bytes);
  }
}

void expect_refused(const GradientExchangeShape& shape, std::vector<int64_t> slice_offsets, int64_t tokens) {
  const auto self = make_self_communicator();
  std::vector<int32_t> expert_of(static_cast<size_t>(tokens * shape.top_k));
  for (size_t i = 0; i < expert_of.size(); ++i) expert_of[i] = static_cast<int32_t>(i % 2);
  Arena arena(1 << 20);
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  const View rows{nullptr, {tokens, shape.dim}}, results{nullptr, {tokens * shape.top_k, shape.dim}},
      numbers{nullptr, {tokens, shape.top_k}};
  EXPECT_THROW(GradientExchange(*self, shape)
                   .plan(stream, arena, Way::backward, 0, {expert_of.data(), numbers.shape, DType::i32}, slice_offsets,
                         {.u = rows, .dy = rows, .weight = numbers, .result = results, .dweight = numbers}),
               Error);
}

TEST(GradientExchange, WhatDoesNotFitTheShapeIsAnInternalError) {
  const GradientExchangeShape good{.placement = ExpertPlacement::blocks(4, 1),
                                   .dim = 2,
                                   .top_k = 2,
                                   .bytes = 1000,
                                   .slices_of_rank = {{0, 2}},
                                   .max_tokens = 5,
                                   .max_slice_tokens = 3};
  expect_refused(good, {0, 3, 6}, 6);  // too many tokens
  expect_refused(good, {0, 4, 5}, 5);  // in a slice
  expect_refused(good, {0, 3}, 3);     // too few slices
  expect_refused(good, {0, 2, 3}, 4);  // of other tokens
  expect_refused(good, {0, 3, 2}, 2);  // backwards
  GradientExchangeShape bad = good;
  bad.slices_of_rank = {{0, 1}, {1, 2}};
  expect_refused(bad, {0, 1, 2}, 2);  // slices of two ranks
  bad = good;
  bad.top_k = 5;
  expect_refused(bad, {0, 1, 2}, 2);
}

}  // namespace
}  // namespace switchyard::test
