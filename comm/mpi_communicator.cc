#include "comm/mpi_communicator.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "comm/host_ops.h"
#include "comm/launcher.h"
#include "comm/mpi_call.h"
#include "comm/mpi_transfer.h"

namespace switchyard {
namespace {

struct MpiCommTraits {
  using type = MPI_Comm;
  static type null() { return MPI_COMM_NULL; }
  static void destroy(type value) noexcept {
    // Collective: not while an error that the other ranks may not share unwinds this one.
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&value);
  }
};
using MpiComm = Handle<MpiCommTraits>;

volatile std::sig_atomic_t exit_code_on_term;

/// Ranks that fail in the same moment all abort. mpirun answers the first with SIGTERM to the others, and would report
/// that signal (143) as the job's exit code when it hears of such a death before it has read the first one's code.
void end_with_code_on_term(int exit_code) {
  exit_code_on_term = exit_code;
  struct sigaction action {};
  action.sa_handler = [](int) { ::_exit(exit_code_on_term); };
  ::sigaction(SIGTERM, &action, nullptr);
}

MpiComm duplicate(MPI_Comm comm) {
  MPI_Comm copy = MPI_COMM_NULL;
  SWITCHYARD_MPI(MPI_Comm_dup(comm, &copy));
  MpiComm owner(copy);
  SWITCHYARD_MPI(MPI_Comm_set_errhandler(copy, MPI_ERRORS_RETURN));
  return owner;
}

/// Values told to all other ranks, on a communicator of their own. It is never freed: a late notice must not meet a new
/// communicator that MPI gave the same id.
class Notices {
 public:
  Notices(MPI_Comm comm, int rank, int size) : comm_(duplicate(comm).release()), rank_(rank), size_(size) {}

  ~Notices() {
    // A send that is not complete by now is left to MPI, with its value: ending must not wait for a rank that does not
    // look.
    for (std::unique_ptr<Sent>& sent : sent_) {
      int complete = 0;
      MPI_Testall(static_cast<int>(sent->requests.size()), sent->requests.data(), &complete, MPI_STATUSES_IGNORE);
      if (complete == 0) static_cast<void>(sent.release());
    }
  }
  Notices(const Notices&) = delete;
  Notices& operator=(const Notices&) = delete;

  void post(int value) {
    if (value <= largest_) return;
    largest_ = value;
    Sent& sent = *sent_.emplace_back(std::make_unique<Sent>());
    sent.value = value;
    sent.requests.reserve(static_cast<size_t>(size_));
    for (int to = 0; to < size_; ++to) {
      if (to == rank_) continue;
      MPI_Request& request = sent.requests.emplace_back(MPI_REQUEST_NULL);
      SWITCHYARD_MPI(MPI_Isend(&sent.value, 1, MPI_INT, to, 0, comm_, &request));
    }
  }

  int largest() {
    for (int found = 1; found != 0;) {
      SWITCHYARD_MPI(MPI_Iprobe(MPI_ANY_SOURCE, 0, comm_, &found, MPI_STATUS_IGNORE));
      if (found == 0) break;
      int value = 0;
      SWITCHYARD_MPI(MPI_Recv(&value, 1, MPI_INT, MPI_ANY_SOURCE, 0, comm_, MPI_STATUS_IGNORE));
      largest_ = std::max(largest_, value);
    }
    return largest_;
  }

 private:
  struct Sent {
    int value = 0;
    std::vector<MPI_Request> requests;
  };

  MPI_Comm comm_;
  int rank_, size_;
  int largest_ = 0;
  std::vector<std::unique_ptr<Sent>> sent_;
};

int rank_in(MPI_Comm comm) {
  int rank = 0;
  SWITCHYARD_MPI(MPI_Comm_rank(comm, &rank));
  return rank;
}

int size_of_comm(MPI_Comm comm) {
  int size = 0;
  SWITCHYARD_MPI(MPI_Comm_size(comm, &size));
  return size;
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MpiComm comm, int64_t max_message_bytes)
      : comm_(std::move(comm)),
        rank_(rank_in(comm_.get())),
        size_(size_of_comm(comm_.get())),
        max_message_bytes_(max_message_bytes),
        notices_(comm_.get(), rank_, size_) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string_view kind() const override { return "MPI"; }

  void barrier() override { SWITCHYARD_MPI(MPI_Barrier(comm_.get())); }

  void broadcast(View data, int root) override {
    const auto bytes = static_cast<int64_t>(data.bytes());
    for (int64_t first = 0; first < bytes; first += max_message_bytes_) {
      const auto count = static_cast<int>(std::min(max_message_bytes_, bytes - first));
      SWITCHYARD_MPI(MPI_Bcast(static_cast<std::byte*>(data.data) + first, count, MPI_BYTE, root, comm_.get()));
    }
  }

  void all_reduce(View data, ReduceOp op) override {
    const View flat = data.reshaped({data.elements()});
    for (int64_t first = 0; first < flat.rows(); first += kReducedAtOnce)
      reduce_piece(flat.slice(first, std::min(kReducedAtOnce, flat.rows() - first)), op);
  }

  void all_gather(ConstView send, View recv) override {
    SWITCHYARD_CHECK(recv.bytes() == send.bytes() * static_cast<size_t>(size_),
                     "all-gather of {} bytes by {} ranks into {}", send.bytes(), size_, recv.bytes());
    const auto bytes = static_cast<int64_t>(send.bytes());
    if (bytes <= max_message_bytes_) {
      const auto count = static_cast<int>(bytes);
      SWITCHYARD_MPI(MPI_Allgather(send.data, count, MPI_BYTE, recv.data, count, MPI_BYTE, comm_.get()));
      return;
    }
    for (int root = 0; root < size_; ++root) {
      const View part = recv.slice(root * send.rows(), send.rows());
      if (root == rank_) copy_bytes(send, part);
      broadcast(part, root);
    }
  }

