// Runs a fuzz target without a fuzzer: every corpus file, then seeded mutations of them. The same inputs on every
// machine.
//   NAME_fuzz CORPUS_DIRECTORY [MUTATIONS]
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "tests/fuzz/fuzz_support.h"

namespace {

using Bytes = std::vector<uint8_t>;

std::vector<Bytes> read_corpus(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> corpus;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

class Mutator {
 public:
  explicit Mutator(const std::vector<Bytes>& corpus) : corpus_(corpus) {}

  Bytes next() {
    Bytes bytes = corpus_[below(corpus_.size())];
    for (size_t n = 1 + below(4); n > 0; --n) mutate(bytes);
    return bytes;
  }

 private:
  /// In [0, n): modulo, because std::uniform_int_distribution differs between libraries.
  size_t below(size_t n) { return static_cast<size_t>(random_() % n); }

  void mutate(Bytes& bytes) {
    if (bytes.empty()) return bytes.push_back(static_cast<uint8_t>(random_()));
    const size_t at = below(bytes.size());
    switch (below(6)) {
      case 0:
        bytes[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:
        bytes[at] = static_cast<uint8_t>(random_());
        break;
      case 2:
        bytes.resize(at);
        break;
      case 3:
        splice(bytes, at);
        break;
      case 4:
        overwrite(bytes, at);
        break;
      default:
        bytes.erase(bytes.begin() + static_cast<ptrdiff_t>(at));
        break;
    }
  }

  /// The head of one and the tail of another.
  void splice(Bytes& bytes, size_t at) {
    const Bytes& other = corpus_[below(corpus_.size())];
    if (other.empty()) return;
    bytes.resize(at);
    bytes.insert(bytes.end(), other.begin() + static_cast<ptrdiff_t>(below(other.size())), other.end());
  }

  /// Numbers that overflow, as text and as bytes.
  void overwrite(Bytes& bytes, size_t at) {
    static constexpr std::string_view kTexts[] = {"9223372036854775808",
                                                  "18446744073709551615",
                                                  "-1",
                                                  "1e999",
                                                  "null",
                                                  "\"\"",
                                                  "[]",
                                                  "{}",
                                                  "0.5",
                                                  "\\u0000",
                                                  {"\0\0\0\0\0\0\0\x80", 8},
                                                  "\xff\xff\xff\xff\xff\xff\xff\xff"};
    const std::string_view text = kTexts[below(std::size(kTexts))];
    const size_t replaced = std::min(below(text.size() + 1), bytes.size() - at);
    const auto begin = bytes.begin() + static_cast<ptrdiff_t>(at);
    bytes.insert(bytes.erase(begin, begin + static_cast<ptrdiff_t>(replaced)), text.begin(), text.end());
  }

  const std::vector<Bytes>& corpus_;
  std::mt19937_64 random_{7};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS_DIRECTORY [MUTATIONS]\n", argv[0]);
    return 64;
  }
  const std::vector<Bytes> corpus = read_corpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s: no corpus\n", argv[1]);
    return 66;
  }
  const int mutations = argc > 2 ? std::atoi(argv[2]) : 5000;
  for (const Bytes& bytes : corpus) LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  Mutator mutator(corpus);
  for (int i = 0; i < mutations; ++i) {
    const Bytes bytes = mutator.next();
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::fprintf(stderr, "%zu corpus files, %d mutations\n", corpus.size(), mutations);
  return 0;
}
