#include "train/checkpoints/checkpoints.h"

#include <gtest/gtest.h>

#include <fstream>

#include "io/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"
#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

const TrainingCase kCase{.config = trainable_config("qwen3_moe")};

/// On ranks that are threads: a model after `steps` steps, and its checkpoints in the directory.
void with_model(const std::filesystem::path& root, const TrainingLayout& layout, int64_t steps,
                const std::function<void(Trainer&, Checkpoints&)>& body) {
  run_thread_ranks(layout.ranks, [&](Communicator& world) {
    Trainer trainer(world, kCase.config, options_of(kCase, layout));
    trainer.initialise({.seed = 7, .range = 0.3});
    for (int64_t step = 1; step <= steps; ++step)
      trainer.step(made_up_step(kCase, trainer.ranks(), step), kCase.learning_rate);
    Checkpoints checkpoints(root, trainer.model(), "this run");
    body(trainer, checkpoints);
  });
}

void nothing() {}

void save(const std::filesystem::path& root, const TrainingLayout& layout, int64_t steps) {
  with_model(root, layout, steps, [&](Trainer&, Checkpoints& checkpoints) {
    checkpoints.save({.step = steps, .tokens_per_expert = {1, 2, 3}}, nothing, nothing);
  });
}

std::string files_of(const std::filesystem::path& folder) {
  std::string all;
  for (const std::filesystem::path& file : list_directory(folder))
    all += file.filename().native() + '\n' + read_text_file(file);
  return all;
}

TEST(Checkpoints, BytesAreThoseOfOneRank) {
  const TemporaryDirectory one, several;
  save(one.path(), {}, 2);
  for (const TrainingLayout layout : {TrainingLayout{.ranks = 3}, {.ranks = 4, .ep = 2}, {.ranks = 7, .ep = 7}}) {
    save(several.path(), layout, 2);
    EXPECT_EQ(files_of(several.path() / "checkpoints/step-000002"), files_of(one.path() / "checkpoints/step-000002"));
  }
}

TEST(Checkpoints, TrainingGoesOnOnOtherRanks) {
  const TemporaryDirectory directory;
  TrainingCase whole = kCase;
  whole.steps = 4;
  const TrainedBits expected = train(whole, {});
  save(directory.path(), {.ranks = 4, .ep = 2}, 2);
  with_model(directory.path(), {.ranks = 3, .ep = 3}, 0, [&](Trainer& trainer, Checkpoints& checkpoints) {
    const auto notes = checkpoints.restore(trainer.stream(), nothing);
    ASSERT_TRUE(notes);
    EXPECT_EQ(notes->step, 2);
    EXPECT_EQ(notes->tokens_per_expert, (std::vector<int64_t>{1, 2, 3}));
    StepResult last;
    for (int64_t step = 3; step <= 4; ++step)
      last = trainer.step(made_up_step(kCase, trainer.ranks(), step), kCase.learning_rate);
    EXPECT_EQ(last.losses.cross_entropy, expected.steps.back().losses.cross_entropy);
    EXPECT_EQ(last.gradient_norm, expected.steps.back().gradient_norm);
    const std::vector<float> masters = gather_all(trainer.model(), &Shard::master);
    if (trainer.ranks().rank() == 0) {
      EXPECT_EQ(masters, expected.parameters);
    }
  });
}

void spoil(const std::filesystem::path& file) {
  std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
  bytes.seekp(-5, std::ios::end);
  bytes.put('x');
}

TEST(Checkpoints, OneThatIsDamagedIsSetAsideForTheOneBefore) {
  const TemporaryDirectory directory;
  const std::filesystem::path folder = directory.path() / "checkpoints";
  for (const int64_t steps : {1, 2, 3}) save(directory.path(), {}, steps);
  spoil(folder / "step-000003/state-00000.safetensors");
  std::filesystem::remove(folder / "step-000002/checkpoint.json");
  with_model(directory.path(), {.ranks = 2}, 0, [&](Trainer& trainer, Checkpoints& checkpoints) {
    const auto notes = checkpoints.restore(trainer.stream(), nothing);
    ASSERT_TRUE(notes);
    EXPECT_EQ(notes->step, 1);
  });
  EXPECT_TRUE(std::filesystem::exists(folder / "step-000003.damaged"));
  EXPECT_TRUE(std::filesystem::exists(folder / "step-000002.damaged"));
  EXPECT_TRUE(std::filesystem::exists(folder / "step-000001"));
}

TEST(Checkpoints, WhereNoneIsWholeTheRunIsRefused) {
  const TemporaryDirectory directory;
  save(directory.path(), {}, 1);
  spoil(directory.path() / "checkpoints/step-000001/state-00000.safetensors");
  with_model(directory.path(), {}, 0, [&](Trainer& trainer, Checkpoints& checkpoints) {
    EXPECT_TRUE(fails(ExitCode::input,
                      {"no checkpoint of the run is whole", "state-00000.safetensors", "bytes have changed"},
                      [&] { checkpoints.restore(trainer.stream(), nothing); }));
  });
}

TEST(Checkpoints, OfAnotherRunAreRefused) {
  const TemporaryDirectory directory;
  save(directory.path(), {}, 1);
  with_model(directory.path(), {}, 0, [&](Trainer& trainer, Checkpoints&) {
    Checkpoints others(directory.path(), trainer.model(), "another run");
    EXPECT_TRUE(fails(ExitCode::mismatch, {"checkpoint.json", "another run", "this run"},
                      [&] { others.restore(trainer.stream(), nothing); }));
  });
}

TEST(Checkpoints, WhatMayNotBePublishedLeavesNothing) {
  const TemporaryDirectory directory;
  with_model(directory.path(), {.ranks = 2}, 1, [&](Trainer&, Checkpoints& checkpoints) {
    EXPECT_THROW(checkpoints.save(
                     {.step = 1}, [] { fail(ExitCode::mismatch, "the lease is lost"); }, nothing),
                 Error);
  });
  EXPECT_TRUE(list_directory(directory.path() / "checkpoints").empty());
}

TEST(Checkpoints, TheNewestRegularOnesAndTheBestStay) {
  const TemporaryDirectory directory;
  const std::filesystem::path folder = directory.path() / "checkpoints";
  for (const int64_t step : {2, 4, 5, 6, 8, 9})
    std::filesystem::create_directories(folder / fmt::format("step-{:06d}", step));
  with_model(directory.path(), {}, 0,
             [&](Trainer&, Checkpoints& checkpoints) { checkpoints.prune({.step = 9, .best_step = 2}, 2, 2); });
  std::vector<std::string> left;
  for (const std::filesystem::path& entry : list_directory(folder)) left.push_back(entry.filename().native());
  EXPECT_EQ(left, (std::vector<std::string>{"step-000002", "step-000008", "step-000009"}));
}

}  // namespace
}  // namespace switchyard::test
