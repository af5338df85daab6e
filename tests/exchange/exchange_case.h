// An exchange whose every row is a function of the token's global id, so that any rank can verify any row.
#pragma once

#include <functional>
#include <vector>

#include "exchange/exchange.h"
#include "tests/support/placements.h"

namespace switchyard::test {

/// k distinct experts of the token, deterministic.
using Router = std::function<std::vector<int32_t>(int64_t token, int top_k, int num_experts)>;
std::vector<int32_t> scattered(int64_t token, int top_k, int num_experts);   ///< as if at random
std::vector<int32_t> first_ones(int64_t token, int top_k, int num_experts);  ///< experts 0 … k − 1

struct ExchangeCase {
  int num_experts = 13;
  int top_k = 4;
  int64_t dim = 6;
  DType dtype = DType::f32;
  int64_t exchange_bytes = int64_t{1} << 20;
  Router routing = scattered;
  MakePlacement placement = ExpertPlacement::blocks;
  int num_layers = 1, layer = 0;
  std::function<int64_t(int rank)> tokens_of = [](int rank) { return int64_t{9} + rank * 4; };
};

ExchangeShape shape_of(const ExchangeCase& c, int num_ranks);

/// The id of token `t` of a rank.
int64_t global_token(const ExchangeCase& c, int rank, int64_t t);

struct ExchangeResult {
  std::vector<std::byte> y;  ///< [tokens · k, dim]
  ExchangeCounters counters;
  ExchangeScratch scratch;
  size_t arena_used = 0;
};

/// A rank's experts: e multiplies by e + 1.
Experts scaling_experts(const ExpertPlacement& placement, int rank);
/// Expert e copies.
Experts identity_experts();

/// Runs the case once; y has a sentinel in every row beforehand. Without `experts`: the scaling ones.
ExchangeResult run_exchange(Communicator& group, const ExchangeCase& c, Experts experts = {});

/// Row [dim] of token `id`, times `scale`, as bytes of the case's dtype.
std::vector<std::byte> expected_row(const ExchangeCase& c, int64_t id, float scale);

/// Every row of y is that of the scaling experts, bit for bit.
void expect_scaled(Communicator& group, const ExchangeCase& c, const ExchangeResult& result);

}  // namespace switchyard::test
