#include "import/importer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

struct Row {
  Ids tokens;
  int64_t context;
  std::string id;
  bool operator==(const Row&) const = default;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << fmt::format("{}: [{}] context {}", row.id, fmt::join(row.tokens, " "), row.context);
}

class Rows : public RecordSink {
 public:
  void record(std::span<const int32_t> tokens, int64_t context, const std::string& id, const std::string&) override {
    rows.push_back({{tokens.begin(), tokens.end()}, context, id});
  }
  void end_document() override { document_ends.push_back(rows.size()); }
  void reject(const Document& document) override { rejects.emplace_back(document.line.value_or(0), document.reject); }

  std::vector<Row> rows;
  std::vector<size_t> document_ends;
  std::vector<std::pair<int64_t, std::string>> rejects;
};

class ImporterTest : public ::testing::Test {
 protected:
  /// Of tests/data/tokenizers, with this tokenizer_config.json.
  void use(const char* tokenizer, const std::string& config = {}) {
    std::filesystem::copy_file(std::filesystem::path(SWITCHYARD_TEST_DATA) / "tokenizers" / tokenizer,
                               directory_ / "tokenizer.json", std::filesystem::copy_options::overwrite_existing);
    if (!config.empty()) directory_.write("tokenizer_config.json", config);
    tokenizer_ = open_tokenizer(directory_.path().string());
  }
  Rows run(const std::string& jsonl, const ImportRules& rules = {}, int threads = 1) {
    importer_.emplace(std::vector<SourceFile>{{directory_.write("d.jsonl", jsonl).string()}}, rules, *tokenizer_,
                      threads);
    Rows rows;
    importer_->run(rows);
    return rows;
  }
  Ids ids(std::string_view text) const {
    Ids ids;
    tokenizer_->encode(text, ids);
    return ids;
  }
  static Ids joined(Ids a, const Ids& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }

  test::TemporaryDirectory directory_;
  std::unique_ptr<const Tokenizer> tokenizer_ = open_tokenizer("bytes");
  std::optional<Importer> importer_;
};

