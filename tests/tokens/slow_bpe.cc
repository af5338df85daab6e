#include "tests/tokens/slow_bpe.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokens/unicode.h"

namespace switchyard::tests {
namespace {

const std::string kAlphabet[] = {"a", "b", "c", "\u2581", "\u00e9", "\u4e2d", " ", "\n"};

std::vector<std::string> characters_of(const SlowBpe& bpe, const std::string& word) {
  std::vector<std::string> out;
  for (size_t at = 0; at < word.size(); at += out.back().size()) {
    if (bpe.byte_level) {
      out.push_back(word.substr(at, 1));
      continue;
    }
    out.push_back(word.substr(at, unicode::decode(word.data() + at).bytes));
  }
  return out;
}

}  // namespace

std::vector<int32_t> SlowBpe::encode(const std::string& word) const {
  const std::vector<std::string> characters = characters_of(*this, word);
  const auto spelling = [&](const std::string& c) {
    return byte_level ? byte_to_character(static_cast<unsigned char>(c[0])) : c;
  };
  std::string whole;
  for (const std::string& c : characters) whole += spelling(c);
  if (ignore_merges && vocabulary.contains(whole)) return {vocabulary.at(whole)};

  std::vector<std::string> tokens;
  int held_back = 0;  // unknown characters
  const auto release = [&] {
    for (; held_back > 0; held_back = fuse_unk ? 0 : held_back - 1) tokens.push_back(*unk_token);
    held_back = 0;
  };
  for (const std::string& c : characters) {
    const std::string token = spelling(c);
    std::vector<std::string> bytes;
    for (const char byte : token) bytes.push_back(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)));
    bool all_bytes = byte_fallback;
    for (const std::string& byte : bytes) all_bytes = all_bytes && vocabulary.contains(byte);
    if (vocabulary.contains(token)) {
      release();
      tokens.push_back(token);
    } else if (all_bytes) {
      tokens.insert(tokens.end(), bytes.begin(), bytes.end());
    } else if (unk_token) {
      // All but the last of a run that is not fused come out at once, as those of the library do.
      if (held_back > 0 && !fuse_unk) release();
      ++held_back;
    }
  }
  release();

  constexpr size_t kNever = ~size_t{0};
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  for (size_t rank = 0; rank < merges.size(); ++rank) ranks[merges[rank]] = rank;  // the last of equal merges has it
  std::vector<size_t> with_next(tokens.size(), kNever);
  const auto look = [&](size_t i) {
    const auto found = i + 1 < tokens.size() ? ranks.find({tokens[i], tokens[i + 1]}) : ranks.end();
    with_next[i] = found == ranks.end() ? kNever : found->second;
  };
  for (size_t i = 0; i < tokens.size(); ++i) look(i);
  while (!tokens.empty()) {
    const auto least = std::min_element(with_next.begin(), with_next.end());  // the leftmost
    if (*least == kNever) break;
    const auto i = static_cast<size_t>(least - with_next.begin());
    tokens[i] += tokens[i + 1];
    tokens.erase(tokens.begin() + static_cast<ptrdiff_t>(i) + 1);
    with_next.erase(least + 1);
    look(i);
    if (i > 0) look(i - 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& token : tokens) ids.push_back(vocabulary.at(token));
  return ids;
}

BpeModel SlowBpe::model() const {
  BpeModel model;
  for (const auto& [token, id] : vocabulary) model.tokens.add(token, id);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    model.merges.add(vocabulary.at(left), vocabulary.at(right),
                     {static_cast<uint32_t>(rank), vocabulary.at(left + right)});
  }
  model.unk_token = unk_token;
  model.fuse_unk = fuse_unk;
  model.byte_fallback = byte_fallback;
  model.ignore_merges = ignore_merges;
  model.byte_level = byte_level;
  return model;
}

SlowBpe slow_bpe(const BpeModel& model) {
  SlowBpe bpe;
  const TokenTable& tokens = model.tokens;
  for (int32_t id = 0; id < tokens.end_id(); ++id)
    if (tokens.has(id)) bpe.vocabulary.emplace(tokens.text(id), id);
  std::map<uint32_t, std::pair<std::string, std::string>> merges;
  model.merges.for_each([&](int32_t left, int32_t right, const Merge& merge) {
    merges.emplace(merge.rank, std::pair(tokens.text(left), tokens.text(right)));
  });
  for (const auto& [rank, merge] : merges) bpe.merges.push_back(merge);
  bpe.unk_token = model.unk_token;
  bpe.fuse_unk = model.fuse_unk;
  bpe.byte_fallback = model.byte_fallback;
  bpe.ignore_merges = model.ignore_merges;
  bpe.byte_level = model.byte_level;
  return bpe;
}

SlowBpe random_bpe(const std::function<size_t(size_t)>& below) {
  SlowBpe bpe;
  bpe.byte_level = below(2) == 0;
  bpe.byte_fallback = below(2) == 0;
  bpe.fuse_unk = below(2) == 0;
  bpe.ignore_merges = below(3) == 0;
  std::vector<std::string> pool;
  const auto add = [&](const std::string& token) {
    bpe.vocabulary.emplace(token, static_cast<int32_t>(bpe.vocabulary.size()));
  };
  if (below(2) == 0) {
    add("<unk>");
    bpe.unk_token = "<unk>";
  }
  if (bpe.byte_fallback)
    for (int byte = 0; byte < 256; ++byte)
      if (below(20) != 0) add(fmt::format("<0x{:02X}>", byte));
  for (const std::string& character : kAlphabet)
    for (size_t i = 0; i < (bpe.byte_level ? character.size() : 1); ++i) {
      const std::string token =
          bpe.byte_level ? byte_to_character(static_cast<unsigned char>(character[i])) : character;
      if (below(6) == 0) continue;
      add(token);
      pool.push_back(token);
    }
  if (bpe.byte_fallback && below(4) == 0 && bpe.vocabulary.contains("<0x0A>")) pool.push_back("<0x0A>");
  if (pool.empty()) return bpe;
  for (size_t n = below(60); n > 0; --n) {
    const std::string left = pool[below(pool.size())], right = pool[below(pool.size())];
    if (left.size() + right.size() > 24) continue;
    add(left + right);
    pool.push_back(left + right);
    bpe.merges.emplace_back(left, right);
    if (below(4) == 0) std::swap(bpe.merges.back(), bpe.merges[below(bpe.merges.size())]);
  }
  if (below(3) == 0) add(pool[below(pool.size())] + pool[below(pool.size())]);  // a token that no merge makes
  return bpe;
}

std::string random_word(const SlowBpe& bpe, const std::function<size_t(size_t)>& below, size_t most_characters) {
  std::string word;
  for (size_t n = below(most_characters) + 1; n > 0; --n) {
    const size_t choice = below(std::size(kAlphabet) + 6);
    word += choice < std::size(kAlphabet) ? kAlphabet[choice] : kAlphabet[choice % 4];
  }
  if (!bpe.byte_level && below(8) == 0) word += "\u2603";
  return word;
}

}  // namespace switchyard::tests
