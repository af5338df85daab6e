#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <numeric>
#include <thread>

#include "comm/collectively.h"
#include "tests/comm/all_to_all.h"
#include "tests/comm/checks.h"

namespace switchyard::test {
namespace {

template <class T>
View view(std::vector<T>& values) {
  return {values.data(), {std::ssize(values)}, DTypeOf<T>::value};
}

void barrier_waits_for_the_last(Communicator& world) {
  using Clock = std::chrono::steady_clock;  // one clock for all processes of a host
  for (int late = 0; late < world.size(); ++late) {
    if (world.rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    int64_t arrival = Clock::now().time_since_epoch().count();
    world.barrier();
    const int64_t after = Clock::now().time_since_epoch().count();
    world.broadcast({&arrival, {1}, DType::i64}, late);
    EXPECT_GE(after, arrival) << "rank " << world.rank() << " left before rank " << late << " came";
  }
}

void broadcast_from_every_root(Communicator& world) {
  for (int root = 0; root < world.size(); ++root)
    for (const int64_t size : {0, 1, 1000}) {
      std::vector<int32_t> values(static_cast<size_t>(size), -1);
      if (world.rank() == root) std::iota(values.begin(), values.end(), 10 * root);
      world.broadcast(view(values), root);
      std::vector<int32_t> expected(values.size());
      std::iota(expected.begin(), expected.end(), 10 * root);
      EXPECT_EQ(values, expected) << "root " << root;
    }
  for (const std::string& text : {std::string(), std::string("a"), std::string(5000, 'z')}) {
    const int root = world.size() - 1;
    EXPECT_EQ(world.broadcast_string(world.rank() == root ? text : "something else", root), text);
  }
}

template <class T>
void check_reductions(Communicator& world) {
  const auto value = [](int rank, int i) { return static_cast<T>((rank * 7 + i * 3) % 11 - 5); };
  for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min}) {
    std::vector<T> data(37), expected(37);
    for (int i = 0; i < 37; ++i) {
      const auto at = static_cast<size_t>(i);
      data[at] = value(world.rank(), i);
      expected[at] = value(0, i);
      for (int r = 1; r < world.size(); ++r)
        expected[at] = op == ReduceOp::sum   ? static_cast<T>(expected[at] + value(r, i))
                       : op == ReduceOp::max ? std::max(expected[at], value(r, i))
                                             : std::min(expected[at], value(r, i));
    }
    world.all_reduce(view(data), op);
    EXPECT_EQ(data, expected);
  }
}

void all_reduce_of_every_type(Communicator& world) {
  check_reductions<float>(world);
  check_reductions<double>(world);
  check_reductions<int32_t>(world);
  check_reductions<int64_t>(world);
  std::vector<float> nothing;
  world.all_reduce(view(nothing), ReduceOp::sum);
  EXPECT_EQ(world.all_reduce_one(int64_t{world.rank()}, ReduceOp::max), world.size() - 1);
  EXPECT_EQ(world.all_reduce_one(0.5, ReduceOp::sum), 0.5 * world.size());
}

/// Values whose sum depends on the order, more than are reduced at once.
void float_sums_in_rank_order(Communicator& world) {
  const auto value = [](int rank, size_t i) {
    return std::ldexp(static_cast<float>((i * 31 + static_cast<size_t>(rank) * 17) % 101) / 7 - 5, (rank * 13) % 30);
  };
  std::vector<float> data(70'001);
  for (size_t i = 0; i < data.size(); ++i) data[i] = value(world.rank(), i);
  world.all_reduce(view(data), ReduceOp::sum);
  for (size_t i = 0; i < data.size(); ++i) {
    float expected = value(0, i);
    for (int r = 1; r < world.size(); ++r) expected += value(r, i);
    if (data[i] != expected) {
      ADD_FAILURE() << "element " << i << ": " << data[i] << ", expected " << expected;
      return;
    }
  }
}

void all_gather_in_rank_order(Communicator& world) {
  for (const int rows : {0, 1, 40}) {
    std::vector<int32_t> mine(static_cast<size_t>(rows) * 3, world.rank() + 1);
    std::vector<int32_t> all(mine.size() * static_cast<size_t>(world.size()), -1);
    world.all_gather({mine.data(), {rows, 3}, DType::i32}, {all.data(), {rows * world.size(), 3}, DType::i32});
    for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<int>(i / mine.size()) + 1) << i;
  }
}

void gather_bytes_of_any_size(Communicator& world) {
  const auto bytes_of = [](int rank) {
    return std::vector<std::byte>(static_cast<size_t>(rank * 50), std::byte(rank));
  };
  for (int root = 0; root < world.size(); ++root) {
    const auto gathered = world.gather_bytes(bytes_of(world.rank()), root);
    ASSERT_EQ(gathered.size(), world.rank() == root ? static_cast<size_t>(world.size()) : 0);
    for (size_t r = 0; r < gathered.size(); ++r) EXPECT_EQ(gathered[r], bytes_of(static_cast<int>(r)));
  }
}

void all_to_all_v_uneven(Communicator& world) {
  for (const int salt : {0, 1, 7}) {
    AllToAll a(world, salt);
    a.start().wait();
    a.verify();
  }
}

void all_to_all_v_several_under_way(Communicator& world) {
  AllToAll first(world, 1), second(world, 2), third(world, 3);
  Pending a = first.start(), b = second.start(), c = third.start();
  while (!b.poll()) std::this_thread::yield();
  second.verify();
  c.wait();
  third.verify();
  a.wait();
  first.verify();
  EXPECT_TRUE(a.poll());
}

void a_transfer_let_go_of_is_complete(Communicator& world) {
  AllToAll first(world, 1), second(world, 2);
  {
    Pending pending = first.start();
    pending = second.start();
    first.verify();
  }
  second.verify();
}

void split_orders_by_key(Communicator& world) {
  const int color = world.rank() % 2;
  const auto part = world.split(color, -world.rank());
  EXPECT_EQ(part->kind(), world.kind());
  EXPECT_EQ(part->size(), (world.size() + 1 - color) / 2);
  EXPECT_EQ(part->rank(), part->size() - 1 - world.rank() / 2);
  std::vector<int32_t> mine{world.rank()}, all(static_cast<size_t>(part->size()));
  part->all_gather(view(mine), view(all));
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], 2 * static_cast<int>(all.size() - 1 - i) + color);
  AllToAll inside(*part, 3);
  inside.start().wait();
  inside.verify();

  const auto alone = part->split(part->rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  EXPECT_EQ(alone->all_reduce_one(int64_t{5}, ReduceOp::sum), 5);
  EXPECT_EQ(world.all_reduce_one(int64_t{1}, ReduceOp::sum), world.size());
}

