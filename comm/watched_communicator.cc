#include "comm/watched_communicator.h"

#include <cstdlib>
#include <utility>

namespace switchyard {
namespace {

/// One operation, from coming to it to leaving it.
class Visit {
 public:
  Visit(Pulse& pulse, WaitScope scope) : pulse_(pulse) {
    pulse_.arrive(scope);
    pulse_.wait(scope);
  }
  ~Visit() { pulse_.leave(); }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

 private:
  Pulse& pulse_;
};

class WatchedTransfer final : public Pending::Impl {
 public:
  WatchedTransfer(Pending inner, Pulse& pulse, WaitScope scope)
      : inner_(std::move(inner)), pulse_(pulse), scope_(scope) {}

  bool poll() override {
    if (complete_) return true;
    complete_ = inner_.poll();
    if (complete_) {
      pulse_.leave();
    } else {
      pulse_.wait(scope_);
    }
    return complete_;
  }

  void wait() override {
    pulse_.wait(scope_);
    inner_.wait();
    pulse_.leave();
    complete_ = true;
  }

 private:
  Pending inner_;
  Pulse& pulse_;
  const WaitScope scope_;
  bool complete_ = false;
};

class WatchedCommunicator final : public Communicator {
 public:
  WatchedCommunicator(std::unique_ptr<Communicator> inner, Pulse& pulse, WaitScope scope)
      : inner_(std::move(inner)), pulse_(pulse), scope_(scope) {}

  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  std::string_view kind() const override { return inner_->kind(); }

  void barrier() override {
    const Visit visit(pulse_, scope_);
    inner_->barrier();
  }
  void broadcast(View data, int root) override {
    const Visit visit(pulse_, scope_);
    inner_->broadcast(data, root);
  }
  void all_reduce(View data, ReduceOp op) override {
    const Visit visit(pulse_, scope_);
    inner_->all_reduce(data, op);
  }
  void all_gather(ConstView send, View recv) override {
    const Visit visit(pulse_, scope_);
    inner_->all_gather(send, recv);
  }
  std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> send, int root) override {
    const Visit visit(pulse_, scope_);
    return inner_->gather_bytes(send, root);
  }
  Pending start_all_to_all_v(const Stream& stream, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override {
    pulse_.arrive(scope_);
    return Pending(std::make_unique<WatchedTransfer>(
        inner_->start_all_to_all_v(stream, send, send_rows, recv, recv_rows), pulse_, scope_));
  }

  /// Groups are blocks of neighbouring ranks: color · size, in the world's order.
  std::unique_ptr<Communicator> split(int color, int key) override {
    const Visit visit(pulse_, scope_);
    auto part = inner_->split(color, key);
    pulse_.members(WaitScope::group, rank() - part->rank(), part->size());
    return std::make_unique<WatchedCommunicator>(std::move(part), pulse_, WaitScope::group);
  }

  void post_notice(int value) override { inner_->post_notice(value); }
  int notice() override { return inner_->notice(); }
  [[noreturn]] void abort(int exit_code) override {
    inner_->abort(exit_code);
    std::_Exit(exit_code);  // not reached: a virtual function's [[noreturn]] is not inherited
  }

 private:
  const std::unique_ptr<Communicator> inner_;
  Pulse& pulse_;
  const WaitScope scope_;
};

}  // namespace

std::unique_ptr<Communicator> watch_communicator(std::unique_ptr<Communicator> inner, Pulse& pulse) {
  pulse.members(WaitScope::world, 0, inner->size());
  return std::make_unique<WatchedCommunicator>(std::move(inner), pulse, WaitScope::world);
}

}  // namespace switchyard
