// What a run refuses, with which exit code and naming what; and what it heals.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <regex>
#include <thread>

#include "io/input.h"
#include "io/seal.h"
#include "jobs/score/results.h"
#include "kernels/cpu_isa.h"
#include "tests/support/score_case.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::bytes_of_file;
using test::datasets;
using test::expect;
using test::ProcessResult;
using test::ScoreCase;
using namespace std::chrono_literals;

class ScoreRefusals : public ::testing::Test {
 protected:
  void SetUp() override { test::write_text_input(directory_ / "input.h5", 40, 60); }

  ScoreCase at(const std::string& run, std::vector<std::string> more = {}) const {
    std::vector<std::string> options = {"--dtype", "f32", "--chunk-records", "8", "--lease-timeout", "1"};
    options.insert(options.end(), more.begin(), more.end());
    return {directory_ / "input.h5", directory_ / run, 0, options};
  }

  void expect_verified() const {
    const ProcessResult result = test::run({SWITCHYARD_PROGRAM, "verify", (directory_ / "run").string()});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }

  static ProcessResult in_shell(std::string line, const std::vector<std::string>& command,
                                const std::string& redirections = "") {
    for (const std::string& word : command) line += " '" + word + "'";
    return test::run({"bash", "-c", line + " " + redirections}, test::mpi_environment());
  }
  void expect_no_temporaries() const {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory_.path()))
      EXPECT_EQ(entry.path().native().find(".tmp-"), std::string::npos) << entry.path();
  }

  /// A copy of the bundled model whose file bytes went through `change`.
  std::filesystem::path damaged_model(const std::string& name, const std::function<void(std::string&)>& change) const {
    std::filesystem::create_directory(directory_ / name);
    std::filesystem::copy_file(std::filesystem::path(SWITCHYARD_DEMO_MODEL) / "config.json",
                               directory_ / name / "config.json");
    std::string bytes = bytes_of_file(std::filesystem::path(SWITCHYARD_DEMO_MODEL) / "model.safetensors");
    change(bytes);
    directory_.write(name + "/model.safetensors", bytes);
    return directory_ / name;
  }

  test::TemporaryDirectory directory_;
};

TEST_F(ScoreRefusals, Models) {
  ScoreCase c = at("run");
  c.model = directory_ / "nowhere";
  expect(c, 66, {"nowhere"});
  c.model = damaged_model("truncated", [](std::string& bytes) { bytes.resize(bytes.size() - 100); });
  expect(c, 66, {"model.safetensors"});
  c.model = damaged_model(
      "nan", [](std::string& bytes) { bytes[bytes.size() - 1] = '\x7f', bytes[bytes.size() - 2] = '\xff'; });
  expect(c, 66, {"tensor", "nan"});
  c.ranks = 2;
  expect(c, 66, {"tensor", "nan"});
  std::string config = bytes_of_file(std::filesystem::path(SWITCHYARD_DEMO_MODEL) / "config.json");
  config.replace(config.find("qwen3_moe"), 9, "gpt_oss12");
  std::filesystem::create_directory(directory_ / "other");
  directory_.write("other/config.json", config);
  c.model = directory_ / "other";
  expect(c, 66, {"gpt_oss12", "qwen3_moe"});
}

TEST_F(ScoreRefusals, Inputs) {
  ScoreCase c = at("run");
  c.input = directory_ / "missing.h5";
  expect(c, 66, {"missing.h5"});
  c.input = directory_.write("text.h5", "no HDF5 at all");
  expect(c, 66, {"text.h5"});
  const std::string bytes = bytes_of_file(directory_ / "input.h5");
  c.input = directory_.write("cut.h5", bytes.substr(0, bytes.size() / 2));
  expect(c, 66, {"cut.h5"});
}

TEST_F(ScoreRefusals, NoRecordsAtAllIsACompleteRun) {
  ScoringInputWriter(directory_ / "empty.h5").finish();
  ScoreCase c = at("run");
  c.input = directory_ / "empty.h5";
  expect(c, 0, {});
  EXPECT_EQ(datasets(directory_ / "run/results.h5").at("logprob"), "");
  const ExpertCounts counts = read_expert_tokens(RunDirectory(directory_ / "run"));
  EXPECT_EQ(counts, ExpertCounts::zeros(counts.layers, 128));
  EXPECT_GT(counts.layers, 0);
  const std::string report = bytes_of_file(directory_ / "run/report.html");
  EXPECT_NE(report.find("All are zero."), std::string::npos);
  EXPECT_EQ(report.find("nan"), std::string::npos);
}

