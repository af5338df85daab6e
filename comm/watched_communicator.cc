#include "comm/watched_communicator.h"

#include <fmt/format.h>

#include <cstdlib>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "base/stopwatch.h"

namespace switchyard {
namespace {

/// One operation, from coming to it to leaving it.
class Visit {
 public:
  explicit Visit(const Watch& watch) : watch_(watch) {
    watch_.arrive();
    watch_.wait();
  }
  ~Visit() {
    watch_.leave();
    watch_.communicated(seconds_now() - start_);
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  const Watch& watch_;
  const double start_ = seconds_now();
};

class WatchedTransfer final : public Pending::Impl {
 public:
  WatchedTransfer(Pending inner, const Watch& watch) : inner_(std::move(inner)), watch_(watch) {}
  ~WatchedTransfer() override {
    inner_ = Pending();
    if (!complete_) watch_.leave();
  }

  bool poll() override {
    if (complete_) return true;
    complete_ = inner_.poll();
    if (complete_) {
      watch_.leave();
    } else {
      watch_.wait();
    }
    return complete_;
  }

  void wait() override {
    const double start = seconds_now();
    watch_.wait();
    inner_.wait();
    watch_.leave();
    watch_.communicated(seconds_now() - start);
    complete_ = true;
  }

 private:
  Pending inner_;
  const Watch watch_;
  bool complete_ = false;
};

class WatchedCommunicator final : public Communicator {
 public:
  /// ranks: of the world, in this communicator's order
  WatchedCommunicator(std::unique_ptr<Communicator> inner, Pulse& pulse, std::string name, std::vector<int> ranks)
      : inner_(std::move(inner)),
        pulse_(pulse),
        name_(std::move(name)),
        ranks_(std::move(ranks)),
        watch_(pulse, pulse.add_communicator(name_, ranks_)) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::string_view kind() const override { return inner_->kind(); }

  void barrier() override {
    const Visit visit(watch_);
    inner_->barrier();
  }
  void broadcast(View data, int root) override {
    const Visit visit(watch_);
    inner_->broadcast(data, root);
  }
  void all_reduce(View data, ReduceOp op) override {
    const Visit visit(watch_);
    inner_->all_reduce(data, op);
  }
  void all_gather(ConstView send, View recv) override {
    const Visit visit(watch_);
    inner_->all_gather(send, recv);
  }
  std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> send, int root) override {
    const Visit visit(watch_);
    return inner_->gather_bytes(send, root);
  }
  Pending start_all_to_all_v(const Stream& stream, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override {
    watch_.arrive();
    return Pending(std::make_unique<WatchedTransfer>(
        inner_->start_all_to_all_v(stream, send, send_rows, recv, recv_rows), watch_));
  }

  /// Its parts are named after their number: all ranks split in one order.
  std::unique_ptr<Communicator> split(int color, int key) override {
    const Visit visit(watch_);
    auto part = inner_->split(color, key);
    const int32_t mine = ranks_[static_cast<size_t>(rank())];
    std::vector<int> ranks(static_cast<size_t>(part->size()));
    part->all_gather({&mine, {1}, DType::i32}, {ranks.data(), {part->size()}, DType::i32});
    return std::make_unique<WatchedCommunicator>(std::move(part), pulse_, fmt::format("{}/{}", name_, ++num_splits_),
                                                 std::move(ranks));
  }

  Watch watch() const override { return watch_; }

  void post_notice(int value) override { inner_->post_notice(value); }
  int notice() override { return inner_->notice(); }
  [[noreturn]] void abort(int exit_code) override {
    inner_->abort(exit_code);
    std::_Exit(exit_code);  // not reached: a virtual function's [[noreturn]] is not inherited
  }

 private:
  const std::unique_ptr<Communicator> inner_;
  Pulse& pulse_;
  const std::string name_;
  const std::vector<int> ranks_;
  const Watch watch_;
  int num_splits_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> watch_communicator(std::unique_ptr<Communicator> inner, Pulse& pulse) {
  std::vector<int> ranks(static_cast<size_t>(inner->size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return std::make_unique<WatchedCommunicator>(std::move(inner), pulse, "world", std::move(ranks));
}

}  // namespace switchyard
