// That records are encoded, and documents cut into windows, as lm-evaluation-harness does.
#include <gtest/gtest.h>

#include <utility>

#include "import/importer.h"
#include "tests/support/lm_eval_golden.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;
/// A document's records: what is given, and what is scored.
using Windows = std::vector<std::pair<Ids, Ids>>;

class KeepingSink : public RecordSink {
 public:
  void record(std::span<const int32_t> tokens, int64_t context, const std::string& /*id*/,
              const std::string& /*label*/) override {
    const auto scored = tokens.begin() + context;
    open_.push_back({{tokens.begin(), scored}, {scored, tokens.end()}});
  }
  void end_document() override { documents.push_back(std::exchange(open_, {})); }
  void reject(const Document& document) override {
    ADD_FAILURE() << "line " << document.line.value_or(0) << ": " << document.reject;
    end_document();
  }

  std::vector<Windows> documents;

 private:
  Windows open_;
};

std::vector<Windows> import_lines(const std::string& lines, const std::string& tokenizer, ImportRules rules) {
  rules.special_in_text = true;
  const test::TemporaryDirectory directory;
  const auto opened = open_tokenizer(tokenizer);
  KeepingSink sink;
  Importer({{directory.write("records.jsonl", lines)}}, rules, *opened, 2).run(sink);
  return sink.documents;
}

void expect_encoded(const std::vector<Json>& requests, const std::string& tokenizer) {
  const auto found = import_lines(test::request_lines(requests), tokenizer, {});
  ASSERT_EQ(found.size(), requests.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const Json& request = requests[i];
    EXPECT_EQ(found[i], (Windows{{request.at("context_enc"), request.at("continuation_enc")}})) << request;
  }
}

TEST(LmEval, RequestsHaveTheirTokens) {
  expect_encoded(test::requests_of(test::lm_eval_golden().at("choices").at("items")), test::kLmEvalModel);
}

TEST(LmEval, RequestsHaveTheirTokensWhereTextsGetBos) {
  const Json golden = test::lm_eval_golden();
  const Json& bos = golden.at("bos");
  const std::string tokenizer = bos.at("tokenizer");
  expect_encoded(bos.at("requests"), SWITCHYARD_TEST_DATA "/tokenizers/" + tokenizer + ".json");
}

TEST(LmEval, DocumentsHaveTheirWindows) {
  const Json golden = test::lm_eval_golden();
  const Json& rolling = golden.at("rolling");
  const std::vector<Json> documents = rolling.at("documents");
  ImportRules rules;
  rules.bos = rolling.at("prefix_token").dump();
  rules.max_tokens = rolling.at("max_length").get<int64_t>() + 1;
  rules.overlap = 1;
  rules.join = true;
  const auto found = import_lines(test::lines_of(documents, {"text"}), test::kLmEvalModel, rules);
  ASSERT_EQ(found.size(), documents.size());
  for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], documents[i].at("windows").get<Windows>()) << i;
}

}  // namespace
}  // namespace switchyard
