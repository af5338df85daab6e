// How ranks share a machine and a model, chosen from what the machine has.
#include "model/layout.h"

#include <gtest/gtest.h>

#include "kernels/cpu_isa.h"
#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

constexpr DecoderLimits kBatch{256, 64};

MachineShare machine_of(int ranks, size_t memory, int ranks_on_host) {
  MachineShare machine;
  machine.world_size = ranks;
  machine.ranks_on_host = ranks_on_host;
  machine.cores = 3;
  machine.memory = {memory, "the host's"};
  return machine;
}

LayoutWishes in_f32() {
  LayoutWishes wishes;
  wishes.operand = DType::f32;
  wishes.exchange_bytes = 1 << 20;
  return wishes;
}

/// 128 experts of 1.5 M weights in a layer each, and little else.
ModelConfig wide_model() {
  ModelConfig c{.family = "switchyard", .vocab_size = 100, .hidden_size = 512, .max_positions = 64};
  const AttentionConfig attention = AttentionConfig::of_heads(4, 4, 16, 10'000);
  c.layers.assign(2,
                  {attention, MoeConfig{.router = {.num_experts = 128, .experts_per_token = 2}, .expert_size = 1024}});
  return c;
}

size_t need(int ep, int threads, DType operand = DType::f32) {
  return plan_memory(wide_model(), {operand, ExpertPlacement::blocks(128, ep), threads, kBatch, 1 << 20, Device::cpu})
      .peak();
}

Layout choose(const LayoutWishes& wishes, const MachineShare& machine) {
  return choose_layout(wide_model(), wishes, kBatch, machine);
}

TEST(Layout, SpreadsExpertsOverAsFewRanksAsTheyFitOn) {
  for (const int ep : {1, 2, 4, 8}) {
    const Layout layout = choose(in_f32(), machine_of(8, need(ep, 3), 8));
    EXPECT_EQ(layout.ep, ep);
    EXPECT_EQ(layout.num_groups(), 8 / ep);
    EXPECT_EQ(layout.threads, 3);
    EXPECT_EQ(layout.memory.peak(), need(ep, 3));
    EXPECT_EQ(layout.engine().limits.max_record, 64);
  }
}

TEST(Layout, KeepsGroupsInsideAHostOrOnWholeHosts) {
  // Of 12 ranks, 3 a host: groups of 1, 3, 6 or 12, not of 2 or 4.
  EXPECT_EQ(choose(in_f32(), machine_of(12, need(2, 3), 3)).ep, 3);
  EXPECT_EQ(choose(in_f32(), machine_of(12, need(4, 3), 3)).ep, 6);
}

TEST(Layout, DoesWhatIsAskedFor) {
  LayoutWishes wishes = in_f32();
  wishes.ep = 4;
  wishes.threads = 2;
  wishes.micro_batches = 2;
  const Layout layout = choose(wishes, machine_of(8, size_t{1} << 40, 8));
  EXPECT_EQ(layout.ep, 4);
  EXPECT_EQ(layout.threads, 2);
  EXPECT_EQ(layout.limits.micro_batches, 2);
  EXPECT_EQ(layout.engine().exchange_bytes, 1 << 20);
  wishes.memory_bytes = need(1, 2);
  wishes.ep = wishes.micro_batches = 0;
  EXPECT_EQ(choose(wishes, machine_of(8, size_t{1} << 40, 8)).bound.source, "--memory-gib");
  EXPECT_EQ(choose(wishes, machine_of(8, 1, 8)).ep, 1);
}

TEST(Layout, RefusesWhatCannotBe) {
  LayoutWishes wishes = in_f32();
  for (const int ep : {3, 16}) {
    wishes.ep = ep;
    EXPECT_TRUE(fails(ExitCode::usage, {fmt::format("--ep is {}", ep), "8 ranks", "128 experts"},
                      [&] { choose(wishes, machine_of(8, size_t{1} << 40, 8)); }));
  }
  EXPECT_TRUE(fails(ExitCode::environment, {"memory", "over 8 ranks", "the host's"},
                    [&] { choose(in_f32(), machine_of(8, need(8, 3) - 1, 8)); }));
  wishes.ep = 2;
  EXPECT_TRUE(
      fails(ExitCode::environment, {"memory", "over 2 ranks"}, [&] { choose(wishes, machine_of(8, need(4, 3), 8)); }));
}

TEST(Layout, TakesTheDTypeThatSuitsTheDevice) {
  LayoutWishes wishes = in_f32();
  wishes.operand.reset();
  const Layout roomy = choose(wishes, machine_of(1, size_t{1} << 40, 1));
  EXPECT_EQ(roomy.operand, has_native_bf16() ? DType::bf16 : DType::f32);
  EXPECT_NE(roomy.why_operand, "");
  ASSERT_LT(need(1, 3, DType::bf16), need(1, 3));
  EXPECT_EQ(choose(wishes, machine_of(1, need(1, 3) - 1, 1)).operand, DType::bf16);

  MachineShare other = machine_of(1, size_t{1} << 40, 1);  // as its profile says, whatever this machine's CPU can
  for (const bool native : {false, true}) {
    other.native_bf16 = native;
    EXPECT_EQ(choose(wishes, other).operand, native ? DType::bf16 : DType::f32);
  }
  other.native_bf16 = false;
  other.memory.bytes = need(1, 3) - 1;
  EXPECT_EQ(choose(wishes, other).operand, DType::bf16);

  wishes.operand = DType::f32;
  wishes.why_operand = "as it began";
  EXPECT_EQ(choose(wishes, machine_of(1, size_t{1} << 40, 1)).why_operand, "as it began");
}

TEST(Layout, OverlapsTheExchangeBetweenGpus) {
  EXPECT_EQ(default_micro_batches(Device::cuda, 2), 2);
  EXPECT_EQ(default_micro_batches(Device::cuda, 1), 1);
  EXPECT_EQ(default_micro_batches(Device::cpu, 2), 1);
}

}  // namespace
}  // namespace switchyard::test
