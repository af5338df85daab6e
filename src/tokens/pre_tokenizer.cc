#include "tokens/pre_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "tokens/component_fields.h"
#include "tokens/split_patterns.h"
#include "tokens/unicode.h"

namespace switchyard {

class PreTokenizer::Step {
 public:
  virtual ~Step() = default;
  virtual void apply(Pieces& pieces, bool at_start) const = 0;
};

namespace {

using Piece = Pieces::Piece;

enum class Behavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };

/// What becomes of matches and of what lies between them. Spans of no bytes, which regular expressions may match, take
/// part and leave no piece.
class Split : public PreTokenizer::Step {
 public:
  Split(std::unique_ptr<Pattern> pattern, Behavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void apply(Pieces& pieces, bool) const override {
    for (const Piece piece : pieces.pieces()) {
      std::vector<Span>& found = pieces.spans;
      found.clear();
      pattern_->find(pieces.text(piece), found);
      if (invert_)
        for (Span& span : found) span.matches = !span.matches;
      add_pieces(piece.begin, found, pieces.next);
    }
    pieces.take_next();
  }

 private:
  void add_pieces(size_t begin, const std::vector<Span>& found, std::vector<Piece>& out) const {
    switch (behavior_) {
      case Behavior::isolated:
        return join(begin, found, out, [](const Span&, const Span&) { return false; });
      case Behavior::contiguous:
        return join(begin, found, out, [](const Span& a, const Span& b) { return a.matches == b.matches; });
      case Behavior::merged_with_previous:
        return join(begin, found, out, [](const Span& a, const Span& b) { return !a.matches && b.matches; });
      case Behavior::merged_with_next:
        return join(begin, found, out, [](const Span& a, const Span& b) { return a.matches && !b.matches; });
      case Behavior::removed: {
        size_t at = 0;
        for (const Span& span : found) {
          if (!span.matches && span.end > at) out.push_back({begin + at, begin + span.end});
          at = span.end;
        }
      }
    }
  }

  /// One piece of all spans that belong to the one before.
  template <class Belongs>
  static void join(size_t begin, const std::vector<Span>& found, std::vector<Piece>& out, const Belongs& belongs) {
    size_t at = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      if (i + 1 < found.size() && belongs(found[i], found[i + 1])) continue;
      if (found[i].end > at) out.push_back({begin + at, begin + found[i].end});
      at = found[i].end;
    }
  }

  std::unique_ptr<Pattern> pattern_;
  Behavior behavior_;
  bool invert_;
};

/// Of ByteLevel: a space before every piece that has none.
class PrefixSpace : public PreTokenizer::Step {
 public:
  void apply(Pieces& pieces, bool) const override {
    std::string& text = pieces.next_text;
    for (const Piece piece : pieces.pieces()) {
      const size_t begin = text.size();
      if (!pieces.text(piece).starts_with(' ')) text += ' ';
      text += pieces.text(piece);
      pieces.next.push_back({begin, text.size()});
    }
    pieces.take_next_text();
  }
};

enum class PrependScheme { always, first, never };

/// Spaces become a sign of their own, which also comes before a piece that does not begin with it.
class Metaspace : public PreTokenizer::Step {
 public:
  Metaspace(std::string sign, PrependScheme prepend) : sign_(std::move(sign)), prepend_(prepend) {}

  void apply(Pieces& pieces, bool at_start) const override {
    std::string& text = pieces.next_text;
    for (const Piece piece : pieces.pieces()) {
      const std::string_view old = pieces.text(piece);
      const size_t begin = text.size();
      const bool may_prepend =
          prepend_ == PrependScheme::always || (prepend_ == PrependScheme::first && at_start && piece.begin == 0);
      if (may_prepend && !old.starts_with(sign_) && !old.starts_with(' ')) text += sign_;
      for (const char c : old) c == ' ' ? text += sign_ : text += c;
      pieces.next.push_back({begin, text.size()});
    }
    pieces.take_next_text();
  }

