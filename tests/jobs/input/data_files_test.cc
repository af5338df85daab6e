#include "jobs/input/data_files.h"

#include <gtest/gtest.h>

#include "jobs/input/training_data.h"
#include "jobs/train/options.h"
#include "tests/support/expect_error.h"
#include "tests/support/fixture_models.h"
#include "tests/support/lm_eval_golden.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

class DataFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    run_.create_root();
    options_.model = test::model_path(test::kBundledModel);
    options_.tokenizer = "bytes";
    options_.max_tokens = 16;
    directory_.write("a.txt", "In the beginning God created the heaven and the earth.");  // 54 bytes
    directory_.write("b.jsonl",
                     "{\"context\": \"What is \", \"continuation\": \"truth?\"}\nbroken\n{\"text\": \"x\"}\n");
    ScoringInputWriter writer(directory_ / "c.h5");
    writer.add(std::vector<int32_t>{10, 20, 30}, 2, "", "");
    writer.finish();
  }
  std::string file(std::string_view name) const { return directory_ / name; }
  DataFiles files() const { return {*world_, options_.sources(), read_model_config(options_.model)}; }
  TrainingData read(const DataFiles& files, const std::vector<DataFile>& which) const {
    return {*world_, files.open(which, run_), {.max_positions = 2048, .max_tokens = 16, .vocab_size = 257}};
  }

  const std::unique_ptr<Communicator> world_ = make_self_communicator();
  test::TemporaryDirectory directory_;
  const RunDirectory run_{directory_ / "run"};
  TrainOptions options_;
};

TEST_F(DataFilesTest, EachIsADatasetWhateverItIs) {
  options_.data = {file("a.txt"), file("c.h5"), file("b.jsonl")};
  options_.eval_data = {file("b.jsonl")};
  DataFiles files = this->files();
  files.provide(run_, {});
  for (const char* name : {"data-0.h5", "data-2.h5", "data-2.h5.rejects.jsonl", "eval-data-0.h5"})
    EXPECT_TRUE(std::filesystem::exists(run_.root() / name)) << name;
  EXPECT_FALSE(std::filesystem::exists(run_.root() / "data-1.h5"));
  EXPECT_EQ(files.import_rejects(run_), 2);

  const TrainingData data = read(files, files.train());
  EXPECT_EQ(data.sizes(), (std::vector<int64_t>{4, 1, 1}));
  const std::string text = "In the beginning God";
  const TrainingRecord record = data.read({0, 0});
  EXPECT_EQ(record.tokens, std::vector<int32_t>(text.begin(), text.begin() + 16));
  EXPECT_EQ(record.context, 1);
  EXPECT_EQ(data.read({1, 0}).context, 2);
  EXPECT_EQ(data.read({2, 0}).tokens.size(), 14u);
  EXPECT_EQ(data.read({2, 0}).context, 7) << "the blank goes to the continuation";
  EXPECT_EQ(data.datasets()[2].nothing_to_score, 1);
  EXPECT_EQ(read(files, files.eval()).sizes(), (std::vector<int64_t>{1}));
}

TEST_F(DataFilesTest, AreMeasuredWithoutTouchingAnything) {
  options_.data = {file("a.txt"), file("c.h5")};
  const DataFiles files = this->files();
  const std::vector<InputSize> sizes = files.measure(files.train());
  ASSERT_EQ(sizes.size(), 2u);
  EXPECT_EQ(sizes[0].records, 4);
  EXPECT_EQ(sizes[0].tokens, 54);
  EXPECT_EQ(sizes[0].longest, 16);
  EXPECT_EQ(sizes[1].records, 1);
  EXPECT_EQ(sizes[1].longest, 3);
  EXPECT_TRUE(std::filesystem::is_empty(run_.root()));
}

TEST_F(DataFilesTest, AreThereWhenTheRunGoesOnOrAreOthers) {
  options_.data = {file("a.txt")};
  files().provide(run_, {});
  const std::string made = test::bytes_of_file(run_.root() / "data-0.h5");
  DataFiles again = files();
  again.provide(run_, {});
  again.withdraw(run_);  // it has made nothing
  EXPECT_EQ(test::bytes_of_file(run_.root() / "data-0.h5"), made);

  options_.max_tokens = 17;
  EXPECT_TRUE(test::fails(ExitCode::mismatch, {"data-0.h5", "--max-tokens"}, [&] { files().provide(run_, {}); }));
  options_.max_tokens = 16;
  directory_.write("a.txt", "In the beginning God created the heaven and the Earth.");
  EXPECT_TRUE(test::fails(ExitCode::mismatch, {"data-0.h5", "a.txt"}, [&] { files().provide(run_, {}); }));
}

TEST_F(DataFilesTest, WhatWasMadeForNothingGoes) {
  options_.data = {file("a.txt"), file("b.jsonl")};
  DataFiles files = this->files();
  files.provide(run_, {});
  EXPECT_FALSE(std::filesystem::is_empty(run_.root()));
  files.withdraw(run_);
  EXPECT_TRUE(std::filesystem::is_empty(run_.root()));
}

TEST_F(DataFilesTest, TextWithoutATokenizerIsRefused) {
  options_.data = {file("c.h5"), file("a.txt")};
  options_.tokenizer = "";
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--data", "a.txt", "tokenizer.json"}, [&] { files(); }));
  options_.data = {file("c.h5")};
  EXPECT_EQ(files().train().size(), 1u);
}

TEST_F(DataFilesTest, AnotherTokenizerOrVocabularyIsRefused) {
  // Tokens that say they are bytes, of a model that has a tokenizer of its own.
  options_.data = {file("a.txt")};
  DataFiles made = files();
  made.provide(run_, {});
  std::filesystem::copy_file(run_.root() / "data-0.h5", file("bytes.h5"));
  options_.data = {file("bytes.h5")};
  options_.model = test::kLmEvalModel;
  const auto open = [&] {
    const DataFiles files = this->files();
    return files.open(files.train(), run_).size();
  };
  EXPECT_TRUE(test::fails_input({"bytes.h5", "bytes", "tokenizer.json", "--allow-other-tokenizer"}, open));
  options_.allow_other_tokenizer = true;
  EXPECT_EQ(open(), 1u);

  options_.allow_other_tokenizer = false;
  options_.data = {file("a.txt")};
  EXPECT_TRUE(test::fails_input({"tokenizer bytes", "tokenizer.json"}, [&] { files(); }));
  options_.model = test::model_path(test::kBundledModel);
  options_.tokenizer = test::kLmEvalModel;  // 364 ids, the model has 257
  EXPECT_TRUE(test::fails_input({"364 ids", "257 embeddings"}, [&] { files(); }));
}

TEST_F(DataFilesTest, WhatIsNoDataIsNamed) {
  directory_.write("empty.txt", "");
  options_.data = {file("empty.txt")};
  DataFiles empty = files();
  empty.provide(run_, {});
  EXPECT_TRUE(test::fails_input({"data-0.h5", "found none"}, [&] { read(empty, empty.train()); }));
  const auto open = [&](const std::string& name) {
    options_.data = {file(name)};
    const DataFiles files = this->files();
    files.open(files.train(), run_);
  };
  EXPECT_TRUE(test::fails_input({"none.h5"}, [&] { open("none.h5"); }));
  directory_.write("text", "some text\n");
  EXPECT_TRUE(test::fails_input({"text", "HDF5", "--input-format"}, [&] { open("text"); }));
}

}  // namespace
}  // namespace switchyard