TEST_F(ImporterTest, OrderAndRecordsDoNotDependOnThreads) {
  use("qwen3.json");
  std::string lines;
  for (int i = 0; i < 20'000; ++i)
    lines += i % 97 == 0 ? "broken\n"
                         : fmt::format("{{\"text\": \"record {} of many, {}\"}}\n", i, std::string(i % 300, 'x'));
  const Rows one = run(lines);
  EXPECT_EQ(one.rejects.size(), 207u);
  for (const int threads : {2, 3, 8}) {
    const Rows many = run(lines, {}, threads);
    EXPECT_EQ(many.rows, one.rows) << threads;
    EXPECT_EQ(many.rejects, one.rejects) << threads;
    EXPECT_EQ(importer_->sources().at(0).bytes, lines.size());
  }
}

TEST_F(ImporterTest, AFailureInAnyThreadEndsIt) {
  struct Full : Rows {
    void record(std::span<const int32_t> tokens, int64_t context, const std::string& id,
                const std::string& label) override {
      if (rows.size() == 5000) fail(ExitCode::output, "disk full");
      Rows::record(tokens, context, id, label);
    }
  } full;
  std::string lines;
  for (int i = 0; i < 50'000; ++i) lines += "{\"text\": \"a record\"}\n";
  const std::string path = directory_.write("d.jsonl", lines).string();
  for (const int threads : {1, 4}) {
    Importer importer({{path}}, {}, *tokenizer_, threads);
    full.rows.clear();
    EXPECT_TRUE(test::fails(ExitCode::output, {"disk full"}, [&] { importer.run(full); }));
    Importer missing({{path}, {"/nowhere/x.jsonl"}}, {}, *tokenizer_, threads);
    Rows rows;
    EXPECT_TRUE(test::fails_input({"/nowhere/x.jsonl"}, [&] { missing.run(rows); }));
    int64_t polls = 0;
    Importer stopped({{path}}, {}, *tokenizer_, threads, [&] {
      if (++polls == 2) fail(ExitCode::interrupted, "enough");
    });
    EXPECT_TRUE(test::fails(ExitCode::interrupted, {"enough"}, [&] { stopped.run(rows); }));
  }
}

// HFLM._encode_pair and loglikelihood of lm-evaluation-harness.
TEST_F(ImporterTest, PairsAreEncodedAsLmEvaluationHarnessDoes) {
  use("qwen3.json", R"({"eos_token": "<mask>"})");
  const Rows rows =
      run("{\"context\": \"The sky is \", \"continuation\": \"blue\"}\n"
          "{\"context\": \"The sky is\\n\\u00a0\", \"continuation\": \"blue\"}\n"
          "{\"context\": \"unfin\", \"continuation\": \"ished\"}\n"
          "{\"context\": \"\", \"continuation\": \"blue\"}\n"
          "{\"context\": \" \\n\", \"continuation\": \"blue\"}\n");
  const auto pair = [&](std::string_view context, std::string_view both) {
    const Ids before = ids(context), whole = ids(both);
    return joined(before, Ids(whole.begin() + std::min(std::ssize(before), std::ssize(whole)), whole.end()));
  };
  ASSERT_EQ(rows.rows.size(), 5u);
  EXPECT_EQ(rows.rows[0].tokens, pair("The sky is", "The sky is blue"));
  EXPECT_EQ(rows.rows[0].context, std::ssize(ids("The sky is")));
  EXPECT_EQ(rows.rows[1].tokens, pair("The sky is", "The sky is\n\u00a0blue"));
  EXPECT_EQ(rows.rows[2].tokens, pair("unfin", "unfinished"));
  EXPECT_EQ(rows.rows[2].context, std::ssize(ids("unfin")));
  EXPECT_EQ(rows.rows[3], (Row{joined({361}, ids("blue")), 1, "d.jsonl:4"}));
  EXPECT_EQ(rows.rows[4], (Row{joined({361}, ids(" \nblue")), 1, "d.jsonl:5"}));
  EXPECT_EQ(importer_->counts().empty_contexts, 2);
}

TEST_F(ImporterTest, WhatThePostProcessorSaysStandsOnceAroundTheWhole) {
  use("mixtral.json");
  const std::string lines =
      "{\"text\": \"a b\"}\n{\"context\": \"a\", \"continuation\": \" b\"}\n{\"context\": \"\", \"continuation\": "
      "\"b\"}\n"
      "{\"tokens\": [5, 6]}\n";
  const Rows rows = run(lines);
  ASSERT_EQ(rows.rows.size(), 4u);
  EXPECT_EQ(rows.rows[0], (Row{joined({1}, ids("a b")), 1, "d.jsonl:1"}));
  EXPECT_EQ(rows.rows[1].tokens, joined({1}, ids("a b")));
  EXPECT_EQ(rows.rows[1].context, 1 + std::ssize(ids("a")));
  EXPECT_EQ(rows.rows[2], (Row{joined({1}, ids("b")), 1, "d.jsonl:3"}));
  EXPECT_EQ(rows.rows[3].tokens, (Ids{5, 6})) << "records of ids are what they are";
  EXPECT_EQ(importer_->counts().empty_contexts, 0);
  ImportRules rules;
  rules.bos = "9";
  EXPECT_EQ(run(lines, rules).rows[3].tokens, (Ids{9, 5, 6}));
  rules.bos = "none";
  EXPECT_EQ(run(lines, rules).rows[0].tokens, ids("a b"));
}

TEST_F(ImporterTest, SpecialTokensInATextAreTextUnlessAskedFor) {
  use("qwen3.json");
  const std::string line = "{\"text\": \"a<|end|><mask>\"}\n";
  const Ids text = run(line).rows.at(0).tokens;
  EXPECT_EQ(std::ranges::count(text, 360), 0);
  EXPECT_EQ(std::ranges::count(text, 361), 1) << "a token that is not special is found all the same";
  EXPECT_EQ(importer_->counts().spellings_left, 1);
  ImportRules rules;
  rules.special_in_text = true;
  EXPECT_EQ(run(line, rules).rows.at(0).tokens, joined(ids("a"), {360, 361}));
  EXPECT_EQ(importer_->counts().spellings_left, 0);
}

TEST_F(ImporterTest, FieldsHaveOtherNames) {
  ImportRules rules;
  rules.fields = {.text = "body.text", .id = "meta.key"};
  const Rows rows =
      run("{\"body\": {\"text\": \"ab\"}, \"meta\": {\"key\": 5}, \"text\": \"no\", \"context\": \"no\"}\n"
          "{\"body.text\": \"cd\", \"meta\": {}}\n"
          "{\"text\": \"ab\"}\n"
          "{\"body\": \"ab\"}\n"
          "{\"body\": {\"text\": 5}}\n",
          rules);
  EXPECT_EQ(rows.rows, (std::vector<Row>{{{'a', 'b'}, 1, "5"}, {{'c', 'd'}, 1, "d.jsonl:2"}}));
  ASSERT_EQ(rows.rejects.size(), 3u);
  EXPECT_NE(rows.rejects[0].second.find("expected exactly one of body.text, found none"), std::string::npos);
  EXPECT_NE(rows.rejects[2].second.find("\"body.text\": expected a string, found 5"), std::string::npos);

  rules.fields = {.context = "q", .continuation = "a.b"};
  const Rows pairs = run("{\"q\": \"x\", \"a\": {\"b\": \"y\"}, \"text\": \"no\"}\n{\"q\": \"x\"}\n", rules);
  EXPECT_EQ(pairs.rows, (std::vector<Row>{{{'x', 'y'}, 1, "d.jsonl:1"}}));
  EXPECT_NE(pairs.rejects.at(0).second.find("\"a.b\" is missing"), std::string::npos);
}

TEST_F(ImporterTest, WindowsOfADocumentBelongTogether) {
  ImportRules rules;
  rules.max_tokens = 4;
  rules.overlap = 1;
  rules.join = true;
  const Rows rows =
      run("{\"text\": \"abcdef\", \"id\": \"long\"}\n{\"text\": \"x\"}\nbad\n"
          "{\"context\": \"a\", \"continuation\": \"b\"}\n",
          rules);
  EXPECT_EQ(rows.rows, (std::vector<Row>{{{'a', 'b', 'c', 'd'}, 1, "long"},
                                         {{'c', 'd', 'e', 'f'}, 2, "long"},
                                         {{'x'}, 1, "d.jsonl:2"},
                                         {{'a', 'b'}, 1, "d.jsonl:4"}}));
  EXPECT_EQ(rows.document_ends, (std::vector<size_t>{2, 3, 4}));
  EXPECT_EQ(importer_->counts().split, 1);
}

TEST_F(ImporterTest, NamesOtherFieldsOnce) {
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += fmt::format("{{\"text\":\"x\",\"meta\":1,\"field{}\":2}}\n", i);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run(lines).rows.size(), 100u);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(log.find("\"meta\""), log.rfind("\"meta\""));
  EXPECT_NE(log.find("\"meta\""), std::string::npos);
  EXPECT_NE(log.find("\"field0\""), std::string::npos);
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 33);  // 32 names, then that no more are named
}

