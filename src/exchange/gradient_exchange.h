// A layer's experts in training: the rows of a whole step travel to the experts' hosts, and what these make of them
// back.
//
//   plan (counts of all ranks) -> windows of { begin, rows, the host's work, give_back, work that nobody waits for }
//
// What sums over rows needs them in one order, whoever has them: by expert, then slice, then token. Where not all rows
// of a host fit into its budget they come window by window (exchange/window_schedule.h), the same forward and backward.
// Forward each row brings the expert's input u, and a row of its result comes back per (token, slot); backward it
// brings u, the gradient dy of the weighted result, and the weight, and a row of dx and a number come back. A rank's
// own rows stay where they are; those of others arrive behind them, and windows are lists of both. In host memory only;
// one window at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/slice_tree.h"
#include "base/stream.h"
#include "comm/communicator.h"
#include "exchange/exchange.h"
#include "exchange/travel.h"
#include "exchange/window_schedule.h"

namespace switchyard {

enum class Way : uint8_t { forward, backward };

/// What it depends on; the same on all ranks of the group.
struct GradientExchangeShape {
  ExpertPlacement placement;
  int num_layers = 1;  ///< whose times are counted one by one
  int64_t dim = 0;     ///< elements of a row of u, dy and dx
  int top_k = 0;
  DType dtype = DType::f32;                     ///< of these rows: f32 or bf16
  int64_t bytes = 0;                            ///< budget of the rows' buffers
  std::vector<SliceRange> slices_of_rank = {};  ///< [ranks] consecutive; empty where a rank has no tokens
  int64_t max_tokens = 0;                       ///< of any rank
  int64_t max_slice_tokens = 0;                 ///< of any slice

  /// The group's.
  SliceRange slices() const { return {slices_of_rank.front().first, slices_of_rank.back().end}; }
};

/// Bytes that the windows of a layer take at most: of the arena exactly (on a rank with max_tokens tokens), of the
/// host's bookkeeping at most. max_rows: of a window. With the room behind a rank's rows they exceed the budget only
/// where a slice's rows of one expert do.
struct GradientScratch {
  size_t arena_bytes = 0, host_bytes = 0;
  int64_t max_rows = 0;
};
/// Of a rank that hosts `num_local` experts; never less for more of these.
GradientScratch gradient_scratch(const GradientExchangeShape& shape, int num_local);

/// Totals since construction.
struct GradientCounters {
  std::vector<int64_t> bytes_to;  ///< [ranks] sent to each other rank, there and back
  std::vector<ExchangeTimes>
      times;  ///< [layers] but `useful`, which is what the host does between rows() and give_back()
  int64_t windows = 0;
  int64_t calls = 0;        ///< plans
  int64_t assignments = 0;  ///< (token, slot) of this rank in all of them
  int64_t remote = 0;       ///< of these, to experts of other ranks

  ExchangeTimes total_times() const { return sum_of(times); }
};

/// What a layer's windows take beside the host's work. assignments: of a rank; size: assignments, bytes of a row, ranks
Work work_of_windows(double assignments, const GradientExchangeShape& shape, Way way);

/// A rank's tokens, and what comes back for them; forward u and result alone. The last room() rows are the windows'.
struct GradientTensors {
  View u;                 ///< [tokens + room, dim] dtype
  View dy = {};           ///< [tokens + room, dim] dtype
  ConstView weight = {};  ///< [tokens, k] f32
  View result;        ///< [tokens · k + room, dim] dtype, row token · k + slot: y, or dx; written after all windows
  View dweight = {};  ///< [tokens, k] f32, likewise
};

/// What a host has to do in a window. Rows are in order of expert, slice and token; all that an expert has of one slice
/// are in one window.
struct GradientRows {
  int first_expert = 0;  ///< by local index; rows.num_groups() experts follow each other, none: the host idles
  SlicedRows rows;       ///< of all the group's slices, or of some where a single expert has too many rows for a window
  ConstView u = {}, dy = {};                 ///< [., dim] dtype; dy backward only
  std::span<const int32_t> input_row = {};   ///< [rows] of u and dy
  ConstView weight = {};                     ///< [rows] f32; backward only
  View result = {};                          ///< [., dim] dtype, for the host to write: y, or dx
  std::span<const int32_t> result_row = {};  ///< [rows] of result
  View dweight = {};                         ///< [rows] f32, for the host to write; backward only
};

/// The buffers of a window. What was sent is free by then for what comes back.
struct GradientBuffers {
  GradientBuffers(Arena& arena, const GradientExchangeShape& shape, int64_t max_rows);

  View weight, dweight;  ///< [rows] f32, a host's in order
  View sent_u, sent_dy;  ///< [rows, dim] dtype, to the other ranks: by rank, then by expert, slice and token
  View sent_weight;      ///< [rows] f32, of these
  View received_weight;  ///< [rows] f32, of the rows that come from others; ordered likewise
};

/// Lists of a layer's windows, in the arena too.
struct GradientLists {
  GradientLists(Arena& arena, const GradientExchangeShape& shape, int num_local, int64_t num_tokens,
                const GradientBuffers& buffers);

