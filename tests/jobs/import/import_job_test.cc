#include "jobs/import/import_job.h"

#include <gtest/gtest.h>

#include "io/input.h"
#include "io/json.h"
#include "tests/support/expect_error.h"
#include "tests/support/npy_bytes.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails;
using test::fails_input;
using test::npy_bytes;

struct Row {
  std::vector<int64_t> tokens;
  int64_t context;
  std::string id;
  bool operator==(const Row&) const = default;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << fmt::format("{}: [{}] context {}", row.id, fmt::join(row.tokens, " "), row.context);
}

std::vector<int64_t> bytes(std::string_view text) {
  return {text.begin(), text.end()};
}

class ImportJob : public ::testing::Test {
 protected:
  std::string write(std::string_view name, std::string_view content) {
    return directory_.write(name, content).string();
  }

  ImportOptions options() const {
    ImportOptions o;
    o.output = output_;
    return o;
  }

  std::vector<Row> rows() const {
    const ScoringInput input(output_);
    const auto ids = input.ids()->read_strings(0, input.num_records());
    std::vector<Row> rows;
    for (const auto& record : input.records(0, input.num_records())) {
      rows.push_back({{}, record.context, ids[static_cast<size_t>(record.index)]});
      input.tokens(record, rows.back().tokens);
    }
    return rows;
  }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path()))
      names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  test::TemporaryDirectory directory_;
  const std::string output_ = (directory_ / "out.h5").string(), rejects_ = output_ + ".rejects.jsonl";
};

TEST_F(ImportJob, TextFiles) {
  ImportOptions o = options();
  o.text = {write("a.txt", "abcdefg"), write("b.txt", "xy"), write("c.txt", "")};
  o.max_tokens = 4;
  o.overlap = 1;
  const ImportSummary summary = import_sources(o);
  EXPECT_EQ(rows(), (std::vector<Row>{
                        {bytes("abcd"), 1, "a.txt#0"}, {bytes("defg"), 1, "a.txt#1"}, {bytes("xy"), 1, "b.txt"}}));
  EXPECT_EQ(summary.documents, 2);
  EXPECT_EQ(summary.records, 3);
  EXPECT_EQ(summary.tokens, 10);
  EXPECT_EQ(summary.rejects, 1);
  EXPECT_EQ(summary.exit_code, ExitCode::too_many_rejects);
  EXPECT_EQ(summary.rejects_path, rejects_);
  const Json reject = parse_json(test::bytes_of_file(rejects_), "rejects");
  EXPECT_EQ(require_string(reject, "source", "rejects"), o.text[2]);
  EXPECT_NE(require_string(reject, "reason", "rejects").find("empty"), std::string::npos);
  EXPECT_FALSE(h5::Reader(output_).has("label"));
}

TEST_F(ImportJob, BosIsTheContextOfEveryPiece) {
  ImportOptions o = options();
  o.text = {write("a.txt", "abcdef")};
  o.bos = "256";
  o.max_tokens = 4;
  o.overlap = 2;
  import_sources(o);
  EXPECT_EQ(rows(), (std::vector<Row>{{{256, 'a', 'b', 'c'}, 1, "a.txt#0"},
                                      {{256, 'b', 'c', 'd'}, 3, "a.txt#1"},
                                      {{256, 'c', 'd', 'e'}, 3, "a.txt#2"},
                                      {{256, 'd', 'e', 'f'}, 3, "a.txt#3"}}));
  EXPECT_EQ(files(), (std::vector<std::string>{"a.txt", "out.h5"}));
}