TEST_F(ScoreRefusals, BadRecordsAreRejectsWithReasons) {
  ScoringInputWriter writer(directory_ / "mixed.h5");
  const std::vector<int32_t> good(20, 'a'), wide = {'a', 300, 'b'}, negative = {'a', -1}, huge(3000, 'a');
  writer.add(good, 1, "good", "");
  writer.add(good, 0, "context 0", "");
  writer.add(good, 21, "context beyond", "");
  writer.add({}, 1, "empty", "");
  writer.add(wide, 1, "wide", "");
  writer.add(negative, 1, "negative", "");
  writer.add(huge, 1, "huge", "");
  writer.add(good, 20, "nothing to score", "");
  writer.finish();
  ScoreCase c = at("run", {"--chunk-records", "3"});
  c.options = {"--dtype", "f32", "--chunk-records", "3"};
  c.input = directory_ / "mixed.h5";
  expect(c, 65, {"6 records were rejected"});
  const std::string rejects = bytes_of_file(directory_ / "run/rejects.jsonl");
  for (const char* part : {"empty record", "token 1 is 300", "token 1 is -1", "3000 tokens", "context is 0",
                           "context is 21 of 20", "context beyond"})
    EXPECT_NE(rejects.find(part), std::string::npos) << part << " is not in: " << rejects;
  EXPECT_EQ(datasets(directory_ / "run/results.h5").at("id"), "good\nnothing to score\n");
  c.options.insert(c.options.end(), {"--max-rejects", "6"});
  expect(c, 0, {});
  expect_verified();
}

TEST_F(ScoreRefusals, Options) {
  expect(at("run", {"--dtpye", "f32"}), 64, {"--dtpye"});
  expect(at("run", {"--ep", "2"}), 64, {"--ep is 2"});
  expect(at("run", {"--embed", "max"}), 64, {"--embed"});
  expect(at("run", {"--memory-gib", "0.001"}), 69, {"memory", "weights"});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
  expect(at("run", {"--dry-run"}), 0, {});
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
}

TEST_F(ScoreRefusals, OutputsThatCannotBeWritten) {
  directory_.write("file", "not a directory");
  expect(at("file/run"), 73, {"file/run"});
  std::filesystem::create_directory(directory_ / "foreign");
  directory_.write("foreign/thesis.tex", "precious");
  expect(at("foreign"), 73, {"thesis.tex"});

  // A disk that fills up: files end at some KiB. With room again the run completes.
  const ScoreCase c = at("full", {"--per-token"});
  for (const char* kib : {"0", "1", "4"}) {
    const ProcessResult result = in_shell("ulimit -f " + std::string(kib) + "; exec", c.command());
    EXPECT_EQ(result.exit_code, 73) << kib << ": " << result.err;
    expect_no_temporaries();
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "full/results.h5"));
  expect(c, 0, {});

  directory_.write("text", std::string(100000, 'x'));
  const ProcessResult import =
      in_shell("ulimit -f 8; exec", {SWITCHYARD_PROGRAM, "import", "--text", (directory_ / "text").string(), "--output",
                                     (directory_ / "imported.h5").string()});
  EXPECT_EQ(import.exit_code, 73) << import.err;
  expect_no_temporaries();
}

