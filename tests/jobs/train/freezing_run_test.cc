// Training runs in which a part of the model stays as it is.
#include <gtest/gtest.h>
#include <hdf5.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "io/hdf5.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "tests/support/incremental_case.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::expect_same_files;
using test::IncrementalCase;

class FreezingRunTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    case_ = new IncrementalCase;
    case_->fisher("new", 0, {}, {"--data", case_->path("learn.txt"), "--max-records", "40"});
    case_->fisher("old", 0);
    case_->fisher("empirical", 0, {}, {"--labels", "empirical"});
  }
  static void TearDownTestSuite() {
    delete case_;
    case_ = nullptr;
  }
  static std::vector<std::string> freezing(std::initializer_list<std::string> more = {}) {
    std::vector<std::string> words{"--freeze", "0.9", "--fisher-new", case_->fisher_file("new")};
    words.insert(words.end(), more);
    return words;
  }

  inline static const IncrementalCase* case_ = nullptr;
};

/// A tensor's stored 16-bit elements.
std::vector<uint16_t> elements_of(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  std::vector<uint16_t> elements(tensor.bytes / sizeof(uint16_t));
  checkpoint.read(tensor, 0, std::as_writable_bytes(std::span(elements)));
  return elements;
}

bool is_eligible(const std::string& name) {
  return name.find("norm") == name.npos && !name.ends_with(".gate.weight") && name.ends_with(".weight");
}

// A hundred steps with weight decay: of all elements exactly those with the largest scores, ties by name and place, may
// have moved.
TEST_F(FreezingRunTest, NothingButWhatIsChosenMoves) {
  case_->train("hundred", 0, {"parameters train", "vanished"},
               freezing({"--max-steps", "100", "--save-steps", "0", "--export", "base", "--weight-decay", "0.5"}));
  const Checkpoint before(case_->base()), after(case_->path("hundred/model"));
  const h5::Reader fisher(case_->fisher_file("new"));
  struct Element {
    float score;
    uint32_t tensor;
    size_t place;
  };
  std::vector<Element> all;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : before.tensors()) {  // by name
    if (!is_eligible(name)) continue;
    std::vector<float> scores(tensor.bytes / 2);
    fisher.open("fisher/" + name).read(0, std::span(scores));
    for (size_t i = 0; i < scores.size(); ++i) all.push_back({scores[i], static_cast<uint32_t>(names.size()), i});
    names.push_back(name);
  }
  std::ranges::stable_sort(all, [](const Element& a, const Element& b) { return a.score > b.score; });
  const size_t chosen = all.size() / 10;
  std::map<std::string, std::vector<bool>> may_move;
  for (const auto& [name, tensor] : before.tensors()) may_move[name].resize(tensor.bytes / 2);
  for (size_t i = 0; i < chosen; ++i) may_move[names[all[i].tensor]][all[i].place] = true;
  size_t moved = 0;
  for (const auto& [name, tensor] : before.tensors()) {
    const std::vector<uint16_t> was = elements_of(before, tensor), is = elements_of(after, *after.find(name));
    for (size_t i = 0; i < was.size(); ++i) {
      if (was[i] == is[i]) continue;
      ASSERT_TRUE(may_move[name][i]) << name << ", element " << i;
      ++moved;
    }
  }
  const Json changes = parse_json(bytes_of_file(case_->path("hundred/changes.json")), "changes");
  EXPECT_EQ(changes["trained"], chosen);
  EXPECT_EQ(changes["changed"], moved);
  EXPECT_GT(moved, chosen / 2);
  EXPECT_EQ(changes["changed"].get<size_t>() + changes["vanished"].get<size_t>() > chosen, false);
}

TEST_F(FreezingRunTest, BitsAreTheSameOnAnyRanks) {
  for (const auto& more :
       {std::initializer_list<std::string>{"--granularity", "row", "--train-also", "norms,router"},
        {"--select", "ratio", "--fisher-old", case_->fisher_file("old"), "--granularity", "element"}}) {
    const std::string name = *more.begin() == "--select" ? "ratio" : "row";
    std::vector<std::string> words = freezing(more);
    words.insert(words.end(), {"--max-steps", "4", "--save-steps", "2"});
    case_->train(name, 0, {}, words);
    for (const int ranks : {3, 4}) {
      const std::string run = name + "-" + std::to_string(ranks);
      std::vector<std::string> of_ranks = words;
      if (ranks == 4) of_ranks.insert(of_ranks.end(), {"--ep", "2"});
      case_->train(run, 0, {}, of_ranks, ranks);
      expect_same_files(case_->runs().files(run), case_->runs().files(name));
    }
  }
}

