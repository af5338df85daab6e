// What ranks say to each other: few, coarse operations with real implementations for one process (self), threads of one
// process (tests) and MPI. These take host memory. Over each of them a communicator can be made whose all-to-all takes
// memory of a device too: comm/nccl_communicator.h, comm/staged_communicator.h.
//
// Every operation but the notices is collective: all ranks of the communicator call it in the same order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/stream.h"
#include "base/tensor.h"

namespace switchyard {

enum class ReduceOp : uint8_t { sum, max, min };

/// A transfer under way. Poll from time to time (MPI moves data only inside its calls); wait before touching the
/// buffers. Letting go of one that is still under way waits too, without throwing.
class Pending {
 public:
  class Impl {
   public:
    virtual ~Impl() = default;  ///< waits, so that nobody uses the buffers afterwards; never throws
    virtual bool poll() = 0;    ///< true once complete
    virtual void wait() = 0;
  };
  Pending() = default;
  explicit Pending(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

  bool poll() { return !impl_ || impl_->poll(); }
  void wait() {
    if (impl_) impl_->wait();
    impl_.reset();
  }

 private:
  std::unique_ptr<Impl> impl_;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string_view kind() const = 0;  ///< "self", "threads", "MPI", "NCCL over MPI", …

  virtual void barrier() = 0;
  virtual void broadcast(View data, int root) = 0;
  /// In place; element-wise over ranks. f32, f64, i32, i64. Floats are reduced in rank order, the same on every rank.
  virtual void all_reduce(View data, ReduceOp op) = 0;
  /// recv [size · rows, …]: every rank's `send` [rows, …], in rank order.
  virtual void all_gather(ConstView send, View recv) = 0;
  /// Every rank's bytes at the root, in rank order ([size]); empty elsewhere. Any sizes, beyond 2 GiB too.
  virtual std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> send, int root) = 0;
  /// Uneven all-to-all in rows: send holds send_rows[0] rows for rank 0, then send_rows[1] for rank 1, …; recv
  /// likewise. Both counts are known beforehand (an all_gather tells them). Several may be under way, started in one
  /// order on all ranks. Rows are counted in row-sized types: bytes may pass 2^31.
  /// Of a device's memory (send and recv alike, on all ranks alike): the transfer takes its place in the stream's
  /// order, after the work given to it before; once it is complete, work given to the stream later sees the rows, and
  /// after wait() everybody does. The stream's device order outlives the Pending; the Stream itself need not.
  virtual Pending start_all_to_all_v(const Stream&, ConstView send, std::span<const int64_t> send_rows, View recv,
                                     std::span<const int64_t> recv_rows) = 0;
  /// A communicator of the ranks with the same color (≥ 0), ordered by key, then by rank.
  virtual std::unique_ptr<Communicator> split(int color, int key) = 0;

  /// Its place in the rank's pulse, for what carries rows past it (comm/watched_communicator.h).
  virtual Watch watch() const { return {}; }

  /// A notice is a small number told to all other ranks without their taking part ("stop"). Values only grow: a rank
  /// sees the largest value told so far, its own included.
  virtual void post_notice(int value) = 0;
  virtual int notice() = 0;

  /// Ends all ranks of the world at once, for one that cannot go on. (Ranks that are threads end with an Error.)
  [[noreturn]] virtual void abort(int exit_code) = 0;

  // Conveniences over the operations above.
  int64_t all_reduce_one(int64_t value, ReduceOp op);
  double all_reduce_one(double value, ReduceOp op);
  std::string broadcast_string(std::string text, int root);
  std::vector<std::string> all_gather_strings(const std::string& text);  ///< by rank; for a few short ones
};

std::unique_ptr<Communicator> make_self_communicator();

/// Runs body(rank's communicator) on `size` threads and joins them. If a body throws, the others' pending operations
/// end with an error, and the first exception is rethrown.
void run_thread_ranks(int size, const std::function<void(Communicator&)>& body);

}  // namespace switchyard