void split_with_equal_keys_keeps_the_order(Communicator& world) {
  const auto copy = world.split(3, 0);
  EXPECT_EQ(copy->rank(), world.rank());
  EXPECT_EQ(copy->size(), world.size());
}

void notices_reach_everybody_and_only_grow(Communicator& world) {
  const auto own = world.split(0, world.rank());
  const auto until = [&](int value) {
    while (own->notice() < value) std::this_thread::yield();
    return own->notice();
  };
  EXPECT_EQ(own->notice(), 0);
  world.barrier();
  if (own->rank() == 0) own->post_notice(3);
  EXPECT_EQ(until(3), 3);
  world.barrier();
  if (own->rank() == own->size() - 1) {
    own->post_notice(2);
    own->post_notice(7);
    own->post_notice(1);
  }
  EXPECT_EQ(until(7), 7);
  world.barrier();
  own->post_notice(100 + own->rank());
  EXPECT_EQ(until(99 + own->size()), 99 + own->size());
}

void notices_need_not_be_read(Communicator& world) {
  const auto own = world.split(0, world.rank());
  own->post_notice(4 + own->rank());
  EXPECT_GE(own->notice(), 4 + own->rank());
}

/// A rank of one group fails alone: its group learns of it, then the world, and nobody waits for it.
void a_failure_in_a_group_is_the_worlds(Communicator& world) {
  const auto group = world.split(world.rank() % 2, world.rank());
  std::string told;
  try {
    collectively(world, [&] {
      in_group(*group, [&] {
        if (world.rank() == 0) fail(ExitCode::input, "what only rank 0 has seen");
      });
    });
  } catch (const CollectiveError& error) {
    EXPECT_EQ(error.code(), ExitCode::input);
    told = error.what();
  }
  EXPECT_EQ(told, "what only rank 0 has seen");
  EXPECT_EQ(world.all_reduce_one(int64_t{1}, ReduceOp::sum), world.size());
}

}  // namespace

std::vector<Check> communicator_checks() {
  return {{"barrier_waits_for_the_last", barrier_waits_for_the_last},
          {"broadcast_from_every_root", broadcast_from_every_root},
          {"all_reduce_of_every_type", all_reduce_of_every_type},
          {"float_sums_in_rank_order", float_sums_in_rank_order},
          {"all_gather_in_rank_order", all_gather_in_rank_order},
          {"gather_bytes_of_any_size", gather_bytes_of_any_size},
          {"all_to_all_v_uneven", all_to_all_v_uneven},
          {"all_to_all_v_several_under_way", all_to_all_v_several_under_way},
          {"a_transfer_let_go_of_is_complete", a_transfer_let_go_of_is_complete},
          {"split_orders_by_key", split_orders_by_key},
          {"split_with_equal_keys_keeps_the_order", split_with_equal_keys_keeps_the_order},
          {"notices_reach_everybody_and_only_grow", notices_reach_everybody_and_only_grow},
          {"notices_need_not_be_read", notices_need_not_be_read},
          {"a_failure_in_a_group_is_the_worlds", a_failure_in_a_group_is_the_worlds}};
}

}  // namespace switchyard::test
