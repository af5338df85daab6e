#include "tokens/pcre_pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

#include "base/error.h"
#include "base/handle.h"
#include "io/json.h"
#include "tokens/regex_syntax.h"
#include "tokens/unicode.h"

namespace switchyard {
namespace {

constexpr size_t kLeastStack = 32 << 10, kMostStack = 64 << 20;  // of compiled matchers, grows as needed

template <class T, void (*kFree)(T*)>
struct PcreTraits {
  using type = T*;
  static type null() { return nullptr; }
  static void destroy(type p) noexcept { kFree(p); }
};
using Code = Handle<PcreTraits<pcre2_code, pcre2_code_free>>;
using CompileContext = Handle<PcreTraits<pcre2_compile_context, pcre2_compile_context_free>>;
using MatchContext = Handle<PcreTraits<pcre2_match_context, pcre2_match_context_free>>;
using MatchData = Handle<PcreTraits<pcre2_match_data, pcre2_match_data_free>>;
using JitStack = Handle<PcreTraits<pcre2_jit_stack, pcre2_jit_stack_free>>;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

/// Null with `error` set.
Code compile(const std::string& regex, int& error) {
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(regex.data()), regex.size(), PCRE2_UTF | PCRE2_MULTILINE, &error,
                          &offset, context.get()));
  return code;
}

/// What a thread matches with; used by one find() at a time.
struct Matching {
  JitStack stack{pcre2_jit_stack_create(kLeastStack, kMostStack, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  MatchData data{pcre2_match_data_create(1, nullptr)};
  Matching() { pcre2_jit_stack_assign(context.get(), nullptr, stack.get()); }
};

class PcrePattern : public Pattern {
 public:
  PcrePattern(const std::string& regex, std::string_view subject)
      : name_(fmt::format("{}: regular expression {}", subject, brief(Json(regex)))) {
    const PcreRegex translated = translate_regex(regex, subject);
    int error = 0;
    code_ = compile(translated.regex, error);
    if (!code_) code_ = compile(translated.by_reference, error);
    if (!code_) fail(ExitCode::input, "{}: cannot be compiled: {}", name_, message_of(error));
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // where there is no such compiler it is interpreted
  }

  /// As Hugging Face's iterator: an empty match right after a match does not count, and the search goes on one
  /// character further.
  void find(std::string_view text, std::vector<Span>& spans) const override {
    static thread_local Matching matching;
    SpanWriter writer(text, spans);
    bool matched = false;
    for (size_t from = 0; from <= text.size();) {
      const int result = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                                     PCRE2_NO_UTF_CHECK, matching.data.get(), matching.context.get());
      if (result == PCRE2_ERROR_NOMATCH) break;
      if (result < 0) fail(ExitCode::input, "{}: matching gave up: {}", name_, message_of(result));
      const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(matching.data.get());
      if (ends[0] == ends[1] && matched && ends[0] == writer.covered()) {
        from += from < text.size() ? unicode::decode(text.data() + from).bytes : 1;
        continue;
      }
      writer.match(ends[0], ends[1]);
      from = ends[1];
      matched = true;
    }
    writer.finish();
  }

  bool may_match_nothing() const override {
    uint32_t may = 0;
    pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &may);
    return may != 0;
  }

 private:
  std::string name_;
  Code code_;
};

}  // namespace

std::unique_ptr<Pattern> make_pcre_pattern(const std::string& regex, std::string_view subject) {
  return std::make_unique<PcrePattern>(regex, subject);
}

}  // namespace switchyard
