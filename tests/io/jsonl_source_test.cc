#include "io/jsonl_source.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;
using test::read_documents;
using Ids = std::vector<int32_t>;

JsonlRecord parse(std::string_view line) {
  return parse_jsonl_record(line, find_tokenizer("bytes"));
}

TEST(JsonlRecord, TakesFourForms) {
  EXPECT_EQ(parse(R"({"text":"hé"})").tokens, (Ids{'h', 0xc3, 0xa9}));
  EXPECT_FALSE(parse(R"({"text":"x"})").context.has_value());
  EXPECT_EQ(parse(R"({"tokens":[5,0,2147483647]})").tokens, (Ids{5, 0, 2147483647}));
  const JsonlRecord texts = parse(R"({"continuation":"cd","context":"ab"})");
  EXPECT_EQ(texts.tokens, (Ids{'a', 'b', 'c', 'd'}));
  EXPECT_EQ(texts.context, 2);
  const JsonlRecord ids = parse(R"({"context_tokens":[1],"continuation_tokens":[2,3]})");
  EXPECT_EQ(ids.tokens, (Ids{1, 2, 3}));
  EXPECT_EQ(ids.context, 1);
  EXPECT_EQ(parse(R"({"context":"","continuation":"x"})").context, 0);
  EXPECT_EQ(parse(R"({"context":"x","continuation":""})").tokens, Ids{'x'});
  EXPECT_EQ(parse(R"({"text":"x","tokens":null})").tokens, Ids{'x'});
  EXPECT_EQ(parse(R"({"text":"\u0000"})").tokens, Ids{0});
}

TEST(JsonlRecord, TakesIdsAndLabels) {
  EXPECT_EQ(parse(R"({"text":"x","id":"naïve"})").id, "naïve");
  EXPECT_EQ(parse(R"({"text":"x","id":-17})").id, "-17");
  EXPECT_EQ(parse(R"({"text":"x","id":18446744073709551615})").id, "18446744073709551615");
  EXPECT_FALSE(parse(R"({"text":"x"})").id.has_value());
  EXPECT_EQ(parse(R"({"text":"x","label":"a"})").label, "a");
  EXPECT_EQ(parse(R"({"text":"x","label":3})").label, "3");
  EXPECT_EQ(parse(R"({"text":"x","label":true})").label, "true");
  EXPECT_EQ(parse(R"({"text":"x"})").label, "");
  EXPECT_EQ(parse(R"({"text":"x","more":1,"label":"","extra":null})").other_fields,
            (std::vector<std::string>{"more", "extra"}));
}

TEST(JsonlRecord, RefusesEverythingElse) {
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

TEST(JsonlSource, YieldsDocumentsAndRejectsInOrder) {
  const test::TemporaryDirectory directory;
  const auto one = directory.write("one.jsonl",
                                   "{\"text\":\"ab\",\"id\":\"first\",\"label\":1}\r\n"
                                   "\n"
                                   "  \t\r\n"
                                   "{\"text\":}\n"
                                   "{\"context\":\"a\",\"continuation\":\"bc\"}\n"
                                   "{\"text\":\"0123456789012345678901234567890123456789\"}\n"
                                   "{\"tokens\":[7]}");
  const auto two = directory.write("two.jsonl", "{\"text\":\"z\"}\n");
  JsonlSource source({one.string(), two.string()}, find_tokenizer("bytes"), 45);
  const auto documents = read_documents(source, 1);
  ASSERT_EQ(documents.size(), 6u);
  EXPECT_EQ(documents[0].document.id, "first");
  EXPECT_EQ(documents[0].document.label, "1");
  EXPECT_EQ(documents[0].tokens, (Ids{'a', 'b'}));
  EXPECT_EQ(documents[0].document.source, one.string());
  EXPECT_EQ(documents[0].document.line, 1);
  EXPECT_EQ(documents[1].document.line, 4);
  EXPECT_NE(documents[1].document.reject.find("column 9"), std::string::npos) << documents[1].document.reject;
  EXPECT_EQ(documents[2].document.id, "one.jsonl:5");
  ASSERT_TRUE(documents[2].document.fixed.has_value());
  EXPECT_EQ(documents[2].document.fixed->context, 1);
  EXPECT_EQ(documents[2].document.fixed->tokens, 3);
  EXPECT_EQ(documents[3].document.reject, "line of 51 bytes: expected at most 45");
  EXPECT_EQ(documents[4].tokens, Ids{7});
  EXPECT_EQ(documents[5].document.id, "two.jsonl:1");
  EXPECT_EQ(documents[5].document.source, two.string());
}

TEST(JsonlSource, NamesOtherFieldsOnce) {
  const test::TemporaryDirectory directory;
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += fmt::format("{{\"text\":\"x\",\"meta\":1,\"field{}\":2}}\n", i);
  const auto path = directory.write("f.jsonl", lines);
  ::testing::internal::CaptureStderr();
  JsonlSource source({path.string()}, find_tokenizer("bytes"), 1000);
  EXPECT_EQ(read_documents(source).size(), 100u);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("\"meta\""), log.rfind("\"meta\""));
  EXPECT_NE(log.find("\"meta\""), std::string::npos);
  EXPECT_NE(log.find("\"field0\""), std::string::npos);
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 33);  // 32 names, then that no more are named
}

TEST(JsonlSource, NamesAMissingFile) {
  JsonlSource source({"/nowhere/x.jsonl"}, find_tokenizer("bytes"), 1000);
  Document document;
  EXPECT_TRUE(fails_input({"/nowhere/x.jsonl"}, [&] { source.next(document); }));
}

}  // namespace
}  // namespace switchyard