// What is complete stays so; only that it could not be told is an error.
TEST_F(ScoreRefusals, AStandardOutputThatCannotBeWritten) {
  expect(at("told"), 0, {});
  const auto expected = datasets(directory_ / "told/results.h5");
  const std::string ranks = "mpirun --oversubscribe -n 2 bash -c 'exec \"$@\" >/dev/full' -";
  const std::pair<std::string, std::string> ways[] = {
      {"", ">/dev/full"}, {"", ">&-"}, {"", "<&- >&- 2>&-"}, {ranks, ""}};
  for (const auto& [before, after] : ways) {
    std::filesystem::remove_all(directory_ / "untold");
    const ProcessResult result = in_shell(before, at("untold").command(), after);
    EXPECT_EQ(result.exit_code, 73) << after << ": " << result.err;
    const std::string state = bytes_of_file(directory_ / "untold/state.json");
    EXPECT_NE(state.find("\"complete\""), std::string::npos) << state;
    EXPECT_NE(state.find("\"exit_code\": 0"), std::string::npos) << state;
    EXPECT_TRUE(datasets(directory_ / "untold/results.h5") == expected) << after;
  }
  for (const char* words : {"--version", "--help", "score --help", "inspect --reference qwen3-30b-a3b"}) {
    const std::string command = std::string(SWITCHYARD_PROGRAM) + " " + words;
    EXPECT_EQ(test::run({"bash", "-c", command + " >/dev/full"}).exit_code, 73) << words;
    const ProcessResult closed =
        test::run({"bash", "-c", "(sleep 0.1; exec " + command + ") | true; exit ${PIPESTATUS[0]}"});
    EXPECT_EQ(closed.exit_code, 73) << words;
    EXPECT_NE(closed.err.find("standard output"), std::string::npos) << closed.err;
  }
  // An error that stopped the work tells more; and who has nothing to tell needs no output.
  EXPECT_EQ(in_shell("", {SWITCHYARD_PROGRAM, "inspect", "nowhere"}, ">/dev/full").exit_code, 66);
  EXPECT_EQ(in_shell("", {SWITCHYARD_PROGRAM, "verify", "nowhere"}, ">&-").exit_code, 66);
}

/// Waits until a process handles SIGTERM; false when it has ended before.
bool handles_term(pid_t pid) {
  constexpr std::string_view kCaught = "SigCgt:";
  for (std::ifstream status; status.open(fmt::format("/proc/{}/status", pid)), status; status.close())
    for (std::string line; std::getline(status, line);)
      if (line.starts_with(kCaught) &&
          (std::stoull(line.substr(kCaught.size()), nullptr, 16) >> (SIGTERM - 1) & 1) != 0)
        return true;
  return false;
}

TEST_F(ScoreRefusals, ASignalInTheFirstMomentsIsAnInterruption) {
  for (const int signal : {SIGTERM, SIGINT, SIGUSR1}) {
    test::Process process(at("run").command());
    ASSERT_TRUE(handles_term(process.pid()));
    ::kill(process.pid(), signal);
    EXPECT_EQ(process.wait().exit_code, 75) << signal;
    EXPECT_FALSE(std::filesystem::exists(directory_ / "run")) << "the signal came too late to prove anything";
  }
  ScoreCase c = at("run");
  c.ranks = 2;
  test::Process process(c.command(), test::mpi_environment());
  std::vector<pid_t> ranks;
  while (process.running() && ranks.size() < 2) ranks = test::descendants(process.pid(), "switchyard");
  ASSERT_TRUE(ranks.size() == 2 && handles_term(ranks[1]));
  ::kill(ranks[1], SIGTERM);
  EXPECT_EQ(process.wait(20s).exit_code, 75);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
}

TEST_F(ScoreRefusals, MemoryIsWhatSlurmAllotted) {
  const auto planned = [&](const std::string& mib) {
    return test::run(at("run", {"--dry-run"}).command(), {{"SLURM_MEM_PER_NODE", mib}});
  };
  const ProcessResult refused = planned("1");
  EXPECT_EQ(refused.exit_code, 69) << refused.err;
  EXPECT_NE(refused.err.find("allotted by Slurm: SLURM_MEM_PER_NODE"), std::string::npos) << refused.err;
  const ProcessResult result = planned("100");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::smatch m;
  ASSERT_TRUE(std::regex_search(result.out, m, std::regex("memory per rank: [^ ]+ MiB of ([0-9.]+) MiB")));
  EXPECT_LT(std::stod(m[1]), 95 - 5) << "what the program itself takes counts";
  EXPECT_GT(std::stod(m[1]), 95 - 70);
  EXPECT_NE(result.out.find("bound: allotted by Slurm: SLURM_MEM_PER_NODE"), std::string::npos) << result.out;
}

