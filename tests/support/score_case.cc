#include "tests/support/score_case.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "base/device.h"
#include "base/rng.h"
#include "io/input.h"

namespace switchyard::test {

void write_text_input(const std::filesystem::path& path, int num_records, int max_length) {
  std::ifstream file(std::filesystem::path(SWITCHYARD_DEMO_MODEL).parent_path() / "texts" / "kjv.txt",
                     std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  ScoringInputWriter writer(path);
  std::vector<int32_t> tokens;
  for (int r = 0; r < num_records; ++r) {
    const auto i = static_cast<uint64_t>(r);
    const size_t length = 1 + random_bits(11, i) % static_cast<uint64_t>(max_length);
    const size_t start = random_bits(12, i) % (text.size() - length);
    tokens.assign(text.begin() + static_cast<std::ptrdiff_t>(start),
                  text.begin() + static_cast<std::ptrdiff_t>(start + length));
    for (int32_t& token : tokens) token &= 0xff;
    const size_t context = r % 4 == 0 ? 1 + random_bits(13, i) % length : 1;
    writer.add(tokens, static_cast<int32_t>(context), "record-" + std::to_string(r), "");
  }
  writer.finish();
}

/// With the GPUs that this test has: emulated ones or real ones.
static std::string program() {
  return cuda_toolkit() == "emulated" ? SWITCHYARD_EMULATED_PROGRAM : SWITCHYARD_PROGRAM;
}

std::vector<std::string> ScoreCase::command() const {
  std::vector<std::string> argv = mpirun(ranks);
  for (const std::string& word :
       {program(), std::string("score"), std::string("--model"), model.string(), std::string("--input"), input.string(),
        std::string("--run"), run.string(), std::string("--threads"), std::string("1")})
    argv.push_back(word);
  argv.insert(argv.end(), options.begin(), options.end());
  return argv;
}

ProcessResult score(const ScoreCase& c) {
  return test::run(c.command(), mpi_environment());
}

std::map<std::string, std::string> datasets(const std::filesystem::path& results) {
  const h5::Reader reader(results);
  std::map<std::string, std::string> found;
  for (const std::string name :
       {"record", "logprob", "tokens", "greedy", "token_logprob/values", "token_logprob/offsets", "token_id/values",
        "token_id/offsets", "quantiles/values", "quantiles/offsets", "embedding", "id", "expert_tokens", "piece/values",
        "piece/offsets"}) {
    if (!reader.has(name)) continue;
    const h5::Dataset dataset = reader.open(name);
    std::string& bytes = found[name];
    if (dataset.kind() == h5::Kind::string) {
      for (const std::string& text : dataset.read_strings(0, dataset.rows())) bytes += text + '\n';
      continue;
    }
    int64_t elements = 1;
    for (const int64_t extent : dataset.shape()) elements *= extent;
    const auto read = [&]<class T>(std::vector<T> values) {  // both exact for all that results hold
      values.resize(static_cast<size_t>(elements));
      dataset.read(0, std::span(values));
      bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    };
    if (dataset.kind() == h5::Kind::integer) {
      read(std::vector<int64_t>());
    } else {
      read(std::vector<double>());
    }
  }
  return found;
}

std::string json_field(const std::string& line, const std::string& key) {
  const size_t at = line.find("\"" + key + "\":");
  if (at == std::string::npos) return {};
  const size_t start = at + key.size() + 3;
  return line.substr(start, line.find_first_of(",}", start) - start);
}

}  // namespace switchyard::test
