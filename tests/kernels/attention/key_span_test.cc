#include "kernels/attention/key_span.h"

#include <gtest/gtest.h>

#include "reference/attention.h"

namespace switchyard {
namespace {

TEST(KeySpan, BeginsWithTheFirstKeyThatIsSeen) {
  for (const KeySpan::Kind kind : {KeySpan::Kind::all, KeySpan::Kind::window, KeySpan::Kind::chunk})
    for (const int64_t size : {1, 2, 37, 128, 1000}) {
      const KeySpan span{kind, size};
      for (int64_t t = 0; t < 300; ++t) {
        int64_t first = 0;
        while (!reference::sees(span, t, first)) ++first;
        EXPECT_EQ(span.first_key(t), first) << fmt::format("kind {}, size {}, position {}", kind, size, t);
      }
    }
}

TEST(KeySpan, EndsWithTheLastQueryThatSees) {
  for (const KeySpan::Kind kind : {KeySpan::Kind::window, KeySpan::Kind::chunk})
    for (const int64_t size : {1, 2, 37, 128, 1000}) {
      const KeySpan span{kind, size};
      for (int64_t s = 0; s < 300; ++s) {
        int64_t end = s;
        while (reference::sees(span, end, s)) ++end;
        EXPECT_EQ(span.end_query(s), end) << fmt::format("kind {}, size {}, position {}", kind, size, s);
      }
    }
  EXPECT_GT(KeySpan{}.end_query(7), int64_t{1} << 60);
}

TEST(KeySpan, TellsItsFields) {
  std::string text;
  const KeySpan span{KeySpan::Kind::chunk, 8192};
  visit_leaves(span, "span",
               [&](const std::string& path, const auto& value) { text += fmt::format("{} = {}; ", path, value); });
  EXPECT_EQ(text, "span.kind = 2; span.size = 8192; ");
}

}  // namespace
}  // namespace switchyard
