#include "tokens/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "tokens/component_fields.h"

namespace switchyard {
namespace {

constexpr size_t pair_of(unsigned char first, unsigned char second) {
  return size_t{first} << 8 | second;
}

AddedToken read_token(const Json& entry, const std::string& subject) {
  ComponentFields fields(entry, subject);
  AddedToken token;
  token.content = fields.text("content");
  token.special = fields.flag("special");
  token.normalized = fields.flag("normalized");
  token.left_strip = fields.flag("lstrip");
  token.right_strip = fields.flag("rstrip");
  token.single_word = fields.flag("single_word");
  token.id = static_cast<int32_t>(fields.count("id"));
  fields.done();
  return token;
}

/// \w of Rust's regular expressions: Oniguruma's without ² ³ ¹ ¼ ½ ¾, and two joiners.
unicode::CodePointSet word_characters() {
  unicode::CodePointSet set = unicode::CodePointSet::word();
  unicode::CodePointSet others = set.complement();
  for (const unicode::Range fractions : {unicode::Range{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}}) others.add(fractions);
  set = others.complement();
  set.add({0x200c, 0x200d});
  return set;
}

}  // namespace

TextFinder::TextFinder(std::vector<std::string> texts) : begins_(texts.empty() ? 0 : size_t{1} << 16) {
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto first = static_cast<unsigned char>(texts[i][0]);
    byte_begins_[first] = true;
    if (texts[i].size() > 1)
      begins_[pair_of(first, static_cast<unsigned char>(texts[i][1]))] = true;
    else
      std::fill_n(begins_.begin() + static_cast<ptrdiff_t>(pair_of(first, 0)), 256, true);
    texts_.emplace_back(std::move(texts[i]), i);
  }
  std::sort(texts_.begin(), texts_.end());
}

bool TextFinder::find(std::string_view text, size_t from, Found& found) const {
  for (size_t at = from; at < text.size(); ++at) {
    const auto first = static_cast<unsigned char>(text[at]);
    if (!byte_begins_[first]) continue;
    if (at + 1 < text.size() && !begins_[pair_of(first, static_cast<unsigned char>(text[at + 1]))]) continue;
    if (longest_at(text, at, found)) return true;
  }
  return false;
}

/// Narrows the ordered texts down, byte by byte, to those that go on as `text` does.
bool TextFinder::longest_at(std::string_view text, size_t at, Found& found) const {
  bool any = false;
  auto begin = texts_.begin(), end = texts_.end();
  for (size_t depth = 0; begin != end; ++depth) {
    if (begin->first.size() == depth) {
      found = {at, at + depth, begin->second};
      any = true;
      ++begin;
    }
    if (at + depth == text.size()) break;
    const auto byte = static_cast<unsigned char>(text[at + depth]);
    const auto less = [depth](const auto& entry, unsigned char b) {
      return static_cast<unsigned char>(entry.first[depth]) < b;
    };
    const auto greater = [depth](unsigned char b, const auto& entry) {
      return b < static_cast<unsigned char>(entry.first[depth]);
    };
    begin = std::lower_bound(begin, end, byte, less);
    end = std::upper_bound(begin, end, byte, greater);
  }
  return any;
}

AddedTokens::AddedTokens(const Json& list, const TokenTable& vocabulary, const Normalizer& normalizer,
                         const std::string& subject)
    : word_(word_characters()) {
  auto next_id = static_cast<int32_t>(vocabulary.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const AddedToken token = read_token(list[i], fmt::format("{}[{}]", subject, i));
    const int32_t id = add(token, vocabulary, normalizer, next_id);
    if (id != token.id)
      log::warning("{}[{}]: {} has id {} in the file, and gets {} as in Hugging Face's library", subject, i,
                   brief(Json(token.content)), token.id, id);
  }
  raw_ = make_matcher(false, subject);
  normalized_ = make_matcher(true, subject);
}

