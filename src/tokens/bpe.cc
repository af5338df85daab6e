#include "tokens/bpe.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "io/json.h"
#include "tokens/unicode.h"

namespace switchyard {
namespace {

constexpr size_t kMostWordBytes = std::numeric_limits<int32_t>::max();
constexpr std::string_view kSpaceMark = "\u2581";  // SentencePiece's sign for a space

std::atomic<uint64_t> last_serial{0};

struct ByteCharacters {
  std::array<uint32_t, 256> of_byte;
  std::array<int16_t, 512> byte_of;  ///< by code point; -1: none
  ByteCharacters() {
    byte_of.fill(-1);
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const bool itself = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      of_byte[byte] = itself ? byte : next++;
      byte_of[of_byte[byte]] = static_cast<int16_t>(byte);
    }
  }
  static const ByteCharacters& get() {
    static const ByteCharacters characters;
    return characters;
  }
};

/// Up to the first space's sign that follows something else.
size_t end_of_part(std::string_view word) {
  for (size_t at = word.find(kSpaceMark, 1); at != word.npos; at = word.find(kSpaceMark, at + kSpaceMark.size()))
    if (!word.substr(0, at).ends_with(kSpaceMark)) return at;
  return word.size();
}

}  // namespace

std::string byte_to_character(unsigned char byte) {
  return unicode::to_utf8(ByteCharacters::get().of_byte[byte]);
}

std::optional<std::string> characters_to_bytes(std::string_view text) {
  const ByteCharacters& characters = ByteCharacters::get();
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    const unicode::Decoded c = unicode::decode(text.data() + at);
    if (c.code_point >= characters.byte_of.size() || characters.byte_of[c.code_point] < 0) return std::nullopt;
    bytes += static_cast<char>(characters.byte_of[c.code_point]);
    at += c.bytes;
  }
  return bytes;
}

BpeScratch::BpeScratch() : cache_(kCachedWords) {}

Bpe::Bpe(BpeModel model) : model_(std::move(model)), serial_(++last_serial) {
  byte_tokens_.fill(TokenTable::kNone);
  for (uint32_t byte = 0; byte < 256; ++byte) {
    fallback_[byte] = model_.tokens.find(fmt::format("<0x{:02X}>", byte));
    if (model_.byte_level)
      byte_tokens_[byte] = model_.tokens.find(byte_to_character(static_cast<unsigned char>(byte)));
    else if (byte < 0x80)
      byte_tokens_[byte] = model_.tokens.find(std::string(1, static_cast<char>(byte)));
  }
  bytes_are_tokens_ = model_.byte_level && std::ranges::find(byte_tokens_, TokenTable::kNone) == byte_tokens_.end();
  if (model_.unk_token) unk_id_ = model_.tokens.find(*model_.unk_token);
  index_words();
  cut_before_spaces_ = !model_.byte_level && spaces_begin_words();
}

void Bpe::index_words() {
  const TokenTable& tokens = model_.tokens;
  short_words_ = std::make_unique<WordTable>(tokens.size());
  // Otherwise long words are not asked for, or found among the tokens themselves.
  const bool long_ones = model_.byte_level && model_.ignore_merges;
  const size_t most = long_ones ? tokens.longest() : 2 * WordKey::kMostBytes;  // a byte's character has at most two
  for (int32_t id = 0; id < tokens.end_id(); ++id) {
    if (!tokens.has(id) || tokens.text(id).size() > most) continue;
    std::optional<std::string> word(tokens.text(id));
    if (model_.byte_level) word = characters_to_bytes(*word);
    if (!word || word->empty()) continue;
    const size_t size = word->size();
    if (size > WordKey::kMostBytes) {
      if (long_ones) long_words_.add(*word, id);
      continue;
    }
    word->append(WordKey::kReadable, '\0');
    short_words_->add(WordKey::of(std::string_view(*word).substr(0, size)), id);
  }
}

/// Whether no merge makes a token in which a space's sign follows something else. Then a word may be cut there: nothing
/// is ever merged across. (It matters where there is no pre-tokenizer, and a whole text is one word.) The sign must be
/// a token, or it would not end a run of unknown characters; and these must not vanish, or signs become neighbours.
bool Bpe::spaces_begin_words() const {
  if (model_.tokens.find(kSpaceMark) == TokenTable::kNone) return false;
  const bool all_bytes = model_.byte_fallback && std::ranges::find(fallback_, TokenTable::kNone) == fallback_.end();
  if (!all_bytes && (!model_.unk_token || model_.unk_token->ends_with(kSpaceMark))) return false;
  bool begins = true;
  model_.merges.for_each([&](int32_t, int32_t, const Merge& merge) {
    const std::string_view text = model_.tokens.text(merge.token);
    for (size_t at = text.find(kSpaceMark, 1); at != text.npos; at = text.find(kSpaceMark, at + 1))
      begins = begins && text.substr(0, at).ends_with(kSpaceMark);
  });
  return begins;
}

void Bpe::encode(std::string_view word, std::vector<int32_t>& ids, BpeScratch& scratch) const {
  if (scratch.owner_ != serial_) {
    scratch.cache_.assign(BpeScratch::kCachedWords, {});
    scratch.owner_ = serial_;
  }
  if (!cut_before_spaces_) return encode_part(word, ids, scratch);
  if (model_.ignore_merges) {
    const int32_t id = word.size() > model_.tokens.longest() ? TokenTable::kNone : model_.tokens.find(word);
    if (id != TokenTable::kNone) return ids.push_back(id);
  }
  while (!word.empty()) {
    const size_t end = end_of_part(word);
    encode_part(word.substr(0, end), ids, scratch);
    word.remove_prefix(end);
  }
}

