#include "io/tokenizer.h"

#include <array>
#include <span>

#include "base/error.h"
#include "base/hash.h"

namespace switchyard {
namespace {

/// A byte is its own id, 0 to 255.
class Bytes : public Tokenizer {
 public:
  std::string name() const override { return "bytes"; }
  std::string hash() const override {
    const std::string text = name();
    return hash_of(std::as_bytes(std::span(text))).hex();
  }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  }
  bool streams() const override { return true; }
};

}  // namespace

const Tokenizer& find_tokenizer(std::string_view name) {
  static const Bytes bytes;
  constexpr std::array<const Tokenizer*, 1> kTokenizers = {&bytes};
  std::vector<std::string> known;
  for (const Tokenizer* tokenizer : kTokenizers) {
    if (tokenizer->name() == name) return *tokenizer;
    known.push_back(tokenizer->name());
  }
  fail(ExitCode::usage, "--tokenizer {}: unknown, expected one of: {}", name, fmt::join(known, ", "));
}

}  // namespace switchyard
