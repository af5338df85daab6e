// A communicator over another one, to which it leaves all that is about host memory. What is derived from it adds the
// all-to-all of a device's memory.
#pragma once

#include <cstdlib>
#include <memory>
#include <utility>

#include "comm/communicator.h"
#include "comm/host_ops.h"

namespace switchyard {

class HostDecorator : public Communicator {
 public:
  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }

  void barrier() override { host_->barrier(); }
  void broadcast(View data, int root) override {
    check_on_host(data);
    host_->broadcast(data, root);
  }
  void all_reduce(View data, ReduceOp op) override {
    check_on_host(data);
    host_->all_reduce(data, op);
  }
  void all_gather(ConstView send, View recv) override {
    check_on_host(send);
    check_on_host(recv);
    host_->all_gather(send, recv);
  }
  std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> send, int root) override {
    return host_->gather_bytes(send, root);
  }

  Watch watch() const override { return host_->watch(); }

  void post_notice(int value) override { host_->post_notice(value); }
  int notice() override { return host_->notice(); }
  [[noreturn]] void abort(int exit_code) override {
    host_->abort(exit_code);
    std::_Exit(exit_code);  // not reached: a virtual function's [[noreturn]] is not inherited
  }

 protected:
  explicit HostDecorator(std::unique_ptr<Communicator> host) : host_(std::move(host)) {}
  Communicator& host() { return *host_; }
  const Communicator& host() const { return *host_; }

 private:
  const std::unique_ptr<Communicator> host_;
};

}  // namespace switchyard
