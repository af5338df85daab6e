#include "tests/support/train_case.h"

namespace switchyard::test {
namespace {

constexpr const char* kConfig = R"({
  "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 16, "head_dim": 8,
  "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2, "num_experts": 128,
  "num_experts_per_tok": 2, "moe_intermediate_size": 8, "intermediate_size": 16, "vocab_size": 256,
  "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "rope_theta": 10000, "norm_topk_prob": true,
  "decoder_sparse_step": 1, "mlp_only_layers": [], "hidden_act": "silu", "tie_word_embeddings": false,
  "initializer_range": 0.05, "torch_dtype": "float32"})";

}  // namespace

TrainCase::TrainCase(const std::filesystem::path& parent) : directory_(parent) {
  const std::string text =
      bytes_of_file(std::filesystem::path(SWITCHYARD_DEMO_MODEL).parent_path() / "texts" / "kjv.txt");
  directory_.write("config.json", kConfig);
  directory_.write("learn.txt", text.substr(0, 20000));
  directory_.write("held-out.txt", text.substr(100000, 3000));
}

std::vector<std::string> TrainCase::options() const {
  return {"--init",          directory_ / "config.json",
          "--data",          directory_ / "learn.txt",
          "--eval-data",     directory_ / "held-out.txt",
          "--threads",       "1",
          "--tokenizer",     "bytes",
          "--dtype",         "f32",
          "--max-steps",     "12",
          "--seed",          "3",
          "--save-steps",    "2",
          "--eval-steps",    "4",
          "--learning-rate", "3e-3",
          "--step-records",  "8",
          "--lease-timeout", "2",
          "--term-grace",    "4"};
}

std::vector<std::string> TrainCase::command(const std::string& run, int ranks,
                                            const std::vector<std::string>& more) const {
  std::vector<std::string> argv = mpirun(ranks);
  argv.insert(argv.end(), {SWITCHYARD_PROGRAM, "train", "--run", directory_ / run});
  std::vector<std::string> words = options();
  // An option that is given again replaces the case's own; --model stands for --init.
  for (size_t i = 0; i < more.size(); ++i)
    for (size_t own = 0; own + 1 < words.size(); own += 2)
      if (words[own] == more[i] || (words[own] == "--init" && more[i] == "--model")) {
        words.erase(words.begin() + static_cast<std::ptrdiff_t>(own),
                    words.begin() + static_cast<std::ptrdiff_t>(own + 2));
        break;
      }
  argv.insert(argv.end(), words.begin(), words.end());
  argv.insert(argv.end(), more.begin(), more.end());
  return argv;
}

ProcessResult TrainCase::train(const std::string& run, int ranks, const std::vector<std::string>& more) const {
  return test::run(command(run, ranks, more), mpi_environment());
}

ProcessResult TrainCase::expect(const std::string& run, int code, std::initializer_list<std::string> named,
                                const std::vector<std::string>& more, int ranks) const {
  ProcessResult result = train(run, ranks, more);
  EXPECT_EQ(result.exit_code, code) << result.err;
  for (const std::string& part : named)
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " is not in: " << result.err;
  return result;
}

std::map<std::string, std::string> TrainCase::files(const std::string& run) const {
  std::map<std::string, std::string> files;
  const std::filesystem::path root = directory_ / run;
  files["metrics.jsonl"] = bytes_of_file(root / "metrics.jsonl");
  for (const char* folder : {"checkpoints", "model"}) {
    if (!std::filesystem::exists(root / folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / folder))
      if (entry.is_regular_file())
        files[std::filesystem::relative(entry.path(), root).native()] = bytes_of_file(entry.path());
  }
  return files;
}

void expect_same_files(const std::map<std::string, std::string>& actual,
                       const std::map<std::string, std::string>& expected) {
  for (const auto& [name, bytes] : expected) {
    const auto found = actual.find(name);
    EXPECT_TRUE(found != actual.end() && found->second == bytes) << name << " differs, or is missing";
  }
  for (const auto& [name, bytes] : actual) EXPECT_TRUE(expected.contains(name)) << name << " should not be there";
}

}  // namespace switchyard::test
