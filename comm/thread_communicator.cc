// Ranks as threads of one process. Everything happens under one mutex: the copies too, so that a rank that fails cannot
// free memory while another reads it. Plain rather than fast: these ranks serve the tests.
#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "comm/communicator.h"
#include "comm/host_ops.h"

namespace switchyard {
namespace {

using Lock = std::unique_lock<std::mutex>;

/// Shared by all ranks and by all communicators split from theirs.
class World {
 public:
  Lock lock() { return Lock(mutex_); }

  /// Until done() or a rank has failed.
  template <class Done>
  void wait(Lock& lock, Done done) {
    changed_.wait(lock, [&] { return done() || failed(); });
  }

  void notify() { changed_.notify_all(); }

  /// Under the lock.
  void check_alive() const {
    if (failed()) fail(ExitCode::environment, "another rank of this process has failed");
  }
  bool failed() const { return first_error_ != nullptr; }

  void report(std::exception_ptr error) {
    const Lock guard = lock();
    if (!first_error_) first_error_ = std::move(error);
    notify();
  }
  void rethrow() const {
    if (first_error_) std::rethrow_exception(first_error_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::exception_ptr first_error_;
};

/// One all-to-all: every rank posts its side, and the last one copies for all. Hence, as with MPI, a transfer that all
/// have started completes whatever the ranks wait for next.
struct Transfer {
  struct Side {
    ConstView send;
    View recv;
    std::vector<int64_t> send_rows, recv_rows;
  };
  std::vector<Side> sides;  // [size]
  int num_posted = 0;
  bool complete = false;

  void copy_all() {
    std::vector<int64_t> filled(sides.size());
    for (size_t from = 0; from < sides.size(); ++from) {
      int64_t sent = 0;
      for (size_t to = 0; to < sides.size(); ++to) {
        const int64_t rows = sides[from].send_rows[to];
        SWITCHYARD_CHECK(rows == sides[to].recv_rows[from], "rank {} sends {} rows to rank {}, which expects {}", from,
                         rows, to, sides[to].recv_rows[from]);
        copy_bytes(sides[from].send.slice(sent, rows), sides[to].recv.slice(filled[to], rows));
        sent += rows;
        filled[to] += rows;
      }
    }
    complete = true;
  }
};

/// What the ranks of one communicator share; guarded by the world's mutex.
struct Group {
  Group(std::shared_ptr<World> the_world, int the_size)
      : world(std::move(the_world)), size(the_size), shown(static_cast<size_t>(the_size)) {}

  const std::shared_ptr<World> world;
  const int size;
  std::vector<const void*> shown;  // [size] what each rank shows the others in a meeting
  int num_arrived = 0;
  uint64_t meetings = 0;
  std::map<uint64_t, std::shared_ptr<Transfer>> transfers;  // by sequence number, until all ranks have posted
  int notice = 0;

  void arrive(Lock& lock) {
    const uint64_t meeting = meetings;
    if (++num_arrived == size) {
      num_arrived = 0;
      ++meetings;
      world->notify();
    }
    world->wait(lock, [&] { return meetings != meeting; });
    world->check_alive();  // also when all have come: one that left since may have freed what it showed
  }

  /// Every rank shows a pointer; `read` sees them all, under the lock; nobody leaves before all have read.
  template <class Read>
  void meet(int rank, const void* mine, Read read) {
    Lock lock = world->lock();
    world->check_alive();
    shown[static_cast<size_t>(rank)] = mine;
    arrive(lock);
    read();
    arrive(lock);
  }

  template <class T>
  const T& shown_by(int rank) const {
    return *static_cast<const T*>(shown[static_cast<size_t>(rank)]);
  }
};

class ThreadTransfer final : public Pending::Impl {
 public:
  ThreadTransfer(std::shared_ptr<World> world, std::shared_ptr<Transfer> transfer)
      : world_(std::move(world)), transfer_(std::move(transfer)) {}

  ~ThreadTransfer() override {
    try {
      wait();
    } catch (const Error&) {  // a rank failed: nobody copies any more
    }
  }

  bool poll() override {
    const Lock lock = world_->lock();
    if (!transfer_->complete) world_->check_alive();
    return transfer_->complete;
  }

  void wait() override {
    Lock lock = world_->lock();
    world_->wait(lock, [&] { return transfer_->complete; });
    if (!transfer_->complete) world_->check_alive();
  }

 private:
  const std::shared_ptr<World> world_;
  const std::shared_ptr<Transfer> transfer_;
};

class ThreadCommunicator final : public Communicator {
 public:
  ThreadCommunicator(std::shared_ptr<Group> group, int rank) : group_(std::move(group)), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return group_->size; }
  std::string_view kind() const override { return "threads"; }

  void barrier() override {
    group_->meet(rank_, nullptr, [] {});
  }

  void broadcast(View data, int root) override {
    group_->meet(rank_, &data, [&] {
      if (rank_ != root) copy_bytes(group_->shown_by<View>(root), data);
    });
  }

  void all_reduce(View data, ReduceOp op) override {
    std::vector<std::byte> result(data.bytes());
    group_->meet(rank_, data.data, [&] {
      std::vector<const std::byte*> parts;
      for (const void* part : group_->shown) parts.push_back(static_cast<const std::byte*>(part));
      reduce_in_order(parts, op, {result.data(), data.shape, data.dtype});
    });
    if (!result.empty()) std::memcpy(data.data, result.data(), result.size());
  }

  void all_gather(ConstView send, View recv) override {
    group_->meet(rank_, &send, [&] {
      for (int r = 0; r < size(); ++r)
        copy_bytes(group_->shown_by<ConstView>(r), recv.slice(r * send.rows(), send.rows()));
    });
  }

  std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> send, int root) override {
    std::vector<std::vector<std::byte>> gathered;
    group_->meet(rank_, &send, [&] {
      if (rank_ != root) return;
      for (int r = 0; r < size(); ++r) {
        const auto bytes = group_->shown_by<std::span<const std::byte>>(r);
        gathered.emplace_back(bytes.begin(), bytes.end());
      }
    });
    return gathered;
  }