  View first_assignment;             ///< [experts + 1] i64: this rank's (token, slot) assignments, sorted by expert,
  View token, assignment;            ///< [tokens · k] i32: and token and token · k + slot of each
  View before;                       ///< [experts, slices + 1] i32, see ExpertRows
  View offsets;                      ///< [local experts · slices + 1] i64, of a window
  View sent_token, sent_assignment;  ///< [sent rows] i32 of the rows sent in a window
  View input_row, result_row;        ///< [rows] i32 of a window's
};

/// The windows of a layer. All ranks of the group take the same steps in the same order, with or without tokens:
///   while (windows.begin()) { windows.rows(); …; windows.give_back(); …; }
class GradientWindows {
 public:
  /// See GradientExchange::plan().
  GradientWindows(Communicator& group, const GradientExchangeShape& shape, GradientCounters& counters, int layer,
                  Meetings& meetings, const Stream& stream, Arena& arena, Way way, ConstView expert_of,
                  std::span<const int64_t> slice_offsets, const GradientTensors& tensors);
  ~GradientWindows();
  GradientWindows(const GradientWindows&) = delete;
  GradientWindows& operator=(const GradientWindows&) = delete;

  /// Waits for what this rank's tokens of the last window were given back, and sends their rows of the next one; false
  /// when there is none.
  bool begin();
  /// Waits for the rows of this rank's experts; valid until begin().
  GradientRows rows();
  /// Sends what the host has written, and must leave alone from now on, to the tokens' owners.
  void give_back();
  /// For what the host does of the window after that: results travel between the tasks of this stream's loops.
  const Stream& stream() const { return polling_; }

 private:
  ExpertRows count_rows(ConstView expert_of, std::span<const int64_t> slice_offsets);
  void order_rows();
  void list_sent();
  void count_received();
  void list_rows();
  int64_t first_assignment(int expert, int64_t slice) const;
  void start_sending();
  void start_returning();
  void end_returning();
  void poll();
  template <class Numbers, class Visit>
  void for_each_number(Numbers own, View of_window, const Visit& visit) const;

  bool alone() const { return group_.size() == 1; }
  bool backward() const { return way_ == Way::backward; }
  std::span<const int> experts_in_window(int host) const {
    const WindowPart& part = schedule_->part(host);
    return shape_.placement.experts_of(host).subspan(static_cast<size_t>(part.first),
                                                     static_cast<size_t>(part.num_experts()));
  }
  std::span<const int> my_experts() const { return experts_in_window(group_.rank()); }
  const SliceRange& slices_of(int rank) const { return shape_.slices_of_rank[static_cast<size_t>(rank)]; }
  const WindowPart& my_part() const { return schedule_->part(group_.rank()); }
  size_t row_bytes() const { return static_cast<size_t>(shape_.dim) * size_of(shape_.dtype); }

  Communicator& group_;
  const GradientExchangeShape& shape_;
  GradientCounters& counters_;
  ExchangeTimes& times_;
  Meetings& meetings_;
  const Stream stream_;
  Stream polling_;      // whose ops poll
  Stream travelling_;   // likewise, of which no work is listed
  double seconds_ = 0;  // of all steps here, beside waiting for other ranks
  const ArenaScope scope_;
  const Way way_;
  const GradientTensors tensors_;
  const int64_t num_tokens_, num_assignments_;  // this rank's; others' rows come behind them
  const int64_t max_rows_;                      // of a window
  const GradientBuffers buffers_;
  const GradientLists lists_;
  ExpertRows expert_rows_;
  std::optional<WindowSchedule> schedule_;
  std::vector<int64_t> sent_to_, received_from_;  // [ranks] rows of the window
  std::vector<int64_t> next_received_;            // [ranks] while these are listed
  int64_t num_rows_ = 0;                          // of this rank's experts in the window
  bool returning_ = false;                        // results are on their way
  FlightClock clock_;
  Notices notices_;
  Pending pending_notice_;
  std::array<Pending, 3> pending_rows_;  // last: they end before what they use
};

/// Among the ranks of `group`, which outlives it and which the experts are placed on.
class GradientExchange {
 public:
  GradientExchange(Communicator& group, GradientExchangeShape shape);

  /// Tells all ranks of the group, which make their plans together, how many rows each expert has of each slice.
  /// layer: whose times; expert_of: [tokens, k] i32, a token's experts distinct; slice_offsets: [slices of this rank +
  /// 1] where the tokens of each begin. The arena is the windows' until they are no more; the stream's poll is called.
  std::unique_ptr<GradientWindows> plan(const Stream& stream, Arena& arena, Way way, int layer, ConstView expert_of,
                                        std::span<const int64_t> slice_offsets, const GradientTensors& tensors);

  /// Rows behind a rank's own in GradientTensors.
  int64_t room() const { return room_; }
  GradientScratch scratch() const { return gradient_scratch(shape_, shape_.placement.count(group_.rank())); }
  const GradientCounters& counters() const { return counters_; }
  const GradientExchangeShape& shape() const { return shape_; }

 private:
  Communicator& group_;
  const GradientExchangeShape shape_;
  const int64_t room_;
  GradientCounters counters_;
  Meetings meetings_;  ///< in which rows are counted
};

}  // namespace switchyard
