#include "import/record_reader.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"

namespace switchyard {
namespace {

using test::fails_input;
using Ids = std::vector<int32_t>;

Document parse(std::string_view line, const EncodeRules& rules = test::byte_rules()) {
  Document document;
  RecordReader(rules).read(parse_json(line, kRecordSubject), document);
  return document;
}

TEST(RecordReader, TakesFourForms) {
  EXPECT_EQ(parse(R"({"text":"hé"})").tokens, (Ids{'h', 0xc3, 0xa9}));
  EXPECT_FALSE(parse(R"({"text":"x"})").context.has_value());
  EXPECT_EQ(parse(R"({"tokens":[5,0,2147483647]})").tokens, (Ids{5, 0, 2147483647}));
  const Document texts = parse(R"({"continuation":"cd","context":"ab"})");
  EXPECT_EQ(texts.tokens, (Ids{'a', 'b', 'c', 'd'}));
  EXPECT_EQ(texts.context, 2);
  const Document ids = parse(R"({"context_tokens":[1],"continuation_tokens":[2,3]})");
  EXPECT_EQ(ids.tokens, (Ids{1, 2, 3}));
  EXPECT_EQ(ids.context, 1);
  EXPECT_EQ(parse(R"({"context":"","continuation":"x"})").context, 0);
  EXPECT_EQ(parse(R"({"context":"x","continuation":""})").tokens, Ids{'x'});
  EXPECT_EQ(parse(R"({"text":"x","tokens":null})").tokens, Ids{'x'});
  EXPECT_EQ(parse(R"({"text":"\u0000"})").tokens, Ids{0});
}

TEST(RecordReader, TakesIdsAndLabels) {
  EXPECT_EQ(parse(R"({"text":"x","id":"naïve"})").id, "naïve");
  EXPECT_EQ(parse(R"({"text":"x","id":-17})").id, "-17");
  EXPECT_EQ(parse(R"({"text":"x","id":18446744073709551615})").id, "18446744073709551615");
  EXPECT_EQ(parse(R"({"text":"x"})").id, "");
  EXPECT_EQ(parse(R"({"text":"x","label":"a"})").label, "a");
  EXPECT_EQ(parse(R"({"text":"x","label":3})").label, "3");
  EXPECT_EQ(parse(R"({"text":"x","label":true})").label, "true");
  EXPECT_EQ(parse(R"({"text":"x"})").label, "");
  EXPECT_EQ(parse(R"({"text":"x","more":1,"label":"","extra":null})").other_fields,
            (std::vector<std::string>{"more", "extra"}));
}

TEST(RecordReader, RefusesEverythingElse) {
  const std::pair<const char*, const char*> bad[] = {
      {"{", "column"},
      {"[]", "expected an object"},
      {"5", "expected an object, found 5"},
      {"{}", "exactly one of"},
      {R"({"id":"a"})", "found none"},
      {R"({"text":"a","tokens":[1]})", "found several"},
      {R"({"text":"a","continuation":"b"})", "found several"},
      {R"({"context":"a","continuation":"b","context_tokens":[1]})", "found several"},
      {R"({"context":"a"})", "\"continuation\" is missing"},
      {R"({"continuation":"a"})", "\"context\" is missing"},
      {R"({"context_tokens":[1]})", "\"continuation_tokens\" is missing"},
      {R"({"context":"a","continuation_tokens":[1]})", "found several"},
      {R"({"text":5})", "\"text\": expected a string, found 5"},
      {R"({"text":["a"]})", "\"text\""},
      {R"({"text":""})", "empty"},
      {R"({"tokens":[]})", "empty"},
      {R"({"context":"","continuation":""})", "empty"},
      {R"({"tokens":"1 2"})", "\"tokens\""},
      {R"({"tokens":[1,"2"]})", "tokens[1]"},
      {R"({"tokens":[1.0]})", "tokens[0]"},
      {R"({"tokens":[-1]})", "found -1"},
      {R"({"tokens":[0,2147483648]})", "tokens[1]"},
      {R"({"tokens":[9223372036854775808]})", "tokens[0]"},
      {R"({"tokens":[1e30]})", "tokens[0]"},
      {R"({"tokens":[true]})", "tokens[0]"},
      {R"({"text":"a","text":"b"})", "duplicate key \"text\""},
      {R"({"text":"a","meta":{"k":1,"k":2}})", "duplicate key \"k\""},
      {R"({"text":"a","id":1.5})", "\"id\""},
      {R"({"text":"a","id":true})", "\"id\""},
      {R"({"text":"a","id":["x"]})", "\"id\""},
      {R"({"text":"a","id":"x\u0000y"})", "NUL"},
      {R"({"text":"a","label":1.5})", "\"label\""},
      {R"({"text":"a","label":{}})", "\"label\""},
      {"{\"text\":\"\xff\"}", "UTF-8"},
      {R"({"text":"a"} {"text":"b"})", "column"}};
  for (const auto& [line, part] : bad) EXPECT_TRUE(fails_input({part}, [&] { parse(line); })) << line;
}

}  // namespace
}  // namespace switchyard
