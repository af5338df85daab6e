#include "exchange/exchange_round.h"

#include <algorithm>
#include <numeric>

#include "exchange/travel.h"
#include "kernels/routing/permute.h"

namespace switchyard {
namespace {

std::vector<View> alloc_buffers(Arena& arena, const Shape& shape, DType dtype, int count) {
  std::vector<View> buffers;
  buffers.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) buffers.push_back(arena.alloc(shape, dtype));
  return buffers;
}

const View& buffer_of(const std::vector<View>& buffers, int64_t round) {
  return buffers[static_cast<size_t>(round) % buffers.size()];
}

}  // namespace

Routes::Routes(const ExpertPlacement& where, int rank, ConstView chosen)
    : placement(where), expert_of(chosen), plan(plan_routes(chosen, where, rank)) {}

/// The whole matrix, so that all ranks know the number of rounds.
std::vector<int32_t> Routes::exchange_counts(Communicator& group, int32_t note) {
  const int num_ranks = group.size();
  const auto width = static_cast<size_t>(num_ranks) + 1;
  std::vector<int32_t> mine, all(width * static_cast<size_t>(num_ranks)), notes;
  mine.reserve(width);
  for (int r = 0; r < num_ranks; ++r) mine.push_back(static_cast<int32_t>(plan.rows_to(r)));
  mine.push_back(note);
  group.all_gather({mine.data(), {1, num_ranks + 1}, DType::i32}, {all.data(), {num_ranks, num_ranks + 1}, DType::i32});
  row_counts.reserve(all.size());
  notes.reserve(width);
  for (size_t first = 0; first < all.size(); first += width) {
    row_counts.insert(row_counts.end(), &all[first], &all[first + width - 1]);
    notes.push_back(all[first + width - 1]);
  }
  return notes;
}

int64_t Routes::most_rows() const {
  return std::ranges::max(row_counts);
}

size_t RoundLayout::buffer_bytes() const {
  const auto num = static_cast<size_t>(num_buffers);
  return (1 + num) * (allocation_bytes(rows(), dtype, device) + allocation_bytes(results(), dtype, device));
}

size_t RoundLayout::list_bytes(int num_local_experts) const {
  if (device == Device::cpu) return 0;
  const size_t work = OwnedGroupedRows::device_bytes(num_local_experts, num_results(), device);
  return std::max(work, allocation_bytes({std::max(num_rows(), num_results())}, DType::i32, device));
}

size_t RoundLayout::host_bytes(int num_local_experts) const {
  const int64_t metadata = 2 * num_rows() * top_k;
  const int64_t lists = num_rows() + 3 * num_results();  // tokens_, input_row and output_row, y_rows_
  const int64_t notices = 2 * 2 * int64_t{num_ranks};
  const int64_t tables = 8 * int64_t{num_ranks} + 2 * (int64_t{num_local_experts} + 1);
  return static_cast<size_t>(metadata + lists + notices) * sizeof(int32_t) +
         static_cast<size_t>(tables) * sizeof(int64_t) + 2 * static_cast<size_t>(num_buffers) * sizeof(View);
}

Dispatch::Dispatch(const Trip& trip, const RoundLayout& layout, Arena& arena)
    : trip_(trip),
      layout_(layout),
      arena_(arena),
      send_(arena.alloc(layout.rows(), layout.dtype)),
      received_(alloc_buffers(arena, layout.rows(), layout.dtype, layout.num_buffers)),
      send_metadata_(static_cast<size_t>(layout.num_rows() * layout.top_k)),
      received_metadata_(send_metadata_.size()),
      rows_to_(static_cast<size_t>(layout.num_ranks)),
      rows_from_(rows_to_.size()),
      results_to_(rows_to_.size()),
      notices_(layout.num_ranks) {
  tokens_.reserve(static_cast<size_t>(layout.num_rows()));
  work_.input_row.reserve(static_cast<size_t>(layout.num_results()));
  work_.output_row.reserve(static_cast<size_t>(layout.num_results()));
  work_.offsets.resize(static_cast<size_t>(trip.routes.placement.count(trip.group.rank())) + 1);
}

int64_t Dispatch::rows_from(int rank, int64_t round) const {
  const int64_t left = trip_.routes.rows_between(rank, trip_.group.rank()) - round * layout_.rows_per_pair;
  return std::clamp<int64_t>(left, 0, layout_.rows_per_pair);
}

View Dispatch::metadata(std::vector<int32_t>& numbers, int64_t rows) const {
  return {numbers.data(), {rows, layout_.top_k}, DType::i32, Device::cpu};
}