TEST_F(ImportJob, JsonLines) {
  ImportOptions o = options();
  o.jsonl = {write("d.jsonl",
                   "{\"text\":\"hello\",\"id\":\"x\",\"label\":true}\n"
                   "\n"
                   "not json\n"
                   "{\"context\":\"ab\",\"continuation\":\"cd\",\"label\":\"no\"}\n"
                   "{\"context\":\"ab\",\"continuation\":\"\"}\n"
                   "{\"context\":\"\",\"continuation\":\"cd\"}\n"
                   "{\"context\":\"abc\",\"continuation\":\"def\"}\n"
                   "{\"tokens\":[3,2,1]}\n"
                   "{\"text\":\"abcdefg\",\"id\":5}\n")};
  o.max_tokens = 5;
  o.max_rejects = 4;
  const ImportSummary summary = import_sources(o);
  EXPECT_EQ(rows(), (std::vector<Row>{{bytes("hello"), 1, "x"},
                                      {bytes("abcd"), 2, "d.jsonl:4"},
                                      {{3, 2, 1}, 1, "d.jsonl:8"},
                                      {bytes("abcde"), 1, "5#0"},
                                      {bytes("fg"), 1, "5#1"}}));
  EXPECT_EQ(h5::Reader(output_).open("label").read_strings(0, 5), (std::vector<std::string>{"true", "no", "", "", ""}));
  EXPECT_EQ(summary.documents, 4);
  EXPECT_EQ(summary.rejects, 4);
  EXPECT_EQ(summary.exit_code, ExitCode::complete);

  std::vector<std::pair<int64_t, std::string>> rejects;
  std::istringstream lines(test::bytes_of_file(rejects_));
  for (std::string line; std::getline(lines, line);) {
    const Json reject = parse_json(line, "rejects");
    EXPECT_EQ(require_string(reject, "source", "rejects"), o.jsonl[0]);
    rejects.emplace_back(require_int(reject, "line", "rejects", 1, 100), require_string(reject, "reason", "rejects"));
  }
  ASSERT_EQ(rejects.size(), 4u);
  EXPECT_EQ(rejects[0].first, 3);
  EXPECT_EQ(rejects[1].first, 5);
  EXPECT_NE(rejects[1].second.find("no tokens of its own"), std::string::npos);
  EXPECT_EQ(rejects[2].first, 6);
  EXPECT_NE(rejects[2].second.find("--bos"), std::string::npos);
  EXPECT_EQ(rejects[3].first, 7);
  EXPECT_NE(rejects[3].second.find("6 tokens: expected at most 5"), std::string::npos);
}

TEST_F(ImportJob, JsonLinesWithBos) {
  ImportOptions o = options();
  o.jsonl = {write("d.jsonl",
                   "{\"context\":\"\",\"continuation\":\"cd\"}\n"
                   "{\"context\":\"ab\",\"continuation\":\"cd\"}\n"
                   "{\"context\":\"ab\",\"continuation\":\"cde\"}\n")};
  o.bos = "0";
  o.max_tokens = 5;
  const ImportSummary summary = import_sources(o);
  EXPECT_EQ(rows(), (std::vector<Row>{{{0, 'c', 'd'}, 1, "d.jsonl:1"}, {{0, 'a', 'b', 'c', 'd'}, 3, "d.jsonl:2"}}));
  EXPECT_EQ(summary.rejects, 1);
}

TEST_F(ImportJob, NumpyArrays) {
  ImportOptions o = options();
  o.npy = {write("v.npy", npy_bytes<uint16_t>({1, 2, 3, 65535})), write("o.npy", npy_bytes<int32_t>({0, 3, 3, 4}))};
  const ImportSummary summary = import_sources(o);
  EXPECT_EQ(rows(), (std::vector<Row>{{{1, 2, 3}, 1, "0"}, {{65535}, 1, "2"}}));
  EXPECT_EQ(summary.rejects, 1);
  EXPECT_EQ(require_int(parse_json(test::bytes_of_file(rejects_), "rejects"), "record", "rejects", 0, 9), 1);
}

TEST_F(ImportJob, ReplacesOlderFilesOnlyOnSuccess) {
  write("out.h5", "old");
  write("out.h5.rejects.jsonl", "old");
  ImportOptions o = options();
  o.text = {write("a.txt", "abc"), (directory_ / "gone.txt").string()};
  const auto before = files();
  EXPECT_TRUE(fails_input({"gone.txt"}, [&] { import_sources(o); }));
  EXPECT_EQ(test::bytes_of_file(output_), "old");
  EXPECT_EQ(test::bytes_of_file(rejects_), "old");
  EXPECT_EQ(files(), before);

  o.text.pop_back();
  EXPECT_EQ(import_sources(o).exit_code, ExitCode::complete);
  EXPECT_EQ(rows().size(), 1u);
  EXPECT_EQ(files(), (std::vector<std::string>{"a.txt", "out.h5"}));  // no rejects: the old list is gone
}