 private:
  std::string sign_;
  PrependScheme prepend_;
};

/// What Rust's char::is_numeric says, whose Unicode (17.0) is newer than the regular expressions': \p{N} and these.
unicode::CodePointSet numeric_characters() {
  unicode::CodePointSet set = unicode::CodePointSet::category("N");
  set.add({0x11de0, 0x11de9});
  set.add({0x16ff4, 0x16ff6});
  return set;
}

std::shared_ptr<const PreTokenizer::Step> read_split(ComponentFields& fields) {
  const PatternField pattern = read_pattern(fields, "pattern");
  const auto behavior = static_cast<Behavior>(
      fields.one_of("behavior", {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"}));
  const bool invert = fields.flag("invert");
  return std::make_shared<Split>(
      pattern.is_regex ? make_regex_pattern(pattern.text, fields.subject()) : make_literal_pattern(pattern.text),
      behavior, invert);
}

struct MetaspaceFields {
  std::string sign;
  PrependScheme prepend;
  bool split;
};
MetaspaceFields read_metaspace(ComponentFields& fields) {
  MetaspaceFields read{fields.text("replacement"), PrependScheme::always, fields.flag_or("split", true)};
  if (read.sign.empty() || unicode::decode(read.sign.data()).bytes != read.sign.size())
    fields.refuse("replacement", "one character");
  const bool has_scheme = fields.value("prepend_scheme") != nullptr;
  if (has_scheme)
    read.prepend = static_cast<PrependScheme>(fields.one_of("prepend_scheme", {"always", "first", "never"}));
  // The older spelling: false is "never", true says nothing.
  if (!fields.flag_or("add_prefix_space", true)) {
    if (has_scheme && read.prepend != PrependScheme::never)
      fields.refuse("add_prefix_space", "what prepend_scheme says");
    if (!has_scheme) fields.refuse("prepend_scheme", "\"never\" beside \"add_prefix_space\": false");
  }
  fields.ignore("str_rep");
  return read;
}

}  // namespace

void Pieces::assign(std::string_view text) {
  text_.assign(text).append(kReadable, '\0');
  pieces_.assign(1, {0, text.size()});
}

void Pieces::take_next() {
  pieces_.swap(next);
  next.clear();
}

void Pieces::take_next_text() {
  next_text.append(kReadable, '\0');
  text_.swap(next_text);
  next_text.clear();
  take_next();
}

PreTokenizer::PreTokenizer(const Json& component, const std::string& subject, bool normalizer_moves_start)
    : normalizer_moves_start_(normalizer_moves_start) {
  if (!component.is_null()) add(component, subject);
}

void PreTokenizer::add(const Json& component, const std::string& subject) {
  ComponentFields fields(component, subject);
  if (byte_level_)
    fail(ExitCode::input, "{}: nothing is supported after ByteLevel, found {}", subject, brief(component));
  switch (fields.one_of("type", {"Split", "ByteLevel", "Metaspace", "Digits", "Sequence"})) {
    case 0:
      steps_.push_back(read_split(fields));
      break;
    case 1:
      if (fields.flag("add_prefix_space")) steps_.push_back(std::make_shared<PrefixSpace>());
      if (fields.flag_or("use_regex", true))
        steps_.push_back(std::make_shared<Split>(make_known_pattern(kByteLevelRegex), Behavior::isolated, false));
      fields.flag("trim_offsets");  // of offsets, not of ids
      byte_level_ = true;
      break;
    case 2: {
      const MetaspaceFields metaspace = read_metaspace(fields);
      if (metaspace.prepend == PrependScheme::first && (normalizer_moves_start_ || !steps_.empty()))
        fields.refuse("prepend_scheme",
                      "\"always\" or \"never\" after another pre-tokenizer, or a normalizer that moves the start");
      steps_.push_back(std::make_shared<Metaspace>(metaspace.sign, metaspace.prepend));
      if (metaspace.split)
        steps_.push_back(
            std::make_shared<Split>(make_literal_pattern(metaspace.sign), Behavior::merged_with_next, false));
      break;
    }
    case 3:
      steps_.push_back(
          std::make_shared<Split>(make_character_pattern(numeric_characters()),
                                  fields.flag("individual_digits") ? Behavior::isolated : Behavior::contiguous, false));
      break;
    default:
      for (size_t i = 0; const Json& part : fields.list("pretokenizers"))
        add(part, fmt::format("{}.pretokenizers[{}]", subject, i++));
  }
  fields.done();
}

void PreTokenizer::split(Pieces& pieces, bool at_start) const {
  for (const auto& step : steps_) step->apply(pieces, at_start);
}

}  // namespace switchyard
