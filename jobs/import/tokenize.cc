// `switchyard tokenize`: a text's token ids and pieces, ids back to text, a corpus counted.
#include "jobs/import/tokenize.h"

#include <algorithm>
#include <iostream>

#include "base/log.h"
#include "base/number.h"
#include "base/thread_pool.h"
#include "import/importer.h"
#include "io/json.h"
#include "io/text_stream.h"
#include "jobs/job.h"
#include "jobs/options/limits.h"
#include "jobs/options/text_options.h"
#include "tokens/framing.h"

namespace switchyard {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

std::string read_all(const std::string& path) {
  TextStream stream(path);
  std::string text;
  for (std::string block(size_t{1} << 18, '\0'); stream.read(block), !block.empty(); block.resize(size_t{1} << 18)) {
    text += block;
    if (text.size() > kMaxTextBytes)
      fail(ExitCode::input, "{}: expected a text of at most {} bytes (--count takes larger ones)", path, kMaxTextBytes);
  }
  return text;
}

/// What this program prints (ID, a tab, a piece), or numbers with blanks, commas or brackets between them.
std::vector<int32_t> read_ids(const std::string& text, const std::string& path) {
  constexpr std::string_view kBetween = " \t\r\n,[]";
  std::vector<int32_t> ids;
  size_t line_begin = 0;
  for (int64_t number = 1; line_begin < text.size(); ++number) {
    const size_t line_end = std::min(text.find('\n', line_begin), text.size());
    std::string_view line(text.data() + line_begin, line_end - line_begin);
    line_begin = line_end + 1;
    line = line.substr(0, line.find('\t'));
    while (true) {
      line.remove_prefix(std::min(line.find_first_not_of(kBetween), line.size()));
      if (line.empty()) break;
      const std::string_view word = line.substr(0, line.find_first_of(kBetween));
      const int32_t id = number_in<int32_t>(word).value_or(-1);
      if (id < 0)
        fail(ExitCode::input, "{}:{}: expected token ids, found {}", path, number, brief(Json(std::string(word))));
      ids.push_back(id);
      line.remove_prefix(word.size());
    }
  }
  return ids;
}

void print_tokens(const Tokenizer& tokenizer, const TokenizeOptions& options, const std::string& path) {
  const Framing framing = choose_framing(options.bos, tokenizer);
  std::vector<int32_t> ids = framing.of_text.before;
  const std::string text = read_all(path);
  tokenizer.encode(text, ids, {.special_in_text = options.special_in_text});
  ids.insert(ids.end(), framing.of_text.behind.begin(), framing.of_text.behind.end());
  for (const int32_t id : ids) std::cout << id << '\t' << to_text(Json(tokenizer.piece(id).value_or(""))) << '\n';
}

void print_text(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  const auto is_none = [&](int32_t id) { return !tokenizer.piece(id); };
  if (const auto none = std::ranges::find_if(ids, is_none); none != ids.end())
    log::warning("{} ids are no tokens of {} and left out, the first: {}", std::ranges::count_if(ids, is_none),
                 tokenizer.name(), *none);
  std::cout << tokenizer.decode(ids);
}

/// Looks at records, and keeps none.
class NoSink : public RecordSink {
 public:
  void record(std::span<const int32_t>, int64_t, const std::string&, const std::string&) override {}
  void end_document() override {}
  void reject(const Document& document) override {
    if (rejects_++ < kMostNamed) log::warning("{}:{}: {}", document.source, document.line.value_or(1), document.reject);
  }

 private:
  static constexpr int64_t kMostNamed = 10;
  int64_t rejects_ = 0;
};

ExitCode print_counts(const Tokenizer& tokenizer, const TokenizeOptions& options, const std::string& path) {
  ImportRules rules;
  rules.bos = options.bos;
  rules.special_in_text = options.special_in_text;
  rules.max_tokens = INT32_MAX;
  const int threads = options.threads > 0 ? static_cast<int>(options.threads) : available_cores();
  Importer importer({{path, format_by_name(path).value_or(Format::text)}}, rules, tokenizer, threads);
  NoSink sink;
  const ImportCounts& counts = importer.run(sink);
  importer.log_notes();
  Json json;
  json["bytes"] = importer.sources().front().bytes;
  json["documents"] = counts.documents;
  json["tokens"] = counts.tokens;
  json["longest"] = counts.longest;
  json["rejects"] = counts.rejects;
  std::cout << to_text(json) << '\n';
  return counts.rejects == 0 ? ExitCode::complete : ExitCode::too_many_rejects;
}

}  // namespace

void TokenizeOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("what", &what, "TOKENIZER [FILE]",
        "a tokenizer.json, a directory that has one, or bytes; and a file (- or none: standard input)");
  o.positional("what");
  o.require("what");
  o.add("decode", &decode, "", "the file has token ids: print their text");
  o.add("count", &count, "", "count documents and tokens of the file: a text, or .jsonl, .csv, .tsv (also .gz)");
  o.add("bos", &bos, "TOKEN", "what is put around a text, as for import");
  o.add("special-tokens-in-text", &special_in_text, "", "what spells a special token in a text is that token");
  o.add("threads", within(&threads, 0, kMaxThreads), "N", "threads for --count (0: all cores)");
}

int run_tokenize(Runtime& runtime, std::span<const std::string> args) {
  TokenizeOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "tokenize", args)) return 0;
  if (options.what.size() > 2)
    fail(ExitCode::usage, "tokenize: expected a tokenizer and one file, found {} words", options.what.size());
  if (options.decode && options.count) fail(ExitCode::usage, "tokenize: --decode and --count exclude each other");
  const auto tokenizer = open_tokenizer(options.what[0]);
  const std::string path = options.what.size() == 2 ? options.what[1] : std::string(kStandardInput);
  if (options.count) return static_cast<int>(print_counts(*tokenizer, options, path));
  if (options.decode)
    print_text(*tokenizer, read_ids(read_all(path), path));
  else
    print_tokens(*tokenizer, options, path);
  return static_cast<int>(ExitCode::complete);
}

}  // namespace switchyard