  Pending start_all_to_all_v(const Stream&, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override {
    check_on_host(send);
    check_on_host(recv);
    all_to_all_rows(size(), send, send_rows, recv, recv_rows);
    const Lock lock = group_->world->lock();
    group_->world->check_alive();
    const uint64_t number = num_transfers_++;
    std::shared_ptr<Transfer>& slot = group_->transfers[number];
    if (!slot) {
      slot = std::make_shared<Transfer>();
      slot->sides.resize(static_cast<size_t>(size()));
    }
    const std::shared_ptr<Transfer> transfer = slot;
    transfer->sides[static_cast<size_t>(rank_)] = {
        send, recv, {send_rows.begin(), send_rows.end()}, {recv_rows.begin(), recv_rows.end()}};
    if (++transfer->num_posted == size()) {
      group_->transfers.erase(number);
      transfer->copy_all();
      group_->world->notify();
    }
    return Pending(std::make_unique<ThreadTransfer>(group_->world, transfer));
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    SWITCHYARD_CHECK(color >= 0, "split with color {}", color);
    struct Choice {
      int color, key;
    };
    const Choice mine{color, key};
    std::vector<int> members;  // ranks of this color, in the new order
    group_->meet(rank_, &mine, [&] {
      const auto key_of = [&](int r) { return group_->shown_by<Choice>(r).key; };
      for (int r = 0; r < size(); ++r)
        if (group_->shown_by<Choice>(r).color == color) members.push_back(r);
      std::ranges::stable_sort(members, {}, key_of);
    });
    const int leader = members[0];
    std::shared_ptr<Group> part;
    if (rank_ == leader) part = std::make_shared<Group>(group_->world, static_cast<int>(members.size()));
    group_->meet(rank_, &part, [&] {
      if (rank_ != leader) part = group_->shown_by<std::shared_ptr<Group>>(leader);
    });
    const auto position = std::ranges::find(members, rank_) - members.begin();
    return std::make_unique<ThreadCommunicator>(part, static_cast<int>(position));
  }

  void post_notice(int value) override {
    const Lock lock = group_->world->lock();
    group_->notice = std::max(group_->notice, value);
  }
  int notice() override {
    const Lock lock = group_->world->lock();
    return group_->notice;
  }

  [[noreturn]] void abort(int exit_code) override {
    const Error error(static_cast<ExitCode>(exit_code),
                      fmt::format("rank {} aborts with exit code {}", rank_, exit_code));
    group_->world->report(std::make_exception_ptr(error));
    throw error;
  }

 private:
  const std::shared_ptr<Group> group_;
  const int rank_;
  uint64_t num_transfers_ = 0;
};

}  // namespace

void run_thread_ranks(int size, const std::function<void(Communicator&)>& body) {
  const auto world = std::make_shared<World>();
  const auto group = std::make_shared<Group>(world, size);
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(size));
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      try {
        ThreadCommunicator communicator(group, rank);
        body(communicator);
      } catch (...) {
        world->report(std::current_exception());
      }
    });
  for (auto& thread : threads) thread.join();
  world->rethrow();
}

}  // namespace switchyard