  std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> send, int root) override;
  Pending start_all_to_all_v(const Stream&, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override;

  std::unique_ptr<Communicator> split(int color, int key) override {
    SWITCHYARD_CHECK(color >= 0, "split with color {}", color);
    MPI_Comm part = MPI_COMM_NULL;
    SWITCHYARD_MPI(MPI_Comm_split(comm_.get(), color, key, &part));
    MpiComm owner(part);
    SWITCHYARD_MPI(MPI_Comm_set_errhandler(part, MPI_ERRORS_RETURN));
    return std::make_unique<MpiCommunicator>(std::move(owner), max_message_bytes_);
  }

  void post_notice(int value) override { notices_.post(value); }
  int notice() override { return notices_.largest(); }

  [[noreturn]] void abort(int exit_code) override {
    end_with_code_on_term(exit_code);
    MPI_Abort(comm_.get(), exit_code);
    std::_Exit(exit_code);
  }

 private:
  static constexpr int64_t kReducedAtOnce = int64_t{1} << 16;
  enum Tag : int { kAllToAll = 1, kGather = 2 };

  /// Integers need no order. Floats are gathered and reduced in rank order: MPI's own order is the library's choice.
  void reduce_piece(View piece, ReduceOp op) {
    const auto count = static_cast<int>(piece.elements());
    if (piece.dtype == DType::i32 || piece.dtype == DType::i64) {
      const MPI_Datatype type = piece.dtype == DType::i32 ? MPI_INT32_T : MPI_INT64_T;
      const MPI_Op mpi_op = op == ReduceOp::sum ? MPI_SUM : op == ReduceOp::max ? MPI_MAX : MPI_MIN;
      SWITCHYARD_MPI(MPI_Allreduce(MPI_IN_PLACE, piece.data, count, type, mpi_op, comm_.get()));
      return;
    }
    std::vector<std::byte> gathered(piece.bytes() * static_cast<size_t>(size_));
    all_gather(piece.reshaped({1, count}), {gathered.data(), {size_, count}, piece.dtype});
    std::vector<const std::byte*> parts;
    parts.reserve(static_cast<size_t>(size_));
    for (int r = 0; r < size_; ++r) parts.push_back(gathered.data() + static_cast<size_t>(r) * piece.bytes());
    reduce_in_order(parts, op, piece);
  }

  const MpiComm comm_;
  const int rank_, size_;
  const int64_t max_message_bytes_;
  Notices notices_;
};

std::vector<std::vector<std::byte>> MpiCommunicator::gather_bytes(std::span<const std::byte> send, int root) {
  const auto mine = static_cast<int64_t>(send.size());
  std::vector<int64_t> sizes(rank_ == root ? static_cast<size_t>(size_) : 0);
  SWITCHYARD_MPI(MPI_Gather(&mine, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, root, comm_.get()));
  std::vector<std::vector<std::byte>> gathered(sizes.size());  // outlives the transfer into it
  MpiTransfer transfer(comm_.get(), kGather, 1, max_message_bytes_);
  if (rank_ != root) transfer.send(send.data(), mine, root);
  for (size_t source = 0; source < gathered.size(); ++source) {
    if (static_cast<int>(source) == root) {
      gathered[source].assign(send.begin(), send.end());
    } else {
      gathered[source].resize(static_cast<size_t>(sizes[source]));
      transfer.receive(gathered[source].data(), sizes[source], static_cast<int>(source));
    }
  }
  transfer.wait();
  return gathered;
}

Pending MpiCommunicator::start_all_to_all_v(const Stream&, ConstView send, std::span<const int64_t> send_rows,
                                            View recv, std::span<const int64_t> recv_rows) {
  check_on_host(send);
  check_on_host(recv);
  const auto [row_bytes, from, to] = all_to_all_rows(size_, send, send_rows, recv, recv_rows);
  auto transfer = std::make_unique<MpiTransfer>(comm_.get(), kAllToAll, row_bytes, max_message_bytes_);
  const auto* send_data = static_cast<const std::byte*>(send.data);
  auto* recv_data = static_cast<std::byte*>(recv.data);
  const auto me = static_cast<size_t>(rank_), num_ranks = static_cast<size_t>(size_);
  // Step s: send s ranks ahead while receiving from s ranks behind, so that no rank is everyone's first. Receives
  // before sends, so that rows have a place when they arrive.
  for (size_t step = 1; step < num_ranks; ++step) {
    const size_t source = (me + num_ranks - step) % num_ranks;
    transfer->receive(recv_data + to[source] * row_bytes, recv_rows[source], static_cast<int>(source));
  }
  for (size_t step = 1; step < num_ranks; ++step) {
    const size_t target = (me + step) % num_ranks;
    transfer->send(send_data + from[target] * row_bytes, send_rows[target], static_cast<int>(target));
  }
  copy_bytes(send.slice(from[me], send_rows[me]), recv.slice(to[me], recv_rows[me]));
  return Pending(std::move(transfer));
}

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(int64_t max_message_bytes) {
  SWITCHYARD_CHECK(max_message_bytes >= 1 && max_message_bytes <= (int64_t{1} << 30), "messages of {} bytes",
                   max_message_bytes);
  check_launcher(size_of_comm(MPI_COMM_WORLD));
  return std::make_unique<MpiCommunicator>(duplicate(MPI_COMM_WORLD), max_message_bytes);
}

}  // namespace switchyard
