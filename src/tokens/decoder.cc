#include "tokens/decoder.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "tokens/bpe.h"
#include "tokens/component_fields.h"
#include "tokens/pattern.h"
#include "tokens/unicode.h"

namespace switchyard {

class Decoder::Step {
 public:
  virtual ~Step() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
  /// The same of a token by itself; what depends on its place, and on others, is left alone.
  virtual void apply_alone(std::string& /*token*/) const {}
};

namespace {

/// All tokens' bytes as one text. A token with another character than those that stand for bytes is what it says.
class ByteLevel : public Decoder::Step {
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) bytes += characters_to_bytes(token).value_or(token);
    tokens.assign(1, unicode::replace_invalid_utf8(bytes));
  }
  void apply_alone(std::string& token) const override { token = characters_to_bytes(token).value_or(token); }
};

class MetaspaceToBlank : public Decoder::Step {
 public:
  MetaspaceToBlank(std::string sign, bool prepended) : sign_(std::move(sign)), prepended_(prepended) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      replace(tokens[i], i == 0 && prepended_ ? "" : " ");  // every sign in the first token, not only its first
  }
  void apply_alone(std::string& token) const override { replace(token, " "); }

 private:
  void replace(std::string& token, std::string_view space) const {
    std::string out;
    for (size_t at = 0; at < token.size();) {
      const bool sign = std::string_view(token).substr(at).starts_with(sign_);
      sign ? out += space : out += token[at];
      at += sign ? sign_.size() : 1;
    }
    token = std::move(out);
  }

  std::string sign_;
  bool prepended_;
};

class ReplaceInPiece : public Decoder::Step {
 public:
  ReplaceInPiece(std::unique_ptr<Pattern> pattern, std::string content)
      : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<Span> spans;
    std::string out;
    for (std::string& token : tokens)
      if (!token.empty() && replace_matches(*pattern_, token, content_, spans, out)) token = out;
  }
  void apply_alone(std::string& token) const override {
    std::vector<std::string> tokens = {token};
    apply(tokens);
    token = std::move(tokens.front());
  }

 private:
  std::unique_ptr<Pattern> pattern_;
  std::string content_;
};

/// Runs of tokens "<0x41>" become text; if a run's bytes are none, a U+FFFD for each of them.
class ByteFallback : public Decoder::Step {
 public:
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string run;
    const auto end_run = [&] {
      if (run.empty()) return;
      if (unicode::valid_utf8_prefix(run) == run.size())
        out.push_back(run);
      else
        out.insert(out.end(), run.size(), "\uFFFD");
      run.clear();
    };
    for (std::string& token : tokens) {
      if (const std::optional<char> byte = byte_of(token)) {
        run += *byte;
        continue;
      }
      end_run();
      out.push_back(std::move(token));
    }
    end_run();
    tokens = std::move(out);
  }
  void apply_alone(std::string& token) const override {
    if (const std::optional<char> byte = byte_of(token)) token.assign(1, *byte);
  }

 private:
  static std::optional<char> byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
    std::string_view digits = token.substr(3, 2);
    if (digits[0] == '+') digits.remove_prefix(1);  // Rust's numbers may have a sign
    unsigned char byte = 0;
    const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16).ptr;
    return end == digits.data() + digits.size() ? std::optional(static_cast<char>(byte)) : std::nullopt;
  }
};

class Fuse : public Decoder::Step {
  void apply(std::vector<std::string>& tokens) const override {
    std::string all;
    for (const std::string& token : tokens) all += token;
    tokens.assign(1, all);
  }
};

/// Up to `start` of a character from each token's beginning, up to `stop` from its end.
class Strip : public Decoder::Step {
 public:
  Strip(std::string character, int64_t start, int64_t stop)
      : character_(std::move(character)), start_(start), stop_(stop) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view left = token;
      for (int64_t i = 0; i < start_ && left.starts_with(character_); ++i) left.remove_prefix(character_.size());
      for (int64_t i = 0; i < stop_ && left.ends_with(character_); ++i) left.remove_suffix(character_.size());
      token = std::string(left);
    }
  }

 private:
  std::string character_;
  int64_t start_, stop_;
};

std::string read_character(ComponentFields& fields, std::string_view field) {
  std::string text = fields.text(field);
  if (text.empty() || unicode::decode(text.data()).bytes != text.size()) fields.refuse(field, "one character");
  return text;
}

}  // namespace

Decoder::Decoder(const Json& component, const std::string& subject) : joins_by_spaces_(component.is_null()) {
  if (!component.is_null()) add(component, subject);
}

void Decoder::add(const Json& component, const std::string& subject) {
  ComponentFields fields(component, subject);
  switch (fields.one_of("type", {"ByteLevel", "Metaspace", "Replace", "ByteFallback", "Fuse", "Strip", "Sequence"})) {
    case 0:
      for (const std::string_view field : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(field);
      steps_.push_back(std::make_shared<ByteLevel>());
      break;
    case 1: {
      std::string sign = read_character(fields, "replacement");
      const Json* scheme = fields.value("prepend_scheme");
      steps_.push_back(std::make_shared<MetaspaceToBlank>(std::move(sign), scheme == nullptr || *scheme != "never"));
      for (const std::string_view field : {"add_prefix_space", "split", "str_rep"}) fields.ignore(field);
      break;
    }
    case 2: {
      const PatternField pattern = read_pattern(fields, "pattern");
      steps_.push_back(std::make_shared<ReplaceInPiece>(
          pattern.is_regex ? make_regex_pattern(pattern.text, subject) : make_literal_pattern(pattern.text),
          fields.text("content")));
      break;
    }
    case 3:
      steps_.push_back(std::make_shared<ByteFallback>());
      break;
    case 4:
      steps_.push_back(std::make_shared<Fuse>());
      break;
    case 5: {
      std::string character = read_character(fields, "content");
      const int64_t start = fields.count("start"), stop = fields.count("stop");
      steps_.push_back(std::make_shared<Strip>(std::move(character), start, stop));
      break;
    }
    default:
      for (size_t i = 0; const Json& part : fields.list("decoders"))
        add(part, fmt::format("{}.decoders[{}]", subject, i++));
  }
  fields.done();
}

std::string Decoder::bytes_of(std::string token) const {
  const size_t original = token.size();
  for (const auto& step : steps_) step->apply_alone(token);
  check_growth(token.size(), original);
  return token;
}

std::string Decoder::decode(std::vector<std::string> tokens) const {
  const auto bytes = [&] {
    return std::transform_reduce(tokens.begin(), tokens.end(), size_t{0}, std::plus<>(),
                                 [](const auto& t) { return t.size(); });
  };
  const size_t original = bytes();
  for (const auto& step : steps_) {
    step->apply(tokens);
    check_growth(bytes(), original);
  }
  return fmt::format("{}", fmt::join(tokens, joins_by_spaces_ ? " " : ""));
}

}  // namespace switchyard