// Every line that is no record is a reject with its number, and those between them are records.
TEST_F(ImporterTest, BrokenLines) {
  const std::string_view broken[] = {
      "broken",
      "{",
      "}",
      "[]",
      "5",
      "null",
      "\"text\"",
      "{}",
      R"({"text": "a")",
      R"({"text": "a})",
      R"({"text": "a"}})",
      R"({"text": "a"} {"text": "b"})",
      R"({"text": "a",})",
      R"({text: "a"})",
      R"({'text': 'a'})",
      R"({"text": "a" "id": "b"})",
      R"({"text"})",
      R"({"text": "a\x"})",
      R"({"text": "\ud800"})",
      "{\"text\": \"\xff\"}",
      "{\"text\": \"\xed\xa0\x80\"}",
      "{\"text\": \"a\tb\"}",
      R"({"text": NaN})",
      R"({"text": "a", "id": Infinity})",
      R"({"text": "a", "text": "b"})",
      R"({"text": ""})",
      R"({"text": 5})",
      R"({"text": ["a"]})",
      R"({"text": {"a": 1}})",
      R"({"text": null})",
      R"({"TEXT": "a"})",
      R"({"text": "a", "tokens": [1]})",
      R"({"text": "a", "continuation": "b"})",
      R"({"context": "a"})",
      R"({"continuation": "a"})",
      R"({"context": "", "continuation": "a"})",
      R"({"context": "", "continuation": ""})",
      R"({"context": "a", "continuation": 5})",
      R"({"context": ["a"], "continuation": "b"})",
      R"({"tokens": []})",
      R"({"tokens": "1 2"})",
      R"({"tokens": [1.5]})",
      R"({"tokens": [-1]})",
      R"({"tokens": [2147483648]})",
      R"({"tokens": [true]})",
      R"({"context_tokens": [1]})",
      R"({"context_tokens": [], "continuation_tokens": [1]})",
      R"({"messages": [{"role": "user", "content": "a"}]})",
      R"({"text": "a", "id": 1.5})",
      R"({"text": "a", "id": "x\u0000"})",
      R"({"text": "a", "id": ["x"]})",
      R"({"text": "a", "label": 1.5})",
      R"({"text": "a", "label": {}})",
      R"({"text": "a", "deep": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]})",
      R"({"text": "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"})",
  };
  std::string lines;
  for (const std::string_view line : broken) lines += std::string(line) + "\n{\"text\": \"good\"}\n";
  lines += std::string("{\"text\": \"a\0\"}", 13);  // a NUL, and no line's end
  ImportRules rules;
  rules.max_line_bytes = 200;
  const Rows rows = run(lines, rules, 2);
  ASSERT_EQ(rows.rejects.size(), std::size(broken) + 1);
  for (size_t i = 0; i < rows.rejects.size(); ++i) {
    EXPECT_EQ(rows.rejects[i].first, 2 * static_cast<int64_t>(i) + 1);
    EXPECT_FALSE(rows.rejects[i].second.empty());
  }
  EXPECT_EQ(rows.rows.size(), std::size(broken));
  EXPECT_EQ(rows.rows.back().id, fmt::format("d.jsonl:{}", 2 * std::size(broken)));
}

}  // namespace
}  // namespace switchyard
