// The shared checks on ranks that are threads, and what they cannot say: one rank alone, and failures.
#include "exchange/exchange.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

#include "comm/staged_communicator.h"
#include "tests/exchange/exchange_case.h"
#include "tests/exchange/exchange_checks.h"

namespace switchyard::test {
namespace {

class ThreadExchange : public testing::TestWithParam<std::tuple<int, Check>> {};

TEST_P(ThreadExchange, Check) {
  const auto& [size, check] = GetParam();
  run_thread_ranks(size, [body = check.body](Communicator& world) { body(world); });
}

TEST_P(ThreadExchange, CheckPassingThroughStaging) {
  const auto& [size, check] = GetParam();
  run_thread_ranks(
      size, [body = check.body](Communicator& world) { body(*stage_through_host(world.split(0, world.rank()))); });
}

INSTANTIATE_TEST_SUITE_P(All, ThreadExchange,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7), testing::ValuesIn(exchange_checks())),
                         [](const auto& test) {
                           return std::get<1>(test.param).name + "_" + std::to_string(std::get<0>(test.param));
                         });

class SelfExchange : public testing::TestWithParam<Check> {};

TEST_P(SelfExchange, Check) {
  GetParam().body(*make_self_communicator());
}

INSTANTIATE_TEST_SUITE_P(All, SelfExchange, testing::ValuesIn(exchange_checks()),
                         [](const auto& test) { return test.param.name; });

TEST(Exchange, OneRankCopiesNothing) {
  const auto self = make_self_communicator();
  const auto exchange = make_exchange(*self, {.placement = ExpertPlacement::blocks(4, 1), .dim = 8, .top_k = 2});
  EXPECT_FALSE(exchange->budget_too_small());
  std::vector<float> x(3 * 8), y(6 * 8);
  const std::vector<int32_t> expert_of{3, 0, 1, 0, 0, 2};
  Arena arena(exchange->scratch_bytes(3).arena_bytes);  // lists, no rows
  ThreadPool pool(1);
  Stream stream;
  stream.pool = &pool;
  int num_calls = 0;
  exchange->run(
      stream, arena, {x.data(), {3, 8}, DType::f32}, {expert_of.data(), {3, 2}, DType::i32}, 0,
      [&](const Stream&, ConstView experts_x, const GroupedRows& rows, View experts_y) {
        ++num_calls;
        EXPECT_EQ(experts_x.data, x.data());
        EXPECT_EQ(experts_y.data, y.data());
        EXPECT_EQ(std::vector(rows.offsets.begin(), rows.offsets.end()), (std::vector<int64_t>{0, 3, 4, 5, 6}));
        EXPECT_EQ(std::vector(rows.input_row.begin(), rows.input_row.end()), (std::vector<int32_t>{0, 1, 2, 1, 2, 0}));
        EXPECT_EQ(std::vector(rows.output_row.begin(), rows.output_row.end()),
                  (std::vector<int32_t>{1, 3, 4, 2, 5, 0}));
      },
      {y.data(), {6, 8}, DType::f32});
  EXPECT_EQ(num_calls, 1);
  EXPECT_EQ(arena.high_water(), arena.capacity());
  EXPECT_EQ(exchange->counters().bytes_to, std::vector<int64_t>{0});
  EXPECT_EQ(exchange->counters().tokens_per_expert, (std::vector<int64_t>{3, 1, 1, 1}));
  EXPECT_EQ(exchange->counters().rounds, 0);
}

TEST(Exchange, BitsDependNeitherOnTheNumberOfRanksNorOnThePlacement) {
  // The same 40 tokens, shared out over any number of ranks.
  const auto all_rows = [](int num_ranks, int64_t budget, const MakePlacement& placement) {
    ExchangeCase c;
    c.placement = placement;
    c.dtype = DType::bf16;
    c.exchange_bytes = budget;
    c.tokens_of = [=](int rank) { return int64_t{40} * (rank + 1) / num_ranks - int64_t{40} * rank / num_ranks; };
    std::vector<std::byte> rows;
    run_thread_ranks(num_ranks, [&](Communicator& world) {
      const auto parts = world.gather_bytes(run_exchange(world, c).y, 0);
      for (const auto& part : parts) rows.insert(rows.end(), part.begin(), part.end());
    });
    return rows;
  };
  const auto expected = all_rows(1, 0, ExpertPlacement::blocks);
  EXPECT_EQ(expected.size(), 40u * 4 * 6 * 2);
  for (const int num_ranks : {2, 3, 5, 13})
    for (const auto& [name, placement] : all_placements())
      for (const int64_t budget : {0, 5000, 1 << 20})
        EXPECT_EQ(all_rows(num_ranks, budget, placement), expected) << num_ranks << " ranks, " << name;
}

