#include "alltoallv_peer.h"

#include <mpi.h>

#include <algorithm>
#include <cstring>
#include <numeric>

namespace switchyard::bench {
namespace {

int64_t sum(const std::vector<int64_t>& counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

std::vector<int> as_int(const std::vector<int64_t>& counts) {
  return {counts.begin(), counts.end()};
}

std::vector<int> offsets_of(const std::vector<int64_t>& counts) {
  std::vector<int> offsets(counts.size());
  std::exclusive_scan(counts.begin(), counts.end(), offsets.begin(), 0);
  return offsets;
}

std::vector<int64_t> transposed(const std::vector<int64_t>& to) {
  std::vector<int64_t> from(to.size());
  MPI_Alltoall(to.data(), 1, MPI_INT64_T, from.data(), 1, MPI_INT64_T, MPI_COMM_WORLD);
  return from;
}

/// Rows in an order that no prefetcher guesses.
void copy_rows(const std::byte* from, int64_t rows_there, std::byte* to, int64_t count, int64_t row_bytes,
               bool scatter) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t other = i * 7919 % std::max<int64_t>(rows_there, 1);
    std::memcpy(to + (scatter ? other : i) * row_bytes, from + (scatter ? i : other) * row_bytes,
                static_cast<size_t>(row_bytes));
  }
}

}  // namespace

Traffic Traffic::from(std::vector<int64_t> rows_to, std::vector<int64_t> results_from) {
  Traffic traffic{.rows_to = std::move(rows_to), .results_from = std::move(results_from)};
  traffic.rows_from = transposed(traffic.rows_to);
  traffic.results_to = transposed(traffic.results_from);
  return traffic;
}

int64_t Traffic::most_in_one_direction() const {
  return std::max(sum(rows_to) + sum(results_to), sum(rows_from) + sum(results_from));
}

struct AlltoallvPeer::Way {
  std::vector<int> to, to_at, from, from_at;
  int64_t sent, received;
};

AlltoallvPeer::AlltoallvPeer(const Traffic& t, int64_t row_bytes) : row_bytes_(row_bytes) {
  for (const auto& [to, from] : {std::pair(&t.rows_to, &t.rows_from), {&t.results_to, &t.results_from}})
    ways_.push_back({as_int(*to), offsets_of(*to), as_int(*from), offsets_of(*from), sum(*to), sum(*from)});
  const int64_t sent = std::max(ways_[0].sent, ways_[1].sent),
                received = std::max(ways_[0].received, ways_[1].received);
  for (auto* buffer : {&tokens_, &sent_}) buffer->assign(static_cast<size_t>(sent * row_bytes), std::byte{1});
  for (auto* buffer : {&received_, &results_}) buffer->assign(static_cast<size_t>(received * row_bytes), std::byte{2});
}

AlltoallvPeer::~AlltoallvPeer() = default;

void AlltoallvPeer::move() {
  MPI_Datatype row = MPI_DATATYPE_NULL;
  MPI_Type_contiguous(static_cast<int>(row_bytes_), MPI_BYTE, &row);
  MPI_Type_commit(&row);
  for (const Way& way : ways_)
    MPI_Alltoallv(sent_.data(), way.to.data(), way.to_at.data(), row, received_.data(), way.from.data(),
                  way.from_at.data(), row, MPI_COMM_WORLD);
  MPI_Type_free(&row);
}

void AlltoallvPeer::gather_move_and_scatter() {
  copy_rows(tokens_.data(), ways_[0].sent, sent_.data(), ways_[0].sent, row_bytes_, false);
  move();
  copy_rows(received_.data(), ways_[1].received, results_.data(), ways_[1].received, row_bytes_, true);
}

}  // namespace switchyard::bench
