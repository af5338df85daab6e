#include "exchange/gradient_exchange.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "exchange/travel.h"
#include "kernels/routing/group_by_expert.h"
#include "kernels/routing/permute.h"

namespace switchyard {
namespace {

View alloc_matrix(Arena& arena, const GradientExchangeShape& shape, int64_t count) {
  return arena.alloc({count, shape.dim}, shape.dtype);
}

/// Rows of a window at most, of every host: as many as the budget allows, but those of any slice of an expert; no more
/// than there can be. It pays for the room behind u, dy and result too; in a group of one, which needs none, for what
/// the host makes of the rows instead.
int64_t rows_per_window(const GradientExchangeShape& shape) {
  const int64_t budget = largest_fitting([&](int64_t rows) {
    Arena arena = Arena::measuring(Device::cpu);
    const GradientBuffers buffers(arena, shape, rows);
    for (int i = 0; i < 3; ++i) alloc_matrix(arena, shape, rows);
    return static_cast<int64_t>(arena.high_water()) <= shape.bytes;
  });
  const int64_t tokens =
      std::min(shape.placement.num_ranks() * shape.max_tokens, shape.slices().count() * shape.max_slice_tokens);
  const int64_t most = tokens * std::min(shape.top_k, shape.placement.max_count());
  return std::min(most, std::max(budget, shape.max_slice_tokens));
}

/// [tokens, k] as gather and scatter take it.
template <class V>
V by_assignment(const V& numbers) {
  return numbers.reshaped({numbers.elements()});
}

void check_tensor(const char* name, ConstView view, const Shape& shape, DType dtype) {
  SWITCHYARD_CHECK(view.shape == shape && view.dtype == dtype, "{}: {} {}, expected {} {}", name, name_of(view.dtype),
                   view.shape.str(), name_of(dtype), shape.str());
}

}  // namespace

GradientBuffers::GradientBuffers(Arena& arena, const GradientExchangeShape& shape, int64_t max_rows) {
  weight = arena.alloc({max_rows}, DType::f32);
  dweight = arena.alloc({max_rows}, DType::f32);
  const int64_t others = shape.placement.num_ranks() == 1 ? 0 : max_rows;
  const int64_t sent = std::min(others, shape.max_tokens * shape.top_k);
  sent_u = alloc_matrix(arena, shape, sent);
  sent_dy = alloc_matrix(arena, shape, sent);
  sent_weight = arena.alloc({sent}, DType::f32);
  received_weight = arena.alloc({others}, DType::f32);
}

GradientLists::GradientLists(Arena& arena, const GradientExchangeShape& shape, int num_local, int64_t num_tokens,
                             const GradientBuffers& buffers) {
  const int64_t num_experts = shape.placement.num_experts(), num_slices = shape.slices().count();
  first_assignment = arena.alloc({num_experts + 1}, DType::i64);
  token = arena.alloc({num_tokens * shape.top_k}, DType::i32);
  assignment = arena.alloc({num_tokens * shape.top_k}, DType::i32);
  before = arena.alloc({num_experts, num_slices + 1}, DType::i32);
  offsets = arena.alloc({num_local * num_slices + 1}, DType::i64);
  sent_token = arena.alloc({buffers.sent_u.rows()}, DType::i32);
  sent_assignment = arena.alloc({buffers.sent_u.rows()}, DType::i32);
  input_row = arena.alloc({buffers.weight.rows()}, DType::i32);
  result_row = arena.alloc({buffers.weight.rows()}, DType::i32);
}

GradientScratch gradient_scratch(const GradientExchangeShape& shape, int num_local) {
  Arena arena = Arena::measuring(Device::cpu);
  const int64_t max_rows = rows_per_window(shape);
  const GradientBuffers buffers(arena, shape, max_rows);
  const GradientLists lists(arena, shape, num_local, shape.max_tokens, buffers);
  const int num_ranks = shape.placement.num_ranks();
  const size_t counting = 2 * static_cast<size_t>(shape.placement.num_experts()) * sizeof(int64_t) +
                          static_cast<size_t>(num_ranks) * sizeof(int32_t);
  const size_t travelling = 3 * static_cast<size_t>(num_ranks) * sizeof(int64_t) + Notices::bytes(num_ranks);
  return {arena.high_water(),
          sizeof(GradientWindows) + travelling + std::max(counting, WindowSchedule::host_bytes(num_ranks)), max_rows};
}

GradientWindows::GradientWindows(Communicator& group, const GradientExchangeShape& shape, GradientCounters& counters,
                                 int layer, Meetings& meetings, const Stream& stream, Arena& arena, Way way,
                                 ConstView expert_of, std::span<const int64_t> slice_offsets,
                                 const GradientTensors& tensors)
    : group_(group),
      shape_(shape),
      counters_(counters),
      times_(counters.times[static_cast<size_t>(layer)]),
      meetings_(meetings),
      stream_(stream),
      polling_(stream),
      scope_(arena),
      way_(way),
      tensors_(tensors),
      num_tokens_(expert_of.rows()),
      num_assignments_(expert_of.elements()),
      max_rows_(rows_per_window(shape)),
      buffers_(arena, shape, max_rows_),
      lists_(arena, shape, shape.placement.count(group.rank()), num_tokens_, buffers_),
      sent_to_(static_cast<size_t>(group.size())),
      received_from_(sent_to_.size()),
      next_received_(sent_to_.size()),
      notices_(group.size()) {
  polling_.poll = [this] { poll(); };
  travelling_ = polling_;
  travelling_.works = nullptr;
  seconds_ = times_.wait;
  const Stopwatch stopwatch(seconds_);
  expert_rows_ = count_rows(expert_of, slice_offsets);
  schedule_.emplace(shape.placement, shape.slices_of_rank, expert_rows_, max_rows_);
}

GradientWindows::~GradientWindows() {
  if (stream_.works != nullptr)
    stream_.works->push_back(
        {work_of_windows(static_cast<double>(num_assignments_), shape_, way_), std::max(1e-9, seconds_ - times_.wait)});
}

Work work_of_windows(double assignments, const GradientExchangeShape& shape, Way way) {
  const auto row_bytes = static_cast<double>(shape.dim) * static_cast<double>(size_of(shape.dtype));
  return {.name = way == Way::forward ? "windows" : "windows_backward",
          .dtype = shape.dtype,
          .amount = assignments * row_bytes,
          .size = {assignments, row_bytes, static_cast<double>(shape.placement.num_ranks())}};
}

ExpertRows GradientWindows::count_rows(ConstView expert_of, std::span<const int64_t> slice_offsets) {
  const int num_experts = shape_.placement.num_experts();
  std::vector<int64_t> totals(static_cast<size_t>(num_experts));
  group_by_expert(travelling_, expert_of, lists_.first_assignment, lists_.token, lists_.assignment,
                  {totals.data(), {num_experts}, DType::i64});
  const SliceRange slices = shape_.slices();
  const auto before = lists_.before.span<int32_t>();
  const auto row_of = [&](int expert) {
    const auto count = static_cast<size_t>(slices.count() + 1);
    return before.subspan(static_cast<size_t>(expert) * count, count);
  };
  std::ranges::fill(before, 0);
  const int64_t first_slice = slices_of(group_.rank()).first - slices.first;
  const auto* first = lists_.first_assignment.as<int64_t>();
  const auto* token = lists_.token.as<int32_t>();
  for (int expert = 0; expert < num_experts; ++expert) {
    const std::span<int32_t> counts = row_of(expert).subspan(static_cast<size_t>(first_slice));
    size_t slice = 0;
    for (int64_t i = first[expert]; i < first[expert + 1]; ++i) {
      while (token[i] >= slice_offsets[slice + 1]) ++slice;
      ++counts[slice + 1];
    }
  }
  if (!alone()) {
    // Every row's first number is nought: a rank's note for all travels in that of its own first expert.
    const auto note_of = [&](int rank) -> int32_t& {
      return row_of(shape_.placement.experts_of(rank).front()).front();
    };
    note_of(group_.rank()) = meetings_.arrive();
    group_.all_reduce(lists_.before, ReduceOp::sum);
    std::vector<int32_t> busy;
    busy.reserve(static_cast<size_t>(group_.size()));
    for (int rank = 0; rank < group_.size(); ++rank) busy.push_back(std::exchange(note_of(rank), 0));
    meetings_.met(busy, times_);
    clock_ = meetings_.flight();
  }
  for (int expert = 0; expert < num_experts; ++expert) {
    const std::span<int32_t> counts = row_of(expert);
    std::partial_sum(counts.begin(), counts.end(), counts.begin());
  }
  return {slices, before};
}

bool GradientWindows::begin() {
  const Stopwatch stopwatch(seconds_);
  end_returning();
  if (!schedule_->next()) return false;
  ++counters_.windows;
  order_rows();
  count_received();
  list_rows();
  if (!alone()) start_sending();
  return true;
}

/// Where each slice of each of this rank's experts begins.
void GradientWindows::order_rows() {
  const WindowPart& part = my_part();
  auto* offset = lists_.offsets.as<int64_t>();
  num_rows_ = 0;
  for (const int expert : my_experts())
    for (int64_t slice = part.slices.first; slice < part.slices.end; ++slice) {
      *offset++ = num_rows_;
      num_rows_ += expert_rows_.of(expert, {slice, slice + 1});
    }
  *offset = num_rows_;
}

/// This rank's first assignment to the expert as of one of its slices.
int64_t GradientWindows::first_assignment(int expert, int64_t slice) const {
  return lists_.first_assignment.as<int64_t>()[expert] +
         expert_rows_.of(expert, {slices_of(group_.rank()).first, slice});
}

void GradientWindows::count_received() {
  for (int source = 0; source < group_.size(); ++source) {
    int64_t& count = received_from_[static_cast<size_t>(source)];
    count = 0;
    if (source == group_.rank()) continue;
    const SliceRange slices = intersection(my_part().slices, slices_of(source));
    for (const int expert : my_experts()) count += expert_rows_.of(expert, slices);
  }
}

/// Where each row of the window lies, in their order: ranks have their slices in the order of ranks, so that an
/// expert's rows are one rank's after the other's. This rank's own are where they always were.
void GradientWindows::list_rows() {
  std::exclusive_scan(received_from_.begin(), received_from_.end(), next_received_.begin(), int64_t{0});
  auto *input = lists_.input_row.as<int32_t>(), *result = lists_.result_row.as<int32_t>();
  for (const int expert : my_experts())
    for (int source = 0; source < group_.size(); ++source) {
      const SliceRange slices = intersection(my_part().slices, slices_of(source));
      const int64_t rows = expert_rows_.of(expert, slices);
      if (rows == 0) continue;
      if (source == group_.rank()) {
        const int64_t first = first_assignment(expert, slices.first);
        std::copy_n(lists_.token.as<int32_t>() + first, rows, input);
        std::copy_n(lists_.assignment.as<int32_t>() + first, rows, result);
      } else {
        int64_t& next = next_received_[static_cast<size_t>(source)];
        std::iota(input, input + rows, static_cast<int32_t>(num_tokens_ + next));
        std::iota(result, result + rows, static_cast<int32_t>(num_assignments_ + next));
        next += rows;
      }
      input += rows;
      result += rows;
    }
}

void GradientWindows::list_sent() {
  auto* token = lists_.sent_token.as<int32_t>();
  auto* assignment = lists_.sent_assignment.as<int32_t>();
  for (int host = 0; host < group_.size(); ++host) {
    int64_t& count = sent_to_[static_cast<size_t>(host)];
    count = 0;
    if (host == group_.rank()) continue;
    const SliceRange slices = intersection(schedule_->part(host).slices, slices_of(group_.rank()));
    if (slices.count() == 0) continue;
    for (const int expert : experts_in_window(host)) {
      const int64_t first = first_assignment(expert, slices.first), rows = expert_rows_.of(expert, slices);
      token = std::copy_n(lists_.token.as<int32_t>() + first, rows, token);
      assignment = std::copy_n(lists_.assignment.as<int32_t>() + first, rows, assignment);
      count += rows;
    }
  }
}

void GradientWindows::start_sending() {
  list_sent();
  const int64_t num_sent = total(sent_to_), num_received = total(received_from_);
  const View token = lists_.sent_token.slice(0, num_sent), u = buffers_.sent_u.slice(0, num_sent),
             dy = buffers_.sent_dy.slice(0, num_sent), weight = buffers_.sent_weight.slice(0, num_sent);
  gather_rows(travelling_, tensors_.u.slice(0, num_tokens_), token, u);
  if (backward()) {
    gather_rows(travelling_, tensors_.dy.slice(0, num_tokens_), token, dy);
    gather_rows(travelling_, by_assignment(tensors_.weight), lists_.sent_assignment.slice(0, num_sent), weight);
  }
  const auto start = [&](ConstView from, View to) {
    return group_.start_all_to_all_v(travelling_, from, sent_to_, to, received_from_);
  };
  pending_notice_ = notices_.send(group_, travelling_, sent_to_, received_from_, clock_);
  pending_rows_[0] = start(u, tensors_.u.slice(num_tokens_, num_received));
  if (backward()) {
    pending_rows_[1] = start(dy, tensors_.dy.slice(num_tokens_, num_received));
    pending_rows_[2] = start(weight, buffers_.received_weight.slice(0, num_received));
  }
  counters_.remote += num_sent;
  count_bytes(sent_to_, backward() ? 2 * row_bytes() + sizeof(float) : row_bytes(), counters_.bytes_to);
}

GradientRows GradientWindows::rows() {
  const Stopwatch stopwatch(seconds_);
  const WindowPart& part = my_part();
  const auto num_offsets = static_cast<size_t>(part.num_experts() * part.slices.count() + 1);
  const auto list = [&](View all) { return all.slice(0, num_rows_).span<int32_t>(); };
  GradientRows rows{.first_expert = part.first,
                    .rows = {part.slices, std::span<const int64_t>(lists_.offsets.as<int64_t>(), num_offsets)},
                    .u = tensors_.u,
                    .dy = tensors_.dy,
                    .input_row = list(lists_.input_row),
                    .weight = buffers_.weight.slice(0, num_rows_),
                    .result = tensors_.result,
                    .result_row = list(lists_.result_row),
                    .dweight = buffers_.dweight.slice(0, num_rows_)};
  if (!alone()) wait_for(pending_notice_, pending_rows_, notices_, clock_, times_);
  if (backward()) for_each_number(tensors_.weight, buffers_.weight, [](float there, float& here) { here = there; });
  return rows;
}

/// visit(number, the window's number of the same row): a rank's own numbers are those of its assignments, others' came,
/// or leave, in a list.
template <class Numbers, class Visit>
void GradientWindows::for_each_number(Numbers own, View of_window, const Visit& visit) const {
  const auto* row = lists_.result_row.as<int32_t>();
  auto *numbers = own.template as<float>(), *received = buffers_.received_weight.as<float>();
  for (int64_t i = 0; i < num_rows_; ++i)
    visit(row[i] < num_assignments_ ? numbers[row[i]] : received[row[i] - num_assignments_], of_window.as<float>()[i]);
}

void GradientWindows::give_back() {
  const Stopwatch stopwatch(seconds_);
  if (backward()) for_each_number(tensors_.dweight, buffers_.dweight, [](float& there, float here) { there = here; });
  if (!alone()) start_returning();
}

void GradientWindows::start_returning() {
  const int64_t num_received = total(received_from_), num_sent = total(sent_to_);
  const auto start = [&](ConstView from, View to) {
    return group_.start_all_to_all_v(travelling_, from, received_from_, to, sent_to_);
  };
  pending_notice_ = notices_.send(group_, travelling_, received_from_, sent_to_, clock_);
  if (backward())
    pending_rows_[2] = start(buffers_.received_weight.slice(0, num_received), buffers_.sent_weight.slice(0, num_sent));
  pending_rows_[0] = start(tensors_.result.slice(num_assignments_, num_received), buffers_.sent_u.slice(0, num_sent));
  returning_ = true;
  count_bytes(received_from_, backward() ? row_bytes() + sizeof(float) : row_bytes(), counters_.bytes_to);
}

void GradientWindows::end_returning() {
  if (!std::exchange(returning_, false)) return;
  wait_for(pending_notice_, pending_rows_, notices_, clock_, times_);
  const int64_t num_sent = total(sent_to_);
  const View assignment = lists_.sent_assignment.slice(0, num_sent);
  scatter_rows(travelling_, buffers_.sent_u.slice(0, num_sent), assignment, tensors_.result);
  if (backward())
    scatter_rows(travelling_, buffers_.sent_weight.slice(0, num_sent), assignment, by_assignment(tensors_.dweight));
}

void GradientWindows::poll() {
  pending_notice_.poll();
  for (Pending& pending : pending_rows_) pending.poll();
  if (stream_.poll) stream_.poll();
}

GradientExchange::GradientExchange(Communicator& group, GradientExchangeShape shape)
    : group_(group), shape_(std::move(shape)), room_(group.size() == 1 ? 0 : rows_per_window(shape_)) {
  const GradientExchangeShape& s = shape_;
  SWITCHYARD_CHECK(s.placement.num_ranks() == group.size() && std::ssize(s.slices_of_rank) == group.size(),
                   "experts placed on {} ranks, slices of {}, a group of {}", s.placement.num_ranks(),
                   s.slices_of_rank.size(), group.size());
  SWITCHYARD_CHECK(s.dim >= 1 && s.top_k >= 1 && s.top_k <= s.placement.num_experts(), "rows of {}, {} of {} experts",
                   s.dim, s.top_k, s.placement.num_experts());
  for (size_t r = 0; r < s.slices_of_rank.size(); ++r)
    SWITCHYARD_CHECK(
        s.slices_of_rank[r].count() >= 0 && (r == 0 || s.slices_of_rank[r].first == s.slices_of_rank[r - 1].end),
        "rank {} has slices {} … {}", r, s.slices_of_rank[r].first, s.slices_of_rank[r].end);
  SWITCHYARD_CHECK(group.size() * s.max_tokens <= std::numeric_limits<int32_t>::max() &&
                       s.max_tokens * s.top_k + room_ <= std::numeric_limits<int32_t>::max(),
                   "{} tokens on each of {} ranks, {} rows of others", s.max_tokens, group.size(), room_);
  counters_.bytes_to.resize(static_cast<size_t>(group.size()));
  counters_.times.resize(static_cast<size_t>(s.num_layers));
}

std::unique_ptr<GradientWindows> GradientExchange::plan(const Stream& stream, Arena& arena, Way way, int layer,
                                                        ConstView expert_of, std::span<const int64_t> slice_offsets,
                                                        const GradientTensors& tensors) {
  const SliceRange& mine = shape_.slices_of_rank[static_cast<size_t>(group_.rank())];
  const int64_t num_tokens = expert_of.rows(), k = shape_.top_k;
  check_tensor("expert_of", expert_of, {num_tokens, k}, DType::i32);
  check_tensor("u", tensors.u, {num_tokens + room_, shape_.dim}, shape_.dtype);
  check_tensor("result", tensors.result, {num_tokens * k + room_, shape_.dim}, shape_.dtype);
  if (way == Way::backward) {
    check_tensor("dy", tensors.dy, {num_tokens + room_, shape_.dim}, shape_.dtype);
    check_tensor("weight", tensors.weight, {num_tokens, k}, DType::f32);
    check_tensor("dweight", tensors.dweight, {num_tokens, k}, DType::f32);
  }
  SWITCHYARD_CHECK(num_tokens <= shape_.max_tokens, "{} tokens, at most {}", num_tokens, shape_.max_tokens);
  SWITCHYARD_CHECK(
      std::ssize(slice_offsets) == mine.count() + 1 && slice_offsets.front() == 0 && slice_offsets.back() == num_tokens,
      "{} slices of {} tokens, expected {} of {}", std::ssize(slice_offsets) - 1,
      slice_offsets.empty() ? 0 : slice_offsets.back(), mine.count(), num_tokens);
  for (size_t i = 1; i < slice_offsets.size(); ++i) {
    const int64_t tokens = slice_offsets[i] - slice_offsets[i - 1];
    SWITCHYARD_CHECK(tokens >= 0 && tokens <= shape_.max_slice_tokens, "{} tokens in a slice of at most {}", tokens,
                     shape_.max_slice_tokens);
  }
  SWITCHYARD_CHECK(layer >= 0 && layer < shape_.num_layers, "layer {} of {}", layer, shape_.num_layers);
  ++counters_.calls;
  counters_.assignments += expert_of.elements();
  return std::make_unique<GradientWindows>(group_, shape_, counters_, layer, meetings_, stream, arena, way, expert_of,
                                           slice_offsets, tensors);
}

}  // namespace switchyard
