// All-to-alls of a device's memory, on any communicator that takes it. Rank r of the world has device r, if there are
// enough.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/comm/all_to_all.h"
#include "tests/comm/checks.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

class RankStream {
 public:
  explicit RankStream(const Communicator& world)
      : device_(device_of_rank(world.rank())), stream_(device_.over(Stream{})) {}
  operator const Stream&() const { return stream_; }

 private:
  DeviceStream device_;
  Stream stream_;
};

void device_rows_uneven(Communicator& world) {
  const RankStream stream(world);
  for (const int salt : {0, 1, 7, 60, 2}) {
    AllToAll a(world, salt, stream);
    a.start().wait();
    a.verify();
  }
}

void device_rows_several_under_way(Communicator& world) {
  const RankStream stream(world);
  for (int repeat = 0; repeat < 3; ++repeat) {
    AllToAll first(world, 1, stream), second(world, 2, stream), third(world, 13, stream);
    Pending a = first.start(), b = second.start(), c = third.start();
    while (!b.poll()) std::this_thread::yield();
    second.verify();
    c.wait();
    third.verify();
    a.wait();
    first.verify();
    EXPECT_TRUE(a.poll());
  }
}

void device_rows_waited_for_in_another_order(Communicator& world) {
  const RankStream stream(world);
  AllToAll first(world, 5, stream), second(world, 6, stream), third(world, 7, stream);
  Pending a = first.start(), b = second.start(), c = third.start();
  if (world.rank() % 2 == 0) {
    c.wait();
    a.wait();
    b.wait();
  } else {
    b.wait();
    c.wait();
    a.wait();
  }
  first.verify();
  second.verify();
  third.verify();
}

void device_rows_between_host_rows(Communicator& world) {
  const RankStream stream(world);
  AllToAll host(world, 3), device(world, 4, stream), more(world, 5);
  Pending a = host.start(), b = device.start(), c = more.start();
  world.barrier();
  b.wait();
  device.verify();
  a.wait();
  c.wait();
  host.verify();
  more.verify();
}

void device_transfer_let_go_of_is_complete(Communicator& world) {
  const RankStream stream(world);
  AllToAll first(world, 1, stream), second(world, 2, stream);
  {
    Pending pending = first.start();
    pending = second.start();
    first.verify();
  }
  second.verify();
}

void a_late_rank_is_waited_for(Communicator& world) {
  const RankStream stream(world);
  for (int late = 0; late < world.size(); ++late) {
    AllToAll a(world, 9, stream);
    if (world.rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    a.start().wait();
    a.verify();
  }
}

void device_rows_in_groups(Communicator& world) {
  const RankStream stream(world);
  const auto part = world.split(world.rank() % 2, -world.rank());
  EXPECT_EQ(part->kind(), world.kind());
  AllToAll inside(*part, 3, stream), outside(world, 5, stream);
  Pending a = inside.start(), b = outside.start();
  b.wait();
  a.wait();
  inside.verify();
  outside.verify();
}

/// Every rank sends rank + 1 to all, and what it receives on: what is received is sent in the stream's order.
void received_rows_are_sent_on(Communicator& world) {
  const RankStream stream(world);
  const int64_t size = world.size();
  const std::vector<int64_t> one_each(static_cast<size_t>(size), 1);
  std::vector<int32_t> values(static_cast<size_t>(size), world.rank() + 1);
  const View host{values.data(), {size, 1}, DType::i32};
  OwnedTensor here({size, 1}, DType::i32, Device::cuda), there({size, 1}, DType::i32, Device::cuda);
  copy(stream, host, here.view());
  for (int hop = 0; hop < 20; ++hop) {
    world.start_all_to_all_v(stream, here.view(), one_each, there.view(), one_each).wait();
    std::swap(here, there);
  }
  copy(stream, here.view(), host);
  synchronize(stream);
  for (const int32_t value : values) EXPECT_EQ(value, world.rank() + 1);  // there and back, an even number of times
  world.start_all_to_all_v(stream, here.view(), one_each, there.view(), one_each).wait();
  copy(stream, there.view(), host);
  synchronize(stream);
  for (size_t r = 0; r < values.size(); ++r) EXPECT_EQ(values[r], static_cast<int>(r) + 1);
}

void other_operations_take_host_memory(Communicator& world) {
  const RankStream stream(world);
  OwnedTensor tensor({4}, DType::f32, Device::cuda);
  std::vector<float> host(4);
  const View host_view{host.data(), {4}, DType::f32};
  const std::vector<int64_t> none(static_cast<size_t>(world.size()));
  const auto refused = [](const auto& action) { return fails(ExitCode::internal, {"host memory"}, action); };
  EXPECT_TRUE(refused([&] { world.broadcast(tensor.view(), 0); }));
  EXPECT_TRUE(refused([&] { world.all_reduce(tensor.view(), ReduceOp::sum); }));
  EXPECT_TRUE(refused([&] { world.all_gather(tensor.view(), host_view); }));
  EXPECT_TRUE(refused([&] { world.start_all_to_all_v(stream, tensor.view(), none, host_view, none); }));
  EXPECT_TRUE(refused([&] { world.start_all_to_all_v(stream, host_view, none, tensor.view(), none); }));
}

}  // namespace

int device_of_rank(int rank) {
  return rank % std::max(num_devices(), 1);
}

std::vector<Check> device_checks() {
  return {{"device_rows_uneven", device_rows_uneven},
          {"device_rows_several_under_way", device_rows_several_under_way},
          {"device_rows_waited_for_in_another_order", device_rows_waited_for_in_another_order},
          {"device_rows_between_host_rows", device_rows_between_host_rows},
          {"device_transfer_let_go_of_is_complete", device_transfer_let_go_of_is_complete},
          {"a_late_rank_is_waited_for", a_late_rank_is_waited_for},
          {"device_rows_in_groups", device_rows_in_groups},
          {"received_rows_are_sent_on", received_rows_are_sent_on},
          {"other_operations_take_host_memory", other_operations_take_host_memory}};
}

}  // namespace switchyard::test
