// How fast src/tokens loads a tokenizer.json and encodes, on one thread, by hand:
//
//   bench_tokens TOKENIZER.json TEXT [RECORD_BYTES [REPEATS]]
//
// One JSON line: load_seconds; the text in records of RECORD_BYTES (2000): tokens, mb_per_second (10^6 bytes, the best
// of REPEATS, 15, rounds over all records), ns_per_byte; and ns_per_byte of one word of 100,000 letters, all equal and
// drawn (the best of 15 rounds).
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "base/error.h"
#include "base/stopwatch.h"
#include "io/file.h"
#include "tokens/hf_tokenizer.h"
#include "tokens/unicode.h"

namespace switchyard {
namespace {

/// Of at least `bytes` each, which end with a character.
std::vector<std::string_view> records_of(std::string_view text, size_t bytes) {
  std::vector<std::string_view> records;
  while (!text.empty()) {
    size_t end = std::min(bytes, text.size());
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) ++end;
    records.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return records;
}

struct Measured {
  size_t tokens = 0;
  double seconds = 0;
};

Measured measure(const HfTokenizer& tokenizer, const std::vector<std::string_view>& records, int repeats) {
  Measured best;
  std::vector<int32_t> ids;
  for (int i = 0; i < repeats; ++i) {
    Measured now;
    const double start = seconds_now();
    for (const std::string_view record : records) {
      ids.clear();
      tokenizer.encode(record, ids);
      now.tokens += ids.size();
    }
    now.seconds = seconds_now() - start;
    if (i == 0 || now.seconds < best.seconds) best = now;
  }
  return best;
}

double letters_ns_per_byte(const HfTokenizer& tokenizer, bool drawn) {
  std::mt19937 random(1);
  std::string word(100000, 'a');
  if (drawn)
    for (char& c : word) c = static_cast<char>('a' + random() % 26);
  return measure(tokenizer, {word}, 15).seconds * 1e9 / static_cast<double>(word.size());
}

int run(int argc, char** argv) {
  if (argc < 3 || argc > 5) fail(ExitCode::usage, "usage: bench_tokens TOKENIZER.json TEXT [RECORD_BYTES [REPEATS]]");
  const auto positive = [&](int i, int otherwise) { return argc > i ? std::max(std::atoi(argv[i]), 1) : otherwise; };
  const double start = seconds_now();
  const auto tokenizer = HfTokenizer::load(argv[1]);
  const double load_seconds = seconds_now() - start;
  const std::string text = read_text_file(argv[2]);
  const Measured prose = measure(*tokenizer, records_of(text, static_cast<size_t>(positive(3, 2000))), positive(4, 15));
  const auto bytes = static_cast<double>(text.size());
  fmt::print(
      R"({{"load_seconds": {:.3f}, "tokens": {}, "mb_per_second": {:.1f}, "ns_per_byte": {:.2f}, "ns_per_byte_equal_letters": {:.1f}, "ns_per_byte_drawn_letters": {:.1f}}})"
      "\n",
      load_seconds, prose.tokens, bytes / prose.seconds / 1e6, prose.seconds * 1e9 / bytes,
      letters_ns_per_byte(*tokenizer, false), letters_ns_per_byte(*tokenizer, true));
  return 0;
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  try {
    return switchyard::run(argc, argv);
  } catch (const switchyard::Error& error) {
    fmt::print(stderr, "bench_tokens: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
