// A tokenizer.json: refused with a reason, or whatever it encodes has ids that it knows.
#include "base/log.h"
#include "tests/fuzz/fuzz_support.h"
#include "tokens/hf_tokenizer.h"

namespace switchyard {
namespace {

constexpr std::string_view kTexts[] = {"", " a  b\n", "The 12 don'T <|end|>\u00e9\u0301 \u4e2d<t1>",
                                       "aaaaaaaabababab ab"};

void check(const HfTokenizer& tokenizer) {
  for (const std::string_view text : kTexts) {
    std::vector<int32_t> ids;
    fuzz::require(tokenizer.encode(text, ids, {.special_in_text = false}) >= 0, "a count is not negative");
    ids.clear();
    tokenizer.encode(text, ids, {});
    for (const int32_t id : ids) fuzz::require(tokenizer.piece(id).has_value(), "an id has a piece");
    tokenizer.decode(ids);
    tokenizer.frame();
  }
}

}  // namespace
}  // namespace switchyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  log::set_quiet(true);
  fuzz::only_input_errors([&] { check(HfTokenizer(fuzz::text_of(data, size), "fuzz")); });
  return 0;
}