TEST_F(ScoreRefusals, RanksOfAnotherMpisLauncher) {
  const std::map<std::string, std::string> launchers[] = {{{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}},
                                                          {{"MPI_LOCALNRANKS", "2"}, {"MPI_LOCALRANKID", "0"}},
                                                          {{"PALS_RANKID", "1"}}};
  for (const auto& launcher : launchers) {
    const ProcessResult result = test::run(at("run").command(), launcher);
    EXPECT_EQ(result.exit_code, 69) << result.err;
    EXPECT_NE(result.err.find("MPI finds 1"), std::string::npos) << result.err;
    EXPECT_EQ(test::run({SWITCHYARD_PROGRAM, "inspect", "--reference", "qwen3-30b-a3b"}, launcher).exit_code, 69);
    EXPECT_EQ(test::run({SWITCHYARD_PROGRAM, "doctor"}, launcher).exit_code, 69);
  }
  EXPECT_FALSE(std::filesystem::exists(directory_ / "run"));
  // A shell that mpiexec started once.
  const ProcessResult result = test::run(at("run").command(), {{"PMI_SIZE", "1"}, {"MPI_LOCALNRANKS", "1"}});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

// Their bits would be neither rank's alone.
TEST_F(ScoreRefusals, RanksThatComputeDifferently) {
  if (detected_cpu_isa() == "avx2") GTEST_SKIP() << "this CPU has one instruction set for products";
  std::vector<std::string> words = {"mpirun", "--oversubscribe"};
  for (const char* isa : {"avx2", "auto"}) {
    if (words.size() > 2) words.emplace_back(":");
    words.insert(words.end(), {"-n", "1"});
    const auto command = at("run", {"--ep", "2", "--cpu-isa", isa}).command();
    words.insert(words.end(), command.begin(), command.end());
  }
  const ProcessResult result = test::run(words, test::mpi_environment());
  EXPECT_EQ(result.exit_code, 69) << result.err;
  EXPECT_NE(result.err.find("rank 1 computes as r"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("rank 0 as r"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("computes as"), result.err.rfind("computes as")) << result.err;  // said once
}

TEST_F(ScoreRefusals, OtherWorkInTheSameDirectory) {
  expect(at("run"), 0, {});
  const auto before = datasets(directory_ / "run/results.h5");
  expect(at("run", {"--per-token"}), 78, {"per_token"});
  expect(at("run", {"--embed", "last"}), 78, {"embed"});
  ScoreCase other = at("run");
  other.options = {"--dtype", "bf16", "--chunk-records", "8"};
  expect(other, 78, {"numerics"});
  other.options = {"--dtype", "f32", "--chunk-records", "9"};
  expect(other, 78, {"chunk_records"});
  ScoreCase model = at("run");
  model.model = damaged_model("changed", [](std::string& bytes) { bytes[bytes.size() - 2] ^= 1; });
  expect(model, 78, {"model"});
  test::write_text_input(directory_ / "other.h5", 41, 60);
  ScoreCase input = at("run");
  input.input = directory_ / "other.h5";
  expect(input, 78, {"input"});
  expect(at("run"), 0, {});  // and the run itself is as it was
  EXPECT_TRUE(datasets(directory_ / "run/results.h5") == before);
}

TEST_F(ScoreRefusals, BadShardsAreHealed) {
  expect(at("run"), 0, {});
  const auto before = datasets(directory_ / "run/results.h5");
  const auto shard = [&](int i) { return directory_ / ("run/shards/chunk-00000" + std::to_string(i) + ".h5"); };
  std::string bytes = bytes_of_file(shard(1));
  bytes[bytes.size() - 20] = static_cast<char>(bytes[bytes.size() - 20] ^ 0x10);
  std::ofstream(shard(1), std::ios::binary) << bytes;
  std::filesystem::resize_file(shard(3), 100);
  std::filesystem::remove(directory_ / "run/results.h5");
  expect(at("run"), 0, {"setting a bad shard aside"});
  EXPECT_TRUE(datasets(directory_ / "run/results.h5") == before);
  EXPECT_TRUE(std::filesystem::exists(shard(3).string() + ".corrupt"));
}

TEST_F(ScoreRefusals, DroppedShardsStayDropped) {
  expect(at("run", {"--drop-shards"}), 0, {});
  const auto before = datasets(directory_ / "run/results.h5");
  expect(at("run"), 0, {});
  EXPECT_TRUE(datasets(directory_ / "run/results.h5") == before);
}

TEST_F(ScoreRefusals, AnAbandonedLeaseIsTakenOverALiveOneIsNot) {
  expect(at("run"), 0, {});
  directory_.write(
      "run/lease.json",
      R"({"job":"17","restart":0,"host":"gone","boot_id":"b","pid":1,"pid_start":1,"nonce":"00","renewal":3})");
  expect(at("run"), 0, {"host gone", "taking over"});

  std::thread renewing([&] {
    for (int i = 0; i < 40; ++i) {
      directory_.write(
          "lease.next",
          R"({"job":"17","restart":0,"host":"alive","boot_id":"b","pid":1,"pid_start":1,"nonce":"00","renewal":)" +
              std::to_string(i) + "}");
      std::filesystem::rename(directory_ / "lease.next", directory_ / "run/lease.json");
      std::this_thread::sleep_for(50ms);
    }
  });
  expect(at("run"), 78, {"in use", "job 17", "host alive"});
  renewing.join();
}

TEST_F(ScoreRefusals, AnInputEditedInPlaceIsNoticed) {
  expect(at("run"), 0, {});
  std::filesystem::remove(directory_ / "run/results.h5");
  std::filesystem::remove(directory_ / "run/state.json");
  // One token of the first record, bytes apart: find it by its neighbours.
  const ScoringInput input(directory_ / "input.h5");
  std::vector<int64_t> tokens;
  input.tokens(input.records(0, 1).front(), tokens);
  std::string pattern;
  for (const int64_t token : tokens) pattern += {static_cast<char>(token), 0, 0, 0};
  std::string bytes = bytes_of_file(directory_ / "input.h5");
  const size_t at_byte = bytes.find(pattern);
  ASSERT_NE(at_byte, std::string::npos);
  bytes[at_byte] = static_cast<char>(bytes[at_byte] ^ 1);
  directory_.write("input.h5", bytes);
  expect(at("run"), 78, {"input.h5", "belongs to another one"});
}

TEST_F(ScoreRefusals, RecordsWhoseOutputOverflows) {
  ScoreCase c = at("run", {"--per-token"});
  c.model = damaged_model("overflow", [](std::string& bytes) {
    uint64_t header = 0;  // and behind it lm_head.weight, which becomes as large as bf16 is
    std::memcpy(&header, bytes.data(), sizeof header);
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(sizeof header + header), 257 * 64 * 2, '\x7f');
  });
  expect(c, 65, {"the model's output is not finite"});
  EXPECT_EQ(h5::Reader(directory_ / "run/results.h5").open("token_logprob/values").rows(), 0);
  expect_verified();  // these went through the model's experts all the same
}

TEST_F(ScoreRefusals, VerifyProvesAndFindsFault) {
  expect(at("run", {"--per-token", "--embed", "mean"}), 0, {});
  const std::vector<std::string> verify = {SWITCHYARD_PROGRAM, "verify", (directory_ / "run").string(), "--rescore",
                                           "15"};
  const ProcessResult good = test::run(verify);
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_EQ(test::json_field(good.out, "rescored"), "15");
  std::vector<std::string> on_ranks = test::mpirun(2);
  on_ranks.insert(on_ranks.end(), verify.begin(), verify.end());
  EXPECT_EQ(test::run(on_ranks, test::mpi_environment()).out, good.out) << "said once, not by each rank";

  // One bit of one sum.
  std::vector<double> sums(1);
  h5::Reader(directory_ / "run/results.h5").open("logprob").read(5, std::span(sums));
  const std::string pattern(reinterpret_cast<const char*>(sums.data()), 8);
  std::string bytes = bytes_of_file(directory_ / "run/results.h5");
  ASSERT_NE(bytes.find(pattern), std::string::npos);
  bytes[bytes.find(pattern)] ^= 1;
  directory_.write("run/results.h5", bytes);
  const ProcessResult bad = test::run(verify);
  EXPECT_EQ(bad.exit_code, 66);
  EXPECT_NE(bad.err.find("logprob"), std::string::npos) << bad.err;

  // Under a good seal, and without shards to compare with: what is scored again differs.
  for (const auto& shard : std::filesystem::directory_iterator(directory_ / "run/shards"))
    std::filesystem::remove(shard.path());
  directory_.write("run/results.h5", bytes.substr(0, bytes.size() - kSealBytes));
  seal_file(directory_ / "run/results.h5");
  const ProcessResult rescored = test::run(verify);
  EXPECT_EQ(rescored.exit_code, 66);
  EXPECT_NE(rescored.err.find(": logprob was "), std::string::npos) << rescored.err;
}

}  // namespace
}  // namespace switchyard