TEST_F(ImportJob, NothingButRejects) {
  ImportOptions o = options();
  o.jsonl = {write("d.jsonl", "{}\n[]\n")};
  const ImportSummary summary = import_sources(o);
  EXPECT_EQ(summary.rejects, 2);
  EXPECT_EQ(summary.records, 0);
  EXPECT_TRUE(rows().empty());
}

TEST_F(ImportJob, SameInputSameBytes) {
  ImportOptions o = options();
  o.jsonl = {write("d.jsonl", "{\"text\":\"hello\"}\n{\"text\":\"you\",\"id\":\"é\"}\n")};
  import_sources(o);
  const std::string first = test::bytes_of_file(output_);
  import_sources(o);
  EXPECT_EQ(test::bytes_of_file(output_), first);
}

TEST_F(ImportJob, ChecksItsOptions) {
  const auto refused = [&](auto change, std::string_view part) {
    ImportOptions o = options();
    o.text = {write("a.txt", "abc")};
    change(o);
    return fails(ExitCode::usage, {part}, [&] { import_sources(o); });
  };
  EXPECT_TRUE(refused([](auto& o) { o.text = {}; }, "exactly one of --text, --jsonl, --csv, --tsv, --npy, found none"));
  EXPECT_TRUE(refused([](auto& o) { o.jsonl = {"x"}; }, "found several"));
  EXPECT_TRUE(refused([](auto& o) { o.text = {}, o.npy = {"x"}; }, "--npy: expected two files"));
  EXPECT_TRUE(refused([](auto& o) { o.output = ""; }, "--output"));
  EXPECT_TRUE(refused([](auto& o) { o.tokenizer = "gpt2"; }, "bytes"));
  EXPECT_TRUE(refused([](auto& o) { o.max_tokens = 1; }, "--max-tokens 1"));
  EXPECT_TRUE(refused([](auto& o) { o.max_tokens = int64_t{1} << 31; }, "--max-tokens 2147483648"));
  EXPECT_TRUE(refused([](auto& o) { o.overlap = 1024; }, "--overlap 1024: expected an integer in 0 … 1023"));
  EXPECT_TRUE(refused([](auto& o) { o.overlap = 1023, o.bos = "0"; },
                      "--max-tokens 1024: expected more than --overlap 1023 and the 1 tokens"));
  EXPECT_TRUE(refused([](auto& o) { o.overlap = -1; }, "--overlap -1"));
  EXPECT_TRUE(refused([](auto& o) { o.bos = "-2"; }, "--bos -2"));
  EXPECT_TRUE(refused([](auto& o) { o.bos = "2147483648"; }, "--bos 2147483648"));
  EXPECT_TRUE(refused([](auto& o) { o.max_rejects = -1; }, "--max-rejects -1"));
  EXPECT_TRUE(refused([](auto& o) { o.max_line_bytes = 0; }, "--max-line-bytes 0"));
  EXPECT_TRUE(refused([](auto& o) { o.output = o.text[0]; }, "would be overwritten"));
  EXPECT_EQ(test::bytes_of_file(directory_ / "a.txt"), "abc");
}

TEST_F(ImportJob, TheRejectsMayNotOverwriteASource) {
  ImportOptions o = options();
  o.jsonl = {write("out.h5.rejects.jsonl", "{\"text\":\"again\"}\n")};
  EXPECT_TRUE(fails(ExitCode::usage, {"would be overwritten"}, [&] { import_sources(o); }));
}

TEST_F(ImportJob, NamesAnOutputThatCannotBeWritten) {
  ImportOptions o = options();
  o.text = {write("a.txt", "abc")};
  o.output = (directory_ / "gone/out.h5").string();
  EXPECT_TRUE(fails(ExitCode::output, {"gone"}, [&] { import_sources(o); }));
}

}  // namespace
}  // namespace switchyard
