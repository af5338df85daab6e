// Tokens travel to the ranks that host their experts, and the experts' results travel back.
//
//   route -> plan (who needs what; counts first) -> rounds of { dispatch, experts, return } -> combine
//
// A token's row goes to each destination rank once, however many of its experts live there; results come back one row per
// (token, slot) and are summed by the token's owner in slot order, so that the bits do not depend on the number of ranks.
// Rounds bound the memory: no rank ever holds more than `exchange_bytes` of other ranks' rows and their results. What is
// local is computed while the first round travels.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "comm/communicator.h"
#include "comm/placement.h"
#include "kernels/grouped_ffn.h"

namespace switchyard {

/// Totals since construction; only what crossed between ranks counts as bytes.
struct ExchangeCounters {
  std::vector<int64_t> bytes_to;           ///< [ranks] bytes sent to each rank, dispatch and return together
  std::vector<int64_t> tokens_per_expert;  ///< [experts] (token, slot) assignments, this rank's tokens
  double wait_seconds = 0;                 ///< until the last rank arrived (counts exchange)
  double transfer_seconds = 0;             ///< in transfers not hidden behind computing
  int64_t rounds = 0;
  int64_t calls = 0;
};

class ExpertExchange {
 public:
  /// dim: elements of a row; dtype: what travels, the operand type of the experts (results are rounded to it, local ones
  /// too). exchange_bytes bounds what a rank receives, results included; one row per pair of ranks is the least.
  ExpertExchange(Communicator& group, ExpertPlacement placement, int64_t dim, int top_k, DType dtype,
                 int64_t exchange_bytes);

  /// Experts on rows: y[output_row] = E_g(x[input_row]) for the local experts g (0-based on this rank).
  using Experts = std::function<void(ConstView x, const GroupedRows& rows, View y)>;

  /// The whole way there and back. All ranks of the group call it together; zero tokens are fine.
  /// x: [tokens, dim] dtype; expert_of: [tokens, k] i32; y: [tokens · k, dim] dtype, row t·k + j = result of slot j.
  /// arena: scratch for the rounds; at most scratch_bytes(max tokens) of it.
  void run(const Stream& stream, Arena& arena, ConstView x, ConstView expert_of, const Experts& experts, View y);

  /// Bytes of arena and host bookkeeping that run() can take for up to `max_tokens` tokens of this rank, exactly the arena's
  /// part first.
  struct Scratch {
    size_t arena_bytes = 0, host_bytes = 0;
  };
  Scratch scratch_bytes(int64_t max_tokens) const;

  /// Rows each pair of ranks may exchange per round under the budget (at least one).
  int64_t rows_per_round() const { return rows_per_round_; }
  const ExchangeCounters& counters() const { return counters_; }
  const ExpertPlacement& placement() const { return placement_; }

 private:
  Communicator& group_;
  ExpertPlacement placement_;
  int64_t dim_;
  int top_k_;
  DType dtype_;
  int64_t rows_per_round_;
  ExchangeCounters counters_;
};

}  // namespace switchyard