/// One routing, two tensors along it: the same as two calls, and the tokens are counted once.
TEST(Exchange, ARoutingServesSeveralFlights) {
  for (const int num_ranks : {1, 2, 4})
    for (const int64_t budget : {0, 1 << 20})
      run_thread_ranks(num_ranks, [&](Communicator& world) {
        constexpr int64_t kTokens = 30, kTopK = 3;
        const ExpertPlacement placement = scattered_experts(5)(11, num_ranks);
        const ExchangeShape shape{.placement = placement, .dim = 2, .top_k = kTopK, .exchange_bytes = budget};
        std::vector<int32_t> chosen;
        for (int64_t t = 0; t < kTokens; ++t)
          for (const int32_t expert : scattered(world.rank() * kTokens + t, kTopK, 11)) chosen.push_back(expert);
        const ConstView expert_of{chosen.data(), {kTokens, kTopK}, DType::i32};
        const auto experts = scaling_experts(placement, world.rank());
        ThreadPool pool(2);
        Stream stream;
        stream.pool = &pool;
        const auto tensor = [&](int64_t rows, float seed) {
          std::vector<float> values(static_cast<size_t>(rows * 2));
          for (size_t i = 0; i < values.size(); ++i) values[i] = seed * static_cast<float>(i + 1);
          return values;
        };
        const auto view = [](std::vector<float>& values) {
          return View{values.data(), {std::ssize(values) / 2, 2}, DType::f32};
        };
        std::vector<float> x[] = {tensor(kTokens, 0.3f), tensor(kTokens, -1.7f)};

        const auto separate = make_exchange(world, shape), shared = make_exchange(world, shape);
        Arena arena(shared->scratch_bytes(kTokens).arena_bytes);
        std::vector<float> expected[] = {tensor(kTokens * kTopK, 0), tensor(kTokens * kTopK, 0)};
        for (const size_t i : {0, 1})
          separate->run(stream, arena, view(x[i]), expert_of, 0, experts, view(expected[i]));

        const auto routing = shared->route(stream, arena, expert_of, 0);
        for (const size_t i : {0, 1}) {
          auto y = tensor(kTokens * kTopK, 0);
          const auto flight = routing->flight(stream, arena, view(x[i]), experts, view(y));
          flight->begin();
          flight->finish();
          EXPECT_EQ(y, expected[i]) << "flight " << i;
        }
        EXPECT_EQ(shared->counters().calls, 2);
        EXPECT_EQ(std::accumulate(shared->counters().tokens_per_expert.begin(),
                                  shared->counters().tokens_per_expert.end(), int64_t{0}),
                  kTokens * kTopK);
        EXPECT_EQ(shared->counters().bytes_to, separate->counters().bytes_to);
      });
}

TEST(Exchange, AFailingExpertEndsAllRanks) {
  for (const int64_t budget : {0, 1 << 20}) {
    std::atomic<int> num_ended = 0;
    try {
      run_thread_ranks(4, [&](Communicator& world) {
        ExchangeCase c;
        c.exchange_bytes = budget;
        int num_calls = 0;
        const auto scaling = scaling_experts(c.placement(c.num_experts, 4), world.rank());
        try {
          run_exchange(world, c, [&](const Stream& stream, ConstView x, const GroupedRows& rows, View y) {
            if (world.rank() == 2 && ++num_calls == 2) fail(ExitCode::input, "expert out of order");
            scaling(stream, x, rows, y);
          });
          world.barrier();
        } catch (const Error&) {
          ++num_ended;
          throw;
        }
      });
      FAIL() << "no error came out";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "expert out of order");
    }
    EXPECT_EQ(num_ended, 4);
  }
}

