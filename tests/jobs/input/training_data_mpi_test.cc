// The first rank imports text; ranks read a part of the data each, and all know the same of it.
#include <gtest/gtest.h>

#include "comm/mpi_communicator.h"
#include "jobs/input/data_files.h"
#include "jobs/input/training_data.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

constexpr int64_t kRecords = 30'000;  // several parts for every rank
constexpr TrainingData::Limits kLimits{.max_positions = 20, .vocab_size = 50};

void write(const std::filesystem::path& path) {
  ScoringInputWriter writer(path);
  for (int64_t r = 0; r < kRecords; ++r) {
    std::vector<int32_t> tokens(static_cast<size_t>(r * 7 % 22), static_cast<int32_t>(r % 51));
    writer.add(tokens, static_cast<int32_t>(r % 5), "", "");
  }
  writer.finish();
}

TrainingData read(Communicator& world, const std::filesystem::path& path) {
  std::vector<ScoringInput> inputs;
  inputs.emplace_back(path);
  return {world, std::move(inputs), kLimits};
}

TEST(TrainingDataOfRanks, IsThatOfOne) {
  const test::TemporaryDirectory directory;  // each rank its own copy
  write(directory / "input.h5");
  const TrainingData all = read(*make_mpi_communicator(), directory / "input.h5");
  const TrainingData one = read(*make_self_communicator(), directory / "input.h5");
  const TrainingData::Dataset &a = all.datasets().front(), &b = one.datasets().front();
  EXPECT_EQ(a.hash, b.hash);
  EXPECT_EQ(a.kept.lengths(), b.kept.lengths());
  EXPECT_EQ(a.rejects, b.rejects);
  EXPECT_EQ(a.nothing_to_score, b.nothing_to_score);
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_GT(a.kept.size(), kRecords / 2);
  EXPECT_GT(a.rejects, kRecords / 10);
  EXPECT_GT(a.nothing_to_score, 100);
}

TEST(DataFilesOfRanks, AreMadeByTheFirstAndReadByAll) {
  const auto world = make_mpi_communicator();
  const test::TemporaryDirectory own;
  const std::filesystem::path shared = world->broadcast_string(own.path(), 0);  // the first rank's
  if (world->rank() == 0) own.write("a.txt", "a text of thirty-one characters");
  world->barrier();
  InputOptions options;
  options.max_tokens = 4;
  DataSources sources{.options = options, .data = {shared / "a.txt"}, .held_out = {}, .model = shared};
  const ModelConfig config = reference_config("qwen3-30b-a3b");
  EXPECT_TRUE(test::fails(ExitCode::usage, {"a.txt", "tokenizer"}, [&] { DataFiles(*world, sources, config); }));

  options.tokenizer = "bytes";
  DataFiles files(*world, sources, config);
  const std::vector<InputSize> sizes = files.measure(files.train());
  EXPECT_EQ(sizes.front().records, 8);
  EXPECT_EQ(sizes.front().tokens, 31);
  EXPECT_EQ(sizes.front().longest, 4);
  EXPECT_FALSE(sizes.front().documents.has_value());
  const RunDirectory run(shared);
  files.provide(run, {});
  const TrainingData data(*world, files.open(files.train(), run), {.max_positions = 20, .vocab_size = 257});
  EXPECT_EQ(data.sizes(), (std::vector<int64_t>{8}));
  sources.held_out = {shared / "none.h5"};
  const DataFiles others(*world, sources, config);
  EXPECT_TRUE(test::fails_input({"none.h5"}, [&] { others.open(others.eval(), run); }));
  world->barrier();  // before the first rank removes it
}

}  // namespace
}  // namespace switchyard
