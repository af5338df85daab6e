// Tokens that are cut out of a text before anything is split: "added_tokens", as Hugging Face matches and numbers them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "io/json.h"
#include "tokens/normalizer.h"
#include "tokens/token_table.h"
#include "tokens/unicode.h"

namespace switchyard {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;
  bool normalized = false;   ///< looked for in the normalized text, in its own normalized form
  bool left_strip = false;   ///< takes the white space before it, too
  bool right_strip = false;  ///< and behind it
  bool single_word = false;  ///< not next to a word's character
};

/// Finds the leftmost occurrence of any of some texts, and there the longest.
class TextFinder {
 public:
  struct Found {
    size_t begin, end;
    size_t index;  ///< of the text
  };
  TextFinder() = default;
  explicit TextFinder(std::vector<std::string> texts);  ///< not empty, each once
  bool empty() const { return texts_.empty(); }
  /// False: there is none from `from` on. A step for each byte, and at possible beginnings as many as texts go on
  /// there.
  bool find(std::string_view text, size_t from, Found& found) const;

 private:
  bool longest_at(std::string_view text, size_t at, Found& found) const;
  std::vector<std::pair<std::string, size_t>> texts_;  ///< in order, with the index
  std::vector<bool> begins_;                           ///< by the first two bytes (one that is a text: by any second)
  bool byte_begins_[256] = {};
};

class AddedTokens {
 public:
  /// A part of a text: an added token, or (id < 0) what is to be encoded.
  struct Part {
    size_t begin, end;
    int32_t id;
  };

  AddedTokens() = default;
  /// `list`: the file's. Hugging Face does not look at their "id": a content that the vocabulary has is that token; the
  /// others are numbered on, from the vocabulary's size; where the file says otherwise, the log does. Of two with one
  /// content or one number the later holds. Fails (input).
  AddedTokens(const Json& list, const TokenTable& vocabulary, const Normalizer& normalizer, const std::string& subject);

  /// Appends the parts of a text before it is normalized (of tokens that are not), and of a normalized one. Not
  /// special_in_text: what spells a special token is text, and counted.
  void cut_raw(std::string_view text, bool special_in_text, std::vector<Part>& parts, int64_t& left_as_text) const {
    cut(raw_, text, special_in_text, parts, left_as_text);
  }
  void cut_normalized(std::string_view text, bool special_in_text, std::vector<Part>& parts,
                      int64_t& left_as_text) const {
    cut(normalized_, text, special_in_text, parts, left_as_text);
  }
  bool any_normalized() const { return !normalized_.finder.empty(); }

  const std::vector<AddedToken>& all() const { return tokens_; }
  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  /// As decoders see a token: in its normalized form, where it has one.
  const std::string& spelling(const AddedToken& token) const;
  int32_t end_id() const { return end_id_; }  ///< after the largest; 0: there are none

 private:
  struct Matcher {
    TextFinder finder;
    std::vector<size_t> tokens;  ///< by the finder's index: in tokens_
  };
  void cut(const Matcher& matcher, std::string_view text, bool special_in_text, std::vector<Part>& parts,
           int64_t& left_as_text) const;
  Matcher make_matcher(bool normalized, const std::string& subject) const;
  /// Returns its id.
  int32_t add(AddedToken token, const TokenTable& vocabulary, const Normalizer& normalizer, int32_t& next_id);
  bool stands_alone(std::string_view text, size_t begin, size_t end) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> by_content_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<int32_t, std::string> normalized_forms_;  ///< by id, where it is another
  std::unordered_set<std::string> special_;                    ///< contents that were special once
  Matcher raw_, normalized_;
  unicode::CodePointSet word_, white_space_ = unicode::CodePointSet::white_space();
  int32_t end_id_ = 0;
};

}  // namespace switchyard
