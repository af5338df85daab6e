#include "io/tokenizer.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/hash.h"

namespace switchyard {
namespace {

void encode_bytes(std::string_view text, std::vector<int32_t>& ids) {
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
}

constexpr Tokenizer kTokenizers[] = {
    {"bytes", "a byte is its own id, 0 to 255", encode_bytes},
};

}  // namespace

std::string Tokenizer::hash() const {
  return hash_of(std::as_bytes(std::span(name))).hex();
}

std::span<const Tokenizer> tokenizers() {
  return kTokenizers;
}

const Tokenizer& find_tokenizer(std::string_view name) {
  std::string known;
  for (const Tokenizer& tokenizer : kTokenizers) {
    if (tokenizer.name == name) return tokenizer;
    known += known.empty() ? "" : ", ";
    known += tokenizer.name;
  }
  fail(ExitCode::usage, "--tokenizer {}: unknown, expected one of: {}", name, known);
}

}  // namespace switchyard