void Dispatch::start(const Stream& stream, int64_t round) {
  tokens_.clear();
  int32_t* metadata_end = send_metadata_.data();
  for (int r = 0; r < layout_.num_ranks; ++r) {
    const auto some = trip_.routes.plan.tokens_to(r, round * layout_.rows_per_pair, layout_.rows_per_pair);
    rows_to_[static_cast<size_t>(r)] = std::ssize(some);
    rows_from_[static_cast<size_t>(r)] = rows_from(r, round);
    tokens_.insert(tokens_.end(), some.begin(), some.end());
    for (const int32_t token : some)
      for (int slot = 0; slot < layout_.top_k; ++slot) *metadata_end++ = trip_.routes.expert_on(r, token, slot);
  }
  const int64_t num_sent = std::ssize(tokens_), num_received = total(rows_from_);
  const View rows = send_.slice(0, num_sent);
  if (num_sent > 0) {
    const ArenaScope scope(arena_);
    gather_rows(stream, trip_.x, on_device(stream, arena_, view_of(tokens_)), rows);
  }

  pending_notice_ = notices_.send(trip_.group, stream, rows_to_, rows_from_, trip_.clock);
  pending_rows_[0] = trip_.group.start_all_to_all_v(stream, metadata(send_metadata_, num_sent), rows_to_,
                                                    metadata(received_metadata_, num_received), rows_from_);
  pending_rows_[1] = trip_.group.start_all_to_all_v(stream, rows, rows_to_,
                                                    buffer_of(received_, round).slice(0, num_received), rows_from_);
  const size_t bytes_each =
      static_cast<size_t>(layout_.dim) * size_of(layout_.dtype) + static_cast<size_t>(layout_.top_k) * sizeof(int32_t);
  count_bytes(rows_to_, bytes_each, trip_.bytes_to);
}

void Dispatch::poll() {
  pending_notice_.poll();
  for (Pending& pending : pending_rows_) pending.poll();
}

void Dispatch::finish(int64_t round) {
  wait_for(pending_notice_, pending_rows_, notices_, trip_.clock, trip_.times);
  received_rows_ = buffer_of(received_, round).slice(0, total(rows_from_));
  group_by_expert();
}

/// Sorts what the metadata asks for by expert, stably.
void Dispatch::group_by_expert() {
  const auto experts_of = [&](int64_t row) {
    return std::span(received_metadata_)
        .subspan(static_cast<size_t>(row * layout_.top_k), static_cast<size_t>(layout_.top_k));
  };
  std::vector<int64_t>& offsets = work_.offsets;
  const auto num_experts = static_cast<int32_t>(offsets.size() - 1);
  std::ranges::fill(offsets, 0);
  for (int64_t r = 0, row = 0; r < layout_.num_ranks; ++r) {
    int64_t& num_results = results_to_[static_cast<size_t>(r)];
    num_results = 0;
    for (const int64_t end = row + rows_from_[static_cast<size_t>(r)]; row < end; ++row)
      for (const int32_t expert : experts_of(row)) {
        SWITCHYARD_CHECK(expert >= -1 && expert < num_experts, "rank {} asks for expert {} of {}", r, expert,
                         num_experts);
        if (expert < 0) continue;
        ++offsets[static_cast<size_t>(expert) + 1];
        ++num_results;
      }
  }
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  SWITCHYARD_CHECK(num_results() <= layout_.num_results(), "{} results in a round of {}", num_results(),
                   layout_.num_results());

  std::vector<int32_t>&input_row = work_.input_row, &output_row = work_.output_row;
  input_row.resize(static_cast<size_t>(num_results()));
  output_row.resize(static_cast<size_t>(num_results()));
  std::vector<int64_t> next(offsets.begin(), offsets.end() - 1);
  int32_t result = 0;
  for (int32_t row = 0; row < received_rows_.rows(); ++row)
    for (const int32_t expert : experts_of(row)) {
      if (expert < 0) continue;
      const auto i = static_cast<size_t>(next[static_cast<size_t>(expert)]++);
      input_row[i] = row;
      output_row[i] = result++;
    }
}

Return::Return(const Trip& trip, const RoundLayout& layout, Arena& arena)
    : trip_(trip),
      layout_(layout),
      arena_(arena),
      results_(alloc_buffers(arena, layout.results(), layout.dtype, layout.num_buffers)),
      returned_(arena.alloc(layout.results(), layout.dtype)),
      results_from_(static_cast<size_t>(layout.num_ranks)),
      notices_(layout.num_ranks) {
  y_rows_.reserve(static_cast<size_t>(layout.num_results()));
}

View Return::results(int64_t round, int64_t count) const {
  return buffer_of(results_, round).slice(0, count);
}

void Return::start(const Stream& stream, int64_t round, const Dispatch& dispatch) {
  y_rows_.clear();
  for (int r = 0; r < layout_.num_ranks; ++r) {
    const int64_t before = std::ssize(y_rows_);
    for (const int32_t token : trip_.routes.plan.tokens_to(r, round * layout_.rows_per_pair, layout_.rows_per_pair))
      for (int slot = 0; slot < layout_.top_k; ++slot)
        if (trip_.routes.expert_on(r, token, slot) >= 0) y_rows_.push_back(token * layout_.top_k + slot);
    results_from_[static_cast<size_t>(r)] = std::ssize(y_rows_) - before;
  }
  pending_notice_ = notices_.send(trip_.group, stream, dispatch.results_to(), results_from_, trip_.clock);
  pending_results_ =
      trip_.group.start_all_to_all_v(stream, results(round, dispatch.num_results()), dispatch.results_to(),
                                     returned_.slice(0, std::ssize(y_rows_)), results_from_);
  count_bytes(dispatch.results_to(), static_cast<size_t>(layout_.dim) * size_of(layout_.dtype), trip_.bytes_to);
}

void Return::poll() {
  pending_notice_.poll();
  pending_results_.poll();
}

void Return::finish(const Stream& stream) {
  wait_for(pending_notice_, {&pending_results_, 1}, notices_, trip_.clock, trip_.times);
  if (y_rows_.empty()) return;
  const ArenaScope scope(arena_);
  scatter_rows(stream, returned_.slice(0, std::ssize(y_rows_)), on_device(stream, arena_, view_of(y_rows_)), trip_.y);
  y_rows_.clear();
}

}  // namespace switchyard
