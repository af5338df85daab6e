// Messages between MPI ranks under way at the same time.
#pragma once

#include <mpi.h>

#include <cstdint>
#include <vector>

#include "base/handle.h"
#include "comm/communicator.h"

namespace switchyard {

struct MpiTypeTraits {
  using type = MPI_Datatype;
  static type null() { return MPI_DATATYPE_NULL; }
  static void destroy(type value) noexcept { MPI_Type_free(&value); }
};
using MpiType = Handle<MpiTypeTraits>;

/// A row of `bytes` bytes as one MPI element: counts are of type int, bytes need not be.
MpiType make_row_type(int64_t bytes);

/// Collects messages and waits for them together. Long ones are cut into pieces of at most max_message_bytes (at least
/// one row): some transports fail near 2^31 bytes. Both ends cut alike.
class MpiTransfer final : public Pending::Impl {
 public:
  MpiTransfer(MPI_Comm comm, int tag, int64_t row_bytes, int64_t max_message_bytes);
  ~MpiTransfer() override;

  void send(const std::byte* rows, int64_t num_rows, int to);
  void receive(std::byte* rows, int64_t num_rows, int from);

  bool poll() override;
  void wait() override;

 private:
  MPI_Comm comm_;
  int tag_;
  int64_t row_bytes_;
  int64_t rows_per_message_;
  MpiType row_type_;
  std::vector<MPI_Request> requests_;
};

}  // namespace switchyard
