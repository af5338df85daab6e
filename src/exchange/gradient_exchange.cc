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

using Rows = GradientBuffers::Rows;

View alloc_matrix(Arena& arena, const GradientExchangeShape& shape, int64_t count) {
  return arena.alloc({count, shape.dim}, shape.dtype);
}

Rows alloc_rows(Arena& arena, const GradientExchangeShape& shape, int64_t count) {
  return {alloc_matrix(arena, shape, count), alloc_matrix(arena, shape, count), arena.alloc({count}, DType::f32)};
}

/// Rows of a window at most, of every host: as many as the budget allows, but those of any slice of an expert; no more
/// than there can be. In a group of one it is spent as if they were copied: what the host makes of them takes as much.
int64_t rows_per_window(const GradientExchangeShape& shape) {
  const int64_t budget = largest_fitting([&](int64_t rows) {
    Arena arena = Arena::measuring(Device::cpu);
    const GradientBuffers buffers(arena, shape, rows);
    if (shape.placement.num_ranks() == 1)
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

Rows GradientBuffers::Rows::slice(int64_t first, int64_t count) const {
  return {u.slice(first, count), dy.slice(first, count), weight.slice(first, count)};
}

GradientBuffers::GradientBuffers(Arena& arena, const GradientExchangeShape& shape, int64_t max_rows) {
  if (shape.placement.num_ranks() == 1) {
    ordered.weight = arena.alloc({max_rows}, DType::f32);
  } else {
    ordered = alloc_rows(arena, shape, max_rows);
    received = alloc_rows(arena, shape, max_rows);
    sent = alloc_rows(arena, shape, std::min(max_rows, shape.max_tokens * shape.top_k));
    result = received.dy;
  }
  dweight = arena.alloc(ordered.weight.shape, DType::f32);
}

GradientLists::GradientLists(Arena& arena, const GradientExchangeShape& shape, int num_local, int64_t num_tokens,
                             const GradientBuffers& buffers) {
  const int64_t num_experts = shape.placement.num_experts(), num_slices = shape.slices().count();
  first_assignment = arena.alloc({num_experts + 1}, DType::i64);
  token = arena.alloc({num_tokens * shape.top_k}, DType::i32);
  assignment = arena.alloc({num_tokens * shape.top_k}, DType::i32);
  before = arena.alloc({num_experts, num_slices + 1}, DType::i32);
  offsets = arena.alloc({num_local * num_slices + 1}, DType::i64);
  sent_token = arena.alloc({buffers.sent.count()}, DType::i32);
  sent_assignment = arena.alloc({buffers.sent.count()}, DType::i32);
  place = arena.alloc({buffers.received.count()}, DType::i32);
}

GradientScratch gradient_scratch(const GradientExchangeShape& shape, int num_local) {
  Arena arena = Arena::measuring(Device::cpu);
  const int64_t max_rows = rows_per_window(shape);
  const GradientBuffers buffers(arena, shape, max_rows);
  const GradientLists lists(arena, shape, num_local, shape.max_tokens, buffers);
  const int num_ranks = shape.placement.num_ranks();
  const size_t counting = 2 * static_cast<size_t>(shape.placement.num_experts()) * sizeof(int64_t);
  const size_t travelling =
      WindowSchedule::host_bytes(num_ranks) + 2 * static_cast<size_t>(num_ranks) * sizeof(int64_t);
  return {arena.high_water(), sizeof(GradientWindows) + std::max(counting, travelling), max_rows};
}

GradientWindows::GradientWindows(Communicator& group, const GradientExchangeShape& shape, GradientCounters& counters,
                                 const Stream& stream, Arena& arena, Way way, ConstView expert_of,
                                 std::span<const int64_t> slice_offsets, const GradientTensors& tensors)
    : group_(group),
      shape_(shape),
      counters_(counters),
      stream_(stream),
      polling_(stream),
      scope_(arena),
      way_(way),
      tensors_(tensors),
      num_tokens_(expert_of.rows()),
      max_rows_(rows_per_window(shape)),
      buffers_(arena, shape, max_rows_),
      lists_(arena, shape, shape.placement.count(group.rank()), num_tokens_, buffers_),
      expert_rows_(count_rows(expert_of, slice_offsets)),
      schedule_(shape.placement, shape.slices_of_rank, expert_rows_, max_rows_),
      sent_to_(static_cast<size_t>(group.size())),
      received_from_(sent_to_.size()) {
  polling_.poll = [this] { poll(); };
}

ExpertRows GradientWindows::count_rows(ConstView expert_of, std::span<const int64_t> slice_offsets) {
  const int num_experts = shape_.placement.num_experts();
  std::vector<int64_t> totals(static_cast<size_t>(num_experts));
  group_by_expert(stream_, expert_of, lists_.first_assignment, lists_.token, lists_.assignment,
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
    const Stopwatch stopwatch(counters_.times.wait);  // for the last rank
    group_.all_reduce(lists_.before, ReduceOp::sum);
  }
  for (int expert = 0; expert < num_experts; ++expert) {
    const std::span<int32_t> counts = row_of(expert);
    std::partial_sum(counts.begin(), counts.end(), counts.begin());
  }
  return {slices, before};
}

bool GradientWindows::begin() {
  end_returning();
  if (!schedule_.next()) return false;
  ++counters_.windows;
  order_rows();
  if (alone()) return true;
  start_sending();
  for_each_own_run([&](const Run& run) {
    gather(lists_.token.slice(run.assignment, run.count), lists_.assignment.slice(run.assignment, run.count),
           buffers_.ordered.slice(run.row, run.count));
  });
  return true;
}

/// Where each slice of each of this rank's experts begins.
void GradientWindows::order_rows() {
  const WindowPart& part = my_part();
  auto* offset = lists_.offsets.as<int64_t>();
  num_rows_ = 0;
  for (int local = part.first; local < part.end; ++local)
    for (int64_t slice = part.slices.first; slice < part.slices.end; ++slice) {
      *offset++ = num_rows_;
      num_rows_ += expert_rows_.of(experts_of(group_.rank())[static_cast<size_t>(local)], {slice, slice + 1});
    }
  *offset = num_rows_;
}

int64_t GradientWindows::ordered_row(int local, int64_t slice) const {
  const WindowPart& part = my_part();
  return lists_.offsets.as<int64_t>()[(local - part.first) * part.slices.count() + slice - part.slices.first];
}

/// This rank's first assignment to the expert as of one of its slices.
int64_t GradientWindows::first_assignment(int expert, int64_t slice) const {
  return lists_.first_assignment.as<int64_t>()[expert] +
         expert_rows_.of(expert, {slices_of(group_.rank()).first, slice});
}

/// As few as there are: those of experts that follow each other are one when nothing lies between.
template <class Visit>
void GradientWindows::for_each_own_run(const Visit& visit) const {
  const WindowPart& part = my_part();
  const SliceRange slices = intersection(part.slices, slices_of(group_.rank()));
  if (slices.count() == 0) return;
  Run run;
  for (int local = part.first; local < part.end; ++local) {
    const int expert = experts_of(group_.rank())[static_cast<size_t>(local)];
    const Run more{first_assignment(expert, slices.first), ordered_row(local, slices.first),
                   expert_rows_.of(expert, slices)};
    if (more.assignment == run.assignment + run.count && more.row == run.row + run.count) {
      run.count += more.count;
      continue;
    }
    if (run.count > 0) visit(run);
    run = more;
  }
  if (run.count > 0) visit(run);
}

void GradientWindows::list_sent() {
  auto* token = lists_.sent_token.as<int32_t>();
  auto* assignment = lists_.sent_assignment.as<int32_t>();
  for (int host = 0; host < group_.size(); ++host) {
    int64_t& count = sent_to_[static_cast<size_t>(host)];
    count = 0;
    if (host == group_.rank()) continue;
    const WindowPart& part = schedule_.part(host);
    const SliceRange slices = intersection(part.slices, slices_of(group_.rank()));
    if (slices.count() == 0) continue;
    for (int local = part.first; local < part.end; ++local) {
      const int expert = experts_of(host)[static_cast<size_t>(local)];
      const int64_t first = first_assignment(expert, slices.first), rows = expert_rows_.of(expert, slices);
      token = std::copy_n(lists_.token.as<int32_t>() + first, rows, token);
      assignment = std::copy_n(lists_.assignment.as<int32_t>() + first, rows, assignment);
      count += rows;
    }
  }
}

void GradientWindows::list_received() {
  const WindowPart& part = my_part();
  auto* place = lists_.place.as<int32_t>();
  for (int source = 0; source < group_.size(); ++source) {
    int64_t& count = received_from_[static_cast<size_t>(source)];
    count = 0;
    if (source == group_.rank()) continue;
    const SliceRange slices = intersection(part.slices, slices_of(source));
    for (int local = part.first; local < part.end; ++local) {
      const int64_t rows = expert_rows_.of(experts_of(group_.rank())[static_cast<size_t>(local)], slices);
      std::iota(place, place + rows, static_cast<int32_t>(ordered_row(local, slices.first)));
      place += rows;
      count += rows;
    }
  }
}

/// to[i] = the row of token[i], and the weight of assignment[i]
void GradientWindows::gather(ConstView token, ConstView assignment, const Rows& to) const {
  gather_rows(polling_, tensors_.u, token, to.u);
  if (!backward()) return;
  gather_rows(polling_, tensors_.dy, token, to.dy);
  gather_rows(polling_, by_assignment(tensors_.weight), assignment, to.weight);
}

/// What gather() took, of another.
void GradientWindows::put(ConstView rows, ConstView numbers, ConstView assignment) const {
  scatter_rows(polling_, rows, assignment, tensors_.result);
  if (backward()) scatter_rows(polling_, numbers, assignment, by_assignment(tensors_.dweight));
}

void GradientWindows::start_sending() {
  list_sent();
  list_received();
  const int64_t num_sent = total(sent_to_);
  const Rows sent = buffers_.sent.slice(0, num_sent), received = buffers_.received.slice(0, total(received_from_));
  gather(lists_.sent_token.slice(0, num_sent), lists_.sent_assignment.slice(0, num_sent), sent);
  const auto start = [&](ConstView from, View to) {
    return group_.start_all_to_all_v(polling_, from, sent_to_, to, received_from_);
  };
  if (backward()) pending_weight_ = start(sent.weight, received.weight);
  pending_rows_[0] = start(sent.u, received.u);
  if (backward()) pending_rows_[1] = start(sent.dy, received.dy);
  count_bytes(sent_to_, backward() ? 2 * row_bytes() + sizeof(float) : row_bytes(), counters_.bytes_to);
}

GradientRows GradientWindows::rows() {
  const WindowPart& part = my_part();
  const auto num_offsets = static_cast<size_t>(part.num_experts() * part.slices.count() + 1);
  GradientRows rows{.first_expert = part.first,
                    .rows = {part.slices, std::span<const int64_t>(lists_.offsets.as<int64_t>(), num_offsets)},
                    .weight = buffers_.ordered.weight.slice(0, num_rows_),
                    .dweight = buffers_.dweight.slice(0, num_rows_)};
  if (alone())
    list_own(rows);
  else
    order_received(rows);
  return rows;
}

/// In a group of one: what a list of all assignments says of the window's rows, which follow each other there.
View GradientWindows::own_list(View list) const {
  const WindowPart& part = my_part();
  if (num_rows_ == 0) return list.slice(0, 0);
  const int expert = experts_of(group_.rank())[static_cast<size_t>(part.first)];
  return list.slice(first_assignment(expert, part.slices.first), num_rows_);
}

void GradientWindows::list_own(GradientRows& rows) const {
  rows.u = tensors_.u;
  rows.input_row = own_list(lists_.token).span<int32_t>();
  rows.result = tensors_.result;
  rows.result_row = own_list(lists_.assignment).span<int32_t>();
  if (!backward()) return;
  rows.dy = tensors_.dy;
  gather_rows(polling_, by_assignment(tensors_.weight), own_list(lists_.assignment),
              buffers_.ordered.weight.slice(0, num_rows_));
}

void GradientWindows::order_received(GradientRows& rows) {
  const Rows ordered = buffers_.ordered.slice(0, num_rows_);
  wait_for(pending_weight_, pending_rows_, counters_.times);
  const int64_t num_received = total(received_from_);
  const Rows received = buffers_.received.slice(0, num_received);
  const View place = lists_.place.slice(0, num_received);
  scatter_rows(polling_, received.u, place, ordered.u);
  rows.u = ordered.u;
  rows.result = buffers_.result.slice(0, num_rows_);
  if (!backward()) return;
  scatter_rows(polling_, received.dy, place, ordered.dy);
  scatter_rows(polling_, received.weight, place, ordered.weight);
  rows.dy = ordered.dy;
}

void GradientWindows::start_returning() {
  const int64_t num_received = total(received_from_), num_sent = total(sent_to_);
  const Rows leaving = buffers_.received.slice(0, num_received), arriving = buffers_.sent.slice(0, num_sent);
  const View place = lists_.place.slice(0, num_received);
  gather_rows(polling_, buffers_.result.slice(0, num_rows_), place, leaving.u);
  if (backward()) gather_rows(polling_, buffers_.dweight.slice(0, num_rows_), place, leaving.weight);
  const auto start = [&](ConstView from, View to) {
    return group_.start_all_to_all_v(polling_, from, received_from_, to, sent_to_);
  };
  if (backward()) pending_weight_ = start(leaving.weight, arriving.weight);
  pending_rows_[0] = start(leaving.u, arriving.u);
  returning_ = true;
  count_bytes(received_from_, backward() ? row_bytes() + sizeof(float) : row_bytes(), counters_.bytes_to);
}

void GradientWindows::give_back() {
  if (alone()) {
    if (backward())
      scatter_rows(polling_, buffers_.dweight.slice(0, num_rows_), own_list(lists_.assignment),
                   by_assignment(tensors_.dweight));
    return;
  }
  start_returning();
  for_each_own_run([&](const Run& run) {
    put(buffers_.result.slice(run.row, run.count), buffers_.dweight.slice(run.row, run.count),
        lists_.assignment.slice(run.assignment, run.count));
  });
}

void GradientWindows::end_returning() {
  if (!std::exchange(returning_, false)) return;
  wait_for(pending_weight_, {pending_rows_.data(), 1}, counters_.times);
  const int64_t num_sent = total(sent_to_);
  put(buffers_.sent.u.slice(0, num_sent), buffers_.sent.weight.slice(0, num_sent),
      lists_.sent_assignment.slice(0, num_sent));
}

void GradientWindows::poll() {
  pending_weight_.poll();
  for (Pending& pending : pending_rows_) pending.poll();
  if (stream_.poll) stream_.poll();
}

GradientExchange::GradientExchange(Communicator& group, GradientExchangeShape shape)
    : group_(group), shape_(std::move(shape)) {
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
  SWITCHYARD_CHECK(group.size() * s.max_tokens <= std::numeric_limits<int32_t>::max(), "{} tokens on each of {} ranks",
                   s.max_tokens, group.size());
  counters_.bytes_to.resize(static_cast<size_t>(group.size()));
}

std::unique_ptr<GradientWindows> GradientExchange::plan(const Stream& stream, Arena& arena, Way way,
                                                        ConstView expert_of, std::span<const int64_t> slice_offsets,
                                                        const GradientTensors& tensors) {
  const SliceRange& mine = shape_.slices_of_rank[static_cast<size_t>(group_.rank())];
  const int64_t num_tokens = expert_of.rows(), k = shape_.top_k;
  check_tensor("expert_of", expert_of, {num_tokens, k}, DType::i32);
  check_tensor("u", tensors.u, {num_tokens, shape_.dim}, shape_.dtype);
  check_tensor("result", tensors.result, {num_tokens * k, shape_.dim}, shape_.dtype);
  if (way == Way::backward) {
    check_tensor("dy", tensors.dy, {num_tokens, shape_.dim}, shape_.dtype);
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
  ++counters_.calls;
  return std::make_unique<GradientWindows>(group_, shape_, counters_, stream, arena, way, expert_of, slice_offsets,
                                           tensors);
}

}  // namespace switchyard
