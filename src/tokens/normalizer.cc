#include "tokens/normalizer.h"

#include <algorithm>

#include "base/error.h"
#include "tokens/component_fields.h"
#include "tokens/nfc.h"
#include "tokens/unicode.h"

namespace switchyard {

class Normalizer::Step {
 public:
  virtual ~Step() = default;
  /// `text` itself if nothing changes, or `out`, which `text` is not in.
  virtual std::string_view apply(std::string_view text, std::string& out, std::vector<Span>& spans) const = 0;
  virtual bool moves_start() const { return false; }
};

namespace {

class Nfc : public Normalizer::Step {
  std::string_view apply(std::string_view text, std::string& out, std::vector<Span>&) const override {
    return unicode::to_nfc(text, out);
  }
};

class Prepend : public Normalizer::Step {
 public:
  explicit Prepend(std::string text) : text_(std::move(text)) {}
  std::string_view apply(std::string_view text, std::string& out, std::vector<Span>&) const override {
    out.assign(text_).append(text);
    return out;
  }
  bool moves_start() const override { return true; }

 private:
  std::string text_;
};

class Replace : public Normalizer::Step {
 public:
  Replace(std::unique_ptr<Pattern> pattern, std::string content, bool of_one_character)
      : pattern_(std::move(pattern)), content_(std::move(content)), of_one_character_(of_one_character) {}
  std::string_view apply(std::string_view text, std::string& out, std::vector<Span>& spans) const override {
    return replace_matches(*pattern_, text, content_, spans, out) ? std::string_view(out) : text;
  }
  /// What takes the place of several characters counts as where the last of them was.
  bool moves_start() const override { return content_.empty() || !of_one_character_; }

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
  bool of_one_character_;
};

}  // namespace

Normalizer::Normalizer(const Json& component, const std::string& subject) {
  if (!component.is_null()) add(component, subject);
}

void Normalizer::add(const Json& component, const std::string& subject) {
  ComponentFields fields(component, subject);
  switch (fields.one_of("type", {"NFC", "Prepend", "Replace", "Sequence"})) {
    case 0:
      steps_.push_back(std::make_shared<Nfc>());
      break;
    case 1:
      steps_.push_back(std::make_shared<Prepend>(fields.text("prepend")));
      break;
    case 2: {
      const PatternField field = read_pattern(fields, "pattern");
      auto pattern = field.is_regex ? make_regex_pattern(field.text, subject) : make_literal_pattern(field.text);
      // Hugging Face keeps places of the original text, and where something is put between two characters loses count.
      if (pattern->may_match_nothing()) fields.refuse("pattern", "a regular expression that matches no empty text");
      const bool of_one_character = !field.is_regex && unicode::decode(field.text.data()).bytes == field.text.size();
      steps_.push_back(std::make_shared<Replace>(std::move(pattern), fields.text("content"), of_one_character));
      break;
    }
    default:
      for (size_t i = 0; const Json& part : fields.list("normalizers"))
        add(part, fmt::format("{}.normalizers[{}]", subject, i++));
  }
  fields.done();
}

std::string_view Normalizer::normalize(std::string_view text, NormalizerScratch& scratch) const {
  const size_t original = text.size();
  for (const auto& step : steps_) {
    if (text.empty()) break;  // nothing is made of nothing: Prepend does not either
    const std::string_view result = step->apply(text, scratch.next, scratch.spans);
    if (result.data() != scratch.next.data()) continue;
    scratch.now.swap(scratch.next);
    text = scratch.now;
    check_growth(text.size(), original);
  }
  return text;
}

bool Normalizer::moves_start() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->moves_start(); });
}

}  // namespace switchyard
