// Byte pair encoding as its definition reads, to check src/tokens/bpe.h by; and small vocabularies drawn at random.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokens/bpe.h"

namespace switchyard::tests {

struct SlowBpe {
  std::map<std::string, int32_t> vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
  std::optional<std::string> unk_token;
  bool fuse_unk = false, byte_fallback = false, ignore_merges = false, byte_level = false;

  std::vector<int32_t> encode(const std::string& word) const;
  BpeModel model() const;
};

SlowBpe slow_bpe(const BpeModel& model);
/// below(n) draws from [0, n).
SlowBpe random_bpe(const std::function<size_t(size_t)>& below);
/// A word of its characters, some unknown.
std::string random_word(const SlowBpe& bpe, const std::function<size_t(size_t)>& below, size_t most_characters);

}  // namespace switchyard::tests