int32_t AddedTokens::add(AddedToken token, const TokenTable& vocabulary, const Normalizer& normalizer,
                         int32_t& next_id) {
  if (token.content.empty()) return token.id;  // is none
  const auto [entry, is_new] = by_content_.emplace(token.content, tokens_.size());
  if (is_new) {
    token.id = vocabulary.find(token.content);
    if (token.id == TokenTable::kNone) token.id = next_id++;
    by_id_[token.id] = tokens_.size();
    end_id_ = std::max(end_id_, token.id + 1);
    tokens_.push_back(token);
  } else {
    token.id = tokens_[entry->second].id;
    tokens_[entry->second] = token;
  }
  if (token.special) special_.insert(token.content);
  if (token.normalized) {
    NormalizerScratch scratch;
    const std::string_view form = normalizer.normalize(token.content, scratch);
    if (form != token.content) normalized_forms_[token.id] = form;
  }
  return token.id;
}

AddedTokens::Matcher AddedTokens::make_matcher(bool normalized, const std::string& subject) const {
  Matcher matcher;
  std::vector<std::string> texts;
  std::unordered_map<std::string, size_t> known;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].normalized != normalized || by_id_.at(tokens_[i].id) != i) continue;
    const std::string& text = normalized ? spelling(tokens_[i]) : tokens_[i].content;
    if (text.empty())
      fail(ExitCode::input, "{}: nothing is left of {} when it is normalized", subject,
           brief(Json(tokens_[i].content)));
    const auto [other, is_new] = known.emplace(text, i);
    if (!is_new)
      fail(ExitCode::input, "{}: {} and {} are the same when they are normalized", subject,
           brief(Json(tokens_[other->second].content)), brief(Json(tokens_[i].content)));
    texts.push_back(text);
    matcher.tokens.push_back(i);
  }
  matcher.finder = TextFinder(std::move(texts));
  return matcher;
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const std::string& AddedTokens::spelling(const AddedToken& token) const {
  const auto found = normalized_forms_.find(token.id);
  return found == normalized_forms_.end() ? token.content : found->second;
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(std::string(content));
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

/// What a match is refused for, or takes beside itself, changes nothing in what is matched next: that begins where the
/// match itself ended. So parts may overlap, and a part of white space may be there twice: Hugging Face's ids have it
/// so.
void AddedTokens::cut(const Matcher& matcher, std::string_view text, bool special_in_text, std::vector<Part>& parts,
                      int64_t& left_as_text) const {
  size_t covered = 0;
  size_t spaces_begin = 0, spaces_end = 0;  // white space that was looked through: not once for each match in it
  TextFinder::Found found;
  for (size_t from = 0; matcher.finder.find(text, from, found); from = found.end) {
    const AddedToken& token = tokens_[matcher.tokens[found.index]];
    if (!special_in_text && special_.contains(token.content)) {
      ++left_as_text;
      continue;
    }
    if (token.single_word && !stands_alone(text, found.begin, found.end)) continue;
    size_t begin = found.begin, end = found.end;
    if (token.left_strip) {
      begin = std::max(begin, covered);
      while (begin > covered) {
        const char* const previous = unicode::previous(text.data() + begin);
        if (!white_space_.contains(unicode::decode(previous).code_point)) break;
        begin = static_cast<size_t>(previous - text.data());
      }
    }
    if (token.right_strip) {
      if (end < spaces_begin || end > spaces_end) {
        spaces_begin = spaces_end = end;
        while (spaces_end < text.size()) {
          const unicode::Decoded c = unicode::decode(text.data() + spaces_end);
          if (!white_space_.contains(c.code_point)) break;
          spaces_end += c.bytes;
        }
      }
      end = spaces_end;
    }
    if (covered < begin) parts.push_back({covered, begin, -1});
    if (begin < end) parts.push_back({begin, end, token.id});
    covered = end;
  }
  if (covered < text.size()) parts.push_back({covered, text.size(), -1});
}

bool AddedTokens::stands_alone(std::string_view text, size_t begin, size_t end) const {
  const auto is_word = [&](const char* at) { return word_.contains(unicode::decode(at).code_point); };
  return (begin == 0 || !is_word(unicode::previous(text.data() + begin))) &&
         (end == text.size() || !is_word(text.data() + end));
}

}  // namespace switchyard