TEST(Exchange, ARouteToNowhereIsAnInternalError) {
  for (const int num_ranks : {1, 3}) {
    try {
      run_thread_ranks(num_ranks, [&](Communicator& world) {
        ExchangeCase c;
        if (world.rank() == num_ranks - 1)
          c.routing = [](int64_t, int, int num_experts) { return std::vector<int32_t>{0, 1, 2, num_experts}; };
        run_exchange(world, c);
      });
      FAIL() << "no error came out";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::internal) << error.what();
      EXPECT_NE(std::string(error.what()).find("expert 13 of 13"), std::string::npos) << error.what();
    }
  }
}

TEST(Exchange, WrongShapesAreInternalErrors) {
  const auto self = make_self_communicator();
  const auto exchange = make_exchange(*self, {.placement = ExpertPlacement::blocks(4, 1), .dim = 2, .top_k = 2});
  std::vector<float> x(6), y(12);
  const std::vector<int32_t> expert_of{0, 1, 2, 3, 0, 1};
  Arena arena(exchange->scratch_bytes(3).arena_bytes);
  ThreadPool pool(1);
  const Stream stream{Device::cpu, &pool, {}};
  const auto run = [&](Shape x_shape, Shape route_shape, Shape y_shape, int layer = 0) {
    exchange->run(stream, arena, {x.data(), x_shape, DType::f32}, {expert_of.data(), route_shape, DType::i32}, layer,
                  [](const Stream&, ConstView, const GroupedRows&, View) {}, {y.data(), y_shape, DType::f32});
  };
  EXPECT_NO_THROW(run({3, 2}, {3, 2}, {6, 2}));
  EXPECT_THROW(run({2, 3}, {2, 2}, {4, 3}), Error);
  EXPECT_THROW(run({3, 2}, {2, 2}, {6, 2}), Error);
  EXPECT_THROW(run({3, 2}, {3, 2}, {3, 2, 2}), Error);
  EXPECT_THROW(run({3, 2}, {3, 2}, {6, 2}, 1), Error);
}

/// On shapes alone: no rank is asked, the most is taken, and experts see as many entries as there may be.
TEST(Exchange, AMeasuringOneTakesTheMost) {
  for (const Device device : {Device::cpu, Device::cuda})
    for (const int ranks : {1, 4}) {
      const ExchangeShape shape{.placement = ExpertPlacement::blocks(16, ranks),
                                .dim = 64,
                                .top_k = 4,
                                .dtype = DType::bf16,
                                .device = device,
                                .exchange_bytes = 100'000};
      const int num_local = 16 / ranks;
      const auto exchange = measuring_exchange(shape, num_local);
      Measurement measurement;
      Arena arena = Arena::measuring(device);
      size_t entries = 0, groups = 0;
      exchange->run(Stream::measuring(device, measurement), arena, {nullptr, {50, 64}, DType::bf16, device},
                    {nullptr, {50, 4}, DType::i32, device}, 0,
                    [&](const Stream&, ConstView, const GroupedRows& rows, View) {
                      entries = rows.input_row.size();
                      groups = rows.offsets.size() - 1;
                    },
                    {nullptr, {200, 64}, DType::bf16, device});
      const ExchangeScratch scratch = exchange_scratch(shape, num_local, 50);
      EXPECT_EQ(arena.high_water(), scratch.arena_bytes) << ranks << " ranks";
      EXPECT_EQ(entries, static_cast<size_t>(scratch.max_entries));
      EXPECT_EQ(groups, static_cast<size_t>(num_local));
      EXPECT_GT(entries, 0u);
    }
}

TEST(Exchange, BudgetsOfRealSizesAreUsed) {
  // 128 experts on 8 ranks, rows of 2048 bf16: nearly all of the budget, never more.
  run_thread_ranks(8, [](Communicator& world) {
    for (const int64_t budget : {int64_t{64} << 20, int64_t{1} << 30, int64_t{1} << 40}) {
      const auto exchange = make_exchange(world, {.placement = ExpertPlacement::blocks(128, 8),
                                                  .dim = 2048,
                                                  .top_k = 8,
                                                  .dtype = DType::bf16,
                                                  .exchange_bytes = budget});
      EXPECT_FALSE(exchange->budget_too_small());
      const auto used = static_cast<int64_t>(exchange->scratch_bytes(int64_t{1} << 40).arena_bytes);
      EXPECT_LE(used, budget);
      if (budget <= int64_t{1} << 30) {
        EXPECT_GT(used, budget - exchange->least_exchange_bytes());
      }
    }
  });
}

}  // namespace
}  // namespace switchyard::test
