#include <algorithm>
#include <cstdlib>

#include "comm/communicator.h"
#include "comm/host_ops.h"

namespace switchyard {
namespace {

/// One rank: what is sent is received.
class SelfCommunicator final : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string_view kind() const override { return "self"; }

  void barrier() override {}
  void broadcast(View, int) override {}
  void all_reduce(View, ReduceOp) override {}
  void all_gather(ConstView send, View recv) override { copy_bytes(send, recv); }

  std::vector<std::vector<std::byte>> gather_bytes(std::span<const std::byte> send, int) override {
    return {{send.begin(), send.end()}};
  }

  Pending start_all_to_all_v(const Stream&, ConstView send, std::span<const int64_t> send_rows, View recv,
                             std::span<const int64_t> recv_rows) override {
    check_on_host(send);
    check_on_host(recv);
    SWITCHYARD_CHECK(send_rows.size() == 1 && recv_rows.size() == 1 && send_rows[0] == recv_rows[0],
                     "all-to-all of one rank with unequal counts");
    copy_bytes(send.slice(0, send_rows[0]), recv.slice(0, recv_rows[0]));
    return {};
  }

  std::unique_ptr<Communicator> split(int, int) override { return make_self_communicator(); }

  void post_notice(int value) override { notice_ = std::max(notice_, value); }
  int notice() override { return notice_; }

  [[noreturn]] void abort(int exit_code) override { std::_Exit(exit_code); }

 private:
  int notice_ = 0;
};

}  // namespace

std::unique_ptr<Communicator> make_self_communicator() {
  return std::make_unique<SelfCommunicator>();
}

}  // namespace switchyard
