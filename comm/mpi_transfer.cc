#include "comm/mpi_transfer.h"

#include <algorithm>
#include <limits>

#include "comm/mpi_call.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxCount = std::numeric_limits<int>::max();

/// Calls message(first row, rows) for each piece.
template <class Message>
void for_each_piece(int64_t num_rows, int64_t rows_per_message, Message message) {
  for (int64_t first = 0; first < num_rows; first += rows_per_message)
    message(first, static_cast<int>(std::min(rows_per_message, num_rows - first)));
}

}  // namespace

MpiType make_row_type(int64_t bytes) {
  SWITCHYARD_CHECK(bytes >= 0 && bytes <= kMaxCount, "a row of {} bytes, at most {}", bytes, kMaxCount);
  MPI_Datatype type = MPI_DATATYPE_NULL;
  SWITCHYARD_MPI(MPI_Type_contiguous(static_cast<int>(bytes), MPI_BYTE, &type));
  MpiType owner(type);
  SWITCHYARD_MPI(MPI_Type_commit(&type));
  return owner;
}

MpiTransfer::MpiTransfer(MPI_Comm comm, int tag, int64_t row_bytes, int64_t max_message_bytes)
    : comm_(comm),
      tag_(tag),
      row_bytes_(row_bytes),
      rows_per_message_(std::clamp<int64_t>(max_message_bytes / std::max<int64_t>(row_bytes, 1), 1, kMaxCount)),
      row_type_(make_row_type(row_bytes)) {}

MpiTransfer::~MpiTransfer() {
  // Whatever failed, MPI must not touch the buffers after this. The others post their side before they can fail.
  MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
}

void MpiTransfer::send(const std::byte* rows, int64_t num_rows, int to) {
  for_each_piece(num_rows, rows_per_message_, [&](int64_t first, int count) {
    MPI_Request& request = requests_.emplace_back(MPI_REQUEST_NULL);
    SWITCHYARD_MPI(MPI_Isend(rows + first * row_bytes_, count, row_type_.get(), to, tag_, comm_, &request));
  });
}

void MpiTransfer::receive(std::byte* rows, int64_t num_rows, int from) {
  for_each_piece(num_rows, rows_per_message_, [&](int64_t first, int count) {
    MPI_Request& request = requests_.emplace_back(MPI_REQUEST_NULL);
    SWITCHYARD_MPI(MPI_Irecv(rows + first * row_bytes_, count, row_type_.get(), from, tag_, comm_, &request));
  });
}

bool MpiTransfer::poll() {
  int complete = 0;
  SWITCHYARD_MPI(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &complete, MPI_STATUSES_IGNORE));
  return complete != 0;
}

void MpiTransfer::wait() {
  SWITCHYARD_MPI(MPI_Waitall(static_cast<int>(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE));
}

}  // namespace switchyard
