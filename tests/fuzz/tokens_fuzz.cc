// Byte pair encoding by src/tokens and as its definition reads: the first bytes choose the vocabulary, the others the
// words.
#include "tests/fuzz/fuzz_support.h"
#include "tests/tokens/slow_bpe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  size_t used = 0;
  const auto below = [&](size_t n) {
    if (used >= size) return size_t{0};
    const size_t value = data[used] * 37 + used;
    ++used;
    return value % n;
  };
  const tests::SlowBpe slow = tests::random_bpe(below);
  const Bpe bpe(slow.model());
  static BpeScratch scratch;
  for (int i = 0; i < 8 && used < size; ++i) {
    std::string word = tests::random_word(slow, below, 80);
    if (below(4) == 0) {  // as long as a word that is merged in several lanes
      const std::string piece = word;
      while (word.size() < 1200) word += piece;
    }
    std::string padded = word + std::string(WordKey::kReadable, '\0');
    std::vector<int32_t> ids;
    bpe.encode(std::string_view(padded).substr(0, word.size()), ids, scratch);
    fuzz::require(ids == slow.encode(word), "ids are those of the definition");
  }
  return 0;
}