/// A word, or what lies between places that nothing is merged across.
void Bpe::encode_part(std::string_view word, std::vector<int32_t>& ids, BpeScratch& scratch) const {
  const bool any_token_is_whole = model_.ignore_merges && !cut_before_spaces_;
  if (word.size() <= WordKey::kMostBytes) {
    WordTable::Slot& slot = short_words_->find(WordKey::of(word));
    if (slot.id >= 0 && (any_token_is_whole || is_whole(slot, word, scratch))) return ids.push_back(slot.id);
  } else if (any_token_is_whole) {
    const TokenTable& words = model_.byte_level ? long_words_ : model_.tokens;
    const int32_t id = word.size() <= words.longest() ? words.find(word) : TokenTable::kNone;
    if (id != TokenTable::kNone) return ids.push_back(id);
  }
  const std::vector<int32_t>& tokens =
      word.size() <= BpeScratch::kMostCachedBytes ? remembered(word, scratch) : merged(word, scratch);
  ids.insert(ids.end(), tokens.begin(), tokens.end());
}

/// Whether a word that is a token also becomes this token by merges.
bool Bpe::is_whole(WordTable::Slot& slot, std::string_view word, BpeScratch& scratch) const {
  WordTable::Whole whole = slot.whole.load(std::memory_order_relaxed);
  if (whole == WordTable::Whole::unknown) {
    const std::vector<int32_t>& tokens = merged(word, scratch);
    whole = tokens.size() == 1 && tokens[0] == slot.id ? WordTable::Whole::yes : WordTable::Whole::no;
    slot.whole.store(whole, std::memory_order_relaxed);
  }
  return whole == WordTable::Whole::yes;
}

const std::vector<int32_t>& Bpe::remembered(std::string_view word, BpeScratch& scratch) const {
  const uint64_t hash = XXH3_64bits(word.data(), word.size());
  BpeScratch::Cached& cached = scratch.cache_[hash & (BpeScratch::kCachedWords - 1)];
  if (cached.word != word) {
    cached.word.clear();  // nobody's, if merging fails
    cached.ids = merged(word, scratch);
    cached.word = word;
  }
  return cached.ids;
}

const std::vector<int32_t>& Bpe::merged(std::string_view word, BpeScratch& scratch) const {
  if (word.size() > kMostWordBytes)
    fail(ExitCode::input, "a word of {} bytes: at most {} are supported", word.size(), kMostWordBytes);
  first_tokens(word, scratch.tokens_);
  merge_all(model_.merges, scratch.tokens_, scratch.merging_);
  return scratch.tokens_;
}

int32_t Bpe::token_of_character(std::string_view character) const {
  if (character.size() == 1) return byte_tokens_[static_cast<unsigned char>(character[0])];
  return model_.tokens.find(character);
}

/// What merging begins with: each character's token; of an unknown one its bytes' if all have one, otherwise the
/// unknown token, or nothing where the model has none. The unknown token is held back until a known character follows,
/// or the end, to be fused with further ones: so bytes' tokens come out before it (as Hugging Face's do).
void Bpe::first_tokens(std::string_view word, std::vector<int32_t>& tokens) const {
  if (bytes_are_tokens_) {
    const auto token_of = [&](char c) { return byte_tokens_[static_cast<unsigned char>(c)]; };
    tokens.resize(word.size());
    std::ranges::transform(word, tokens.begin(), token_of);
    return;
  }
  tokens.clear();
  bool unknown = false;
  for (size_t at = 0, bytes = 1; at < word.size(); at += bytes) {
    bytes = model_.byte_level ? 1 : unicode::decode(word.data() + at).bytes;
    const std::string_view character = word.substr(at, bytes);
    const int32_t token = token_of_character(character);
    if (token != TokenTable::kNone) {
      if (std::exchange(unknown, false)) tokens.push_back(unk_id_);
      tokens.push_back(token);
      continue;
    }
    const std::string spelling =
        model_.byte_level ? byte_to_character(static_cast<unsigned char>(word[at])) : std::string(character);
    if (append_bytes(spelling, tokens)) continue;
    if (!model_.unk_token) continue;
    if (unk_id_ == TokenTable::kNone)
      fail(ExitCode::input, "the unknown token {} is not in the vocabulary, and {} needs it",
           brief(Json(*model_.unk_token)), brief(Json(spelling)));
    if (unknown && !model_.fuse_unk) tokens.push_back(unk_id_);
    unknown = true;
  }
  if (unknown) tokens.push_back(unk_id_);
}

/// The tokens of a character's bytes; false, and nothing done, unless the model has one for each.
bool Bpe::append_bytes(std::string_view character, std::vector<int32_t>& tokens) const {
  const auto token_of = [&](char c) { return fallback_[static_cast<unsigned char>(c)]; };
  if (!model_.byte_fallback || std::ranges::any_of(character, [&](char c) { return token_of(c) == TokenTable::kNone; }))
    return false;
  for (const char c : character) tokens.push_back(token_of(c));
  return true;
}

std::string Bpe::bytes_of(int32_t id) const {
  const std::string_view text = model_.tokens.text(id);
  const auto bytes = characters_to_bytes(text);
  return bytes ? *bytes : std::string(text);
}

}  // namespace switchyard