TEST_F(FreezingRunTest, GoesOnWhereItWasKilled) {
  std::vector<std::string> words = freezing({"--max-steps", "30", "--save-steps", "2"});
  case_->train("quiet", 0, {}, words);
  words.insert(words.end(), {"--model", case_->base(), "--eval-steps", "0"});
  test::Process process(case_->runs().command("killed", 2, words), test::mpi_environment());
  for (int i = 0; i < 1000 && !std::filesystem::exists(case_->path("killed/checkpoints/step-000006")); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  ::kill(-process.pid(), SIGKILL);
  process.wait();
  case_->train("killed", 0, {}, freezing({"--max-steps", "30", "--save-steps", "2"}), 3);
  expect_same_files(case_->runs().files("killed"), case_->runs().files("quiet"));
  const auto verified = test::run({SWITCHYARD_PROGRAM, "verify", case_->path("killed"), "--replay", "2"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
}

// Every way to choose, and the baselines beside: they run, say what trains, and end with other models.
TEST_F(FreezingRunTest, BaselinesAreOneOptionEach) {
  const std::string old = case_->fisher_file("old");
  const std::vector<std::pair<const char*, std::vector<std::string>>> ways = {
      {"full", {}},
      {"experts", freezing({"--granularity", "expert"})},
      {"random", {"--freeze", "0.9", "--select", "random"}},
      {"least-old", {"--freeze", "0.9", "--select", "old", "--fisher-old", old}},
      {"gate", {"--select", "esft-gate", "--fisher-new", case_->fisher_file("new")}},
      {"token", {"--select", "esft-token", "--fisher-new", case_->fisher_file("new"), "--top-p", "0.4"}},
      {"last-layer", {"--train-layers", "1"}},
      {"ewc", {"--ewc", "1e4", "--fisher-old", old}}};
  std::map<std::string, std::string> models;
  for (const auto& [name, way] : ways) {
    std::vector<std::string> words = way;
    words.insert(words.end(), {"--max-steps", "2", "--save-steps", "0", "--export", "f32"});
    case_->train(name, 0, {}, words);
    for (const auto& [other, model] : models)
      EXPECT_NE(bytes_of_file(case_->path(std::string(name) + "/model/model.safetensors")), model) << name << other;
    models[name] = bytes_of_file(case_->path(std::string(name) + "/model/model.safetensors"));
  }
  EXPECT_NE(bytes_of_file(case_->path("ewc/metrics.jsonl")).find("penalty"), std::string::npos);
}

/// Makes a number of a Fisher file NaN.
void spoil(const std::string& path, const char* dataset) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), data = H5Dopen2(file, dataset, H5P_DEFAULT);
  std::vector<float> values(H5Dget_storage_size(data) / sizeof(float));
  H5Dread(data, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  values[5] = NAN;
  H5Dwrite(data, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  H5Dclose(data);
  H5Fclose(file);
}

TEST_F(FreezingRunTest, WhatDoesNotGoTogetherIsRefusedByName) {
  const std::string of_new = case_->fisher_file("new"), old = case_->fisher_file("old");
  const std::vector<std::string> steps{"--max-steps", "1"};
  const auto refused = [&](int code, std::initializer_list<std::string> named, std::vector<std::string> words) {
    words.insert(words.end(), steps.begin(), steps.end());
    case_->train("refused", code, named, words);
    EXPECT_FALSE(std::filesystem::exists(case_->path("refused/manifest.json"))) << named.begin()->c_str();
  };
  refused(64, {"--fisher-new FILE"}, {"--freeze", "0.9"});
  refused(64, {"--freeze SHARE"}, {"--select", "random"});
  refused(64, {"--freeze 1.5", "from 0 to 1"}, {"--freeze", "1.5", "--select", "random"});
  refused(64, {"nothing would train"}, {"--freeze", "0.99999999", "--select", "random"});
  refused(64, {"--top-p is for"}, {"--freeze", "0.9", "--select", "random", "--top-p", "0.1"});
  refused(64, {"--granularity expert"}, {"--select", "esft-gate", "--fisher-new", of_new, "--granularity", "row"});
  refused(64, {"--train-also gate", "router, norms, biases"},
          {"--freeze", "0.9", "--select", "random", "--train-also", "gate"});
  refused(64, {"--train-layers 7", "layers 0 to 1"}, {"--train-layers", "7"});
  refused(64, {"--train-layers 1-", "as in 0,4-7"}, {"--train-layers", "1-"});
  refused(64, {"--fisher-old: nothing"}, freezing({"--fisher-old", old}));
  refused(64, {"--ewc", "--fisher-old FILE"}, {"--ewc", "1"});
  refused(66, {"--fisher-new", "sampled labels", "empirical ones"},
          freezing({"--select", "ratio", "--fisher-old", case_->fisher_file("empirical")}));
  refused(66, {"learn.txt", "HDF5"}, {"--freeze", "0.9", "--fisher-new", case_->path("learn.txt")});
  refused(66, {"--fisher-new", "a file of Fisher information"},
          {"--freeze", "0.9", "--fisher-new", case_->path("new/data-0.h5")});
  std::filesystem::copy_file(of_new, case_->path("spoilt.h5"));
  spoil(case_->path("spoilt.h5"), "fisher/model.layers.1.mlp.experts.3.up_proj.weight");
  refused(66, {"spoilt.h5", "experts.3.up_proj.weight, row 0, column 5", "found nan"},
          {"--freeze", "0.9", "--fisher-new", case_->path("spoilt.h5")});
  refused(66, {"spoilt.h5", "experts.3.up_proj.weight, row 0, column 5", "found nan"},
          {"--ewc", "1", "--fisher-old", case_->path("spoilt.h5")});
}

// Another model, or what another tokenizer made; with --allow-other-fisher a line says so.
TEST_F(FreezingRunTest, AnotherModelsInformationIsRefused) {
  std::vector<std::string> words = freezing({"--max-steps", "1", "--save-steps", "0"});
  words.insert(words.end(), {"--export", "base"});
  case_->train("moved", 0, {}, words);
  const std::vector<std::string> of_moved{
      "--model",      case_->path("moved/model"), "--max-steps", "1", "--eval-steps", "0", "--freeze", "0.9",
      "--fisher-new", case_->fisher_file("new")};
  case_->runs().expect("next", 66, {"--fisher-new", "another model", "--allow-other-fisher"}, of_moved);
  std::vector<std::string> allowed = of_moved;
  allowed.emplace_back("--allow-other-fisher");
  case_->runs().expect("next", 0, {"is of another model"}, allowed);
}

}  // namespace
}  // namespace switchyard
