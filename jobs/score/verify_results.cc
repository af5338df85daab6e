#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <functional>
#include <numeric>
#include <optional>
#include <utility>

#include "io/file.h"
#include "io/record_ids.h"
#include "io/seal.h"
#include "jobs/score/document_ids.h"
#include "jobs/score/document_joiner.h"
#include "jobs/score/results.h"
#include "jobs/score/results_reader.h"

namespace switchyard {
namespace {

/// rejects.jsonl line by line, in step with the chunks.
class RejectsCursor {
 public:
  struct Line {
    int64_t record = 0;
    std::string id, reason;  ///< id: as JSON; empty: none
  };

  explicit RejectsCursor(const std::filesystem::path& path) : path_(path), file_(open_lines(path)) {
    if (!file_.is_open()) fail(ExitCode::input, "{}: is missing", path.native());
    advance();
  }

  /// The lines up to record `end`.
  std::vector<Line> until(int64_t end) {
    std::vector<Line> lines;
    for (; next_ && next_->record < end; advance()) lines.push_back(*next_);
    return lines;
  }
  bool at_end() const { return !next_; }

 private:
  void advance() {
    next_.reset();
    std::string text;
    if (!std::getline(file_, text)) return;
    const Json json = parse_json(text, path_.native());
    next_ = Line{require_int(json, "record", path_.native(), 0, INT64_MAX), "",
                 require_string(json, "reason", path_.native())};
    if (const Json* id = find_field(json, "id")) next_->id = to_text(*id);
  }

  std::filesystem::path path_;
  std::ifstream file_;
  std::optional<Line> next_;
};

void compare_columns(int64_t chunk, const ResultRows& shard, const ResultRows& results,
                     std::vector<std::string>& findings) {
  const auto compare = [&](std::string_view name, bool same) {
    if (!same) findings.push_back(fmt::format("chunk {}: {} of results.h5 differs from the shard", chunk, name));
  };
  for (size_t i = 0; i < shard.columns.size(); ++i) {
    const ColumnValues &a = shard.columns[i], &b = results.columns[i];
    compare(a.column->offsets_dataset(), a.offsets == b.offsets);
    compare(a.column->values_dataset(), a.bytes == b.bytes);
  }
}

/// Chunk by chunk: what is wrong, said once for each kind of thing. A record of the results is a document, in the
/// shards it is a piece of one.
class Verification {
 public:
  Verification(const ShardSet& shards, const ScoringInput* input)
      : shards_(shards),
        input_(input),
        have_shards_(!shards.units.present(shards.run.root()).empty()),
        results_(shards.run.results_path(), shards.options),
        rejects_(shards.run.rejects_path()),
        joiner_(input, shards.options),
        expert_tokens_(read_expert_tokens(shards.run)),
        shards_expert_tokens_(ExpertCounts::zeros(expert_tokens_.layers, expert_tokens_.experts)) {
    if (input == nullptr) return;
    if (input->joined()) cursor_.emplace(*input);
    const bool ids = results_.ids().has_value();
    if (input->has_ids() != ids)
      find("results.h5 has {}ids, the input {}", ids ? "" : "no ", ids ? "none" : "some");
    else if (ids && (results_.ids()->kind() == h5::Kind::string) != input->ids_are_strings())
      find("the ids of results.h5 are of another type than the input's");
    if (input->has_ids()) ids_.emplace(*input, shards.units);
  }

  std::vector<std::string> run() {
    try {
      verify_chunks();
    } catch (const Error& error) {  // columns that do not fit each other
      findings_.emplace_back(error.what());
    }
    return std::move(findings_);
  }

 private:
  void verify_chunks() {
    for (int64_t chunk = 0; chunk < shards_.units.total && findings_.empty(); ++chunk) verify(chunk);
    if (findings_.empty()) check_expert_tokens();
    if (findings_.empty() && (rows_left() > 0 || !rejects_.at_end()))
      find("results.h5 and rejects.jsonl hold more than the {} of the input",
           cursor_ ? fmt::format("{} documents", input_->num_documents())
                   : fmt::format("{} records", shards_.units.items_total));
  }

  template <class... Args>
  void find(fmt::format_string<Args...> format, Args&&... args) {
    findings_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  int64_t rows_left() const { return results_.rows() - next_row_; }

  void verify(int64_t chunk) {
    const ChunkResult expected = have_shards_ ? read_shard(chunk) : numbers_of(chunk);
    const int64_t first = expected.first_record, end = first + expected.num_records;
    const auto rejects = rejects_.until(end);
    const int64_t count = end - first - std::ssize(rejects);
    if (count < 0 || count > rows_left())
      return find("chunk {}: {} rows expected in results.h5, {} left", chunk, count, rows_left());
    const int64_t first_row = std::exchange(next_row_, next_row_ + count);
    const ResultRows rows = results_.read(first_row, count);
    if (!check_every_record_once(first, end, rows.records(), rejects)) return;
    if (input_ != nullptr && !have_shards_) count_tokens(first, input_->document_offsets(first, end - first), rejects);
    if (ids_) compare_ids(first, end, first_row, rows.records(), rejects);
    if (have_shards_) compare(expected, rows, rejects);
  }

  /// What the results must hold of it.
  ChunkResult read_shard(int64_t chunk) {
    ChunkResult shard = shards_.read(chunk);
    shards_expert_tokens_.add(shard.expert_tokens);
    if (input_ != nullptr) {
      std::vector<int64_t> records(static_cast<size_t>(shard.num_records) + 1);
      std::iota(records.begin(), records.end(), shard.first_record);
      count_tokens(shard.first_record, records, shard.rejects);
    }
    return joiner_.add(std::move(shard));
  }

  /// Without its shard: which documents end in it.
  ChunkResult numbers_of(int64_t chunk) {
    ChunkResult numbers;
    numbers.first_record = shards_.units.first_item(chunk);
    numbers.num_records = shards_.units.items_in(chunk);
    if (!cursor_) return numbers;
    const int64_t end = numbers.first_record + numbers.num_records;
    numbers.first_record = cursor_->index();
    while (!cursor_->at_end() && cursor_->end() <= end) cursor_->next();
    numbers.num_records = cursor_->index() - numbers.first_record;
    return numbers;
  }

  bool check_every_record_once(int64_t first, int64_t end, std::span<const int64_t> rows,
                               std::span<const RejectsCursor::Line> rejects) {
    size_t row = 0, reject = 0;
    for (int64_t record = first; record < end; ++record) {
      if (row < rows.size() && rows[row] == record) {
        ++row;
      } else if (reject < rejects.size() && rejects[reject].record == record) {
        ++reject;
      } else {
        find("record {} is neither in results.h5 nor in rejects.jsonl, or twice", record);
        return false;
      }
    }
    return true;
  }

  /// Those that went through the model, of records that were accepted or rejected together: the i-th such unit from
  /// `first` on is records [offsets[i], offsets[i+1]). Of a rejected one of several nobody can say.
  template <class Rejects>
  void count_tokens(int64_t first, std::span<const int64_t> offsets, const Rejects& rejects) {
    auto reject = rejects.begin();
    size_t unit = 0;
    for (int64_t begin = offsets.front(); begin < offsets.back(); begin += IdHasher::kBlock)
      for (const auto& record : input_->records(begin, std::min(IdHasher::kBlock, offsets.back() - begin))) {
        while (record.index >= offsets[unit + 1]) ++unit;
        while (reject != rejects.end() && reject->record < first + static_cast<int64_t>(unit)) ++reject;
        const bool rejected = reject != rejects.end() && reject->record == first + static_cast<int64_t>(unit);
        const bool alone = offsets[unit + 1] - offsets[unit] == 1;
        const bool computed = rejected && alone ? reject->reason == kNotFinite : needs_model(record, shards_.options);
        if (computed) (rejected && !alone ? unknown_tokens_ : tokens_) += record.length;
      }
  }

  /// A layer gives each token to as many experts as the model has per token, or is dense and has none.
  void check_expert_tokens() {
    if (have_shards_ && expert_tokens_ != shards_expert_tokens_)
      return find("{} of results.h5 differs from the sum over the shards", kExpertTokens);
    if (input_ == nullptr) return;
    int64_t least = tokens_, most = tokens_ + unknown_tokens_;
    if (least > 0 && std::ranges::none_of(expert_tokens_.tokens, std::identity()))
      return find("{} of results.h5 are all zero, but {} tokens were computed", kExpertTokens, tokens_);
    for (int64_t layer = 0; layer < expert_tokens_.layers; ++layer) {
      const int64_t found = expert_tokens_.of_layer(layer), tokens = found / shards_.experts_per_token;
      if (found == 0) continue;
      if (tokens < least || tokens > most || tokens * shards_.experts_per_token != found)
        return find("{} of results.h5, layer {}: {} tokens went through {} experts each, but the sum is {}",
                    kExpertTokens, layer, least == most ? fmt::to_string(least) : fmt::format("{} to {}", least, most),
                    shards_.experts_per_token, found);
      least = most = tokens;  // as many in every other layer
    }
  }

  void compare_ids(int64_t first, int64_t end, int64_t first_row, std::span<const int64_t> rows,
                   std::span<const RejectsCursor::Line> rejects) {
    size_t row = 0, reject = 0;
    for (int64_t begin = first; begin < end; begin += IdHasher::kBlock) {
      const int64_t count = std::min(IdHasher::kBlock, end - begin);
      const auto num_rows =
          std::lower_bound(rows.begin(), rows.end(), begin + count) - rows.begin() - static_cast<std::ptrdiff_t>(row);
      std::vector<int64_t> begins = input_->document_offsets(begin, count);
      begins.pop_back();
      const RecordIds expected = ids_->of(begins);
      const RecordIds found(*results_.ids(), first_row + static_cast<int64_t>(row), num_rows);
      const size_t block_row = row;
      for (int64_t i = 0; i < count; ++i) {
        const std::string id = to_text(expected.json(i));
        const bool is_row = row < rows.size() && rows[row] == begin + i;
        const std::string there =
            is_row ? to_text(found.json(static_cast<int64_t>(row - block_row))) : rejects[reject].id;
        (is_row ? row : reject) += 1;
        if (there != id)
          return find("record {}: its id in {} is {}, in the input {}", begin + i,
                      is_row ? "results.h5" : "rejects.jsonl", there.empty() ? "missing" : there, id);
      }
    }
  }

  void compare(const ChunkResult& expected, const ResultRows& rows, std::span<const RejectsCursor::Line> rejects) {
    compare_columns(expected.chunk, expected.accepted, rows, findings_);
    const bool same = std::ranges::equal(expected.rejects, rejects, [](const Reject& a, const auto& b) {
      return a.record == b.record && a.reason == b.reason;
    });
    if (!same) find("chunk {}: rejects.jsonl differs from the shard", expected.chunk);
  }

  const ShardSet& shards_;
  const ScoringInput* input_;  ///< null: it is not there to compare with
  const bool have_shards_;
  ResultsReader results_;
  int64_t next_row_ = 0;
  RejectsCursor rejects_;
  DocumentJoiner joiner_;
  std::optional<DocumentCursor> cursor_;  ///< of a joined input
  std::optional<DocumentIds> ids_;        ///< of the input, if it has them
  const ExpertCounts expert_tokens_;      ///< of results.h5
  ExpertCounts shards_expert_tokens_;     ///< their sum
  int64_t tokens_ = 0;                    ///< that went through the model, by the input
  int64_t unknown_tokens_ = 0;            ///< that may have
  std::vector<std::string> findings_;
};

std::vector<std::string> verify_columns(const ShardSet& shards, const ScoringInput* input) {
  try {
    return Verification(shards, input).run();
  } catch (const Error& error) {
    return {error.what()};
  }
}

/// Of a file whose bytes are not ours any more: in a child process, for HDF5 does not survive every one of them.
std::vector<std::string> verify_in_child(const ShardSet& shards, const ScoringInput* input) {
  constexpr rlim_t kCpuSeconds = 600;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail_errno(ExitCode::environment, "cannot make", "a pipe");
  const FileDescriptor from(ends[0]);
  FileDescriptor to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0)
    fail_errno(ExitCode::environment, "cannot start a child process to read", shards.run.results_path().native());
  if (child == 0) {
    const rlimit cpu{kCpuSeconds, kCpuSeconds};
    ::setrlimit(RLIMIT_CPU, &cpu);
    const std::string text = to_text(Json(verify_columns(shards, input)));
    const bool told = ::write(to.get(), text.data(), text.size()) == std::ssize(text);
    ::_exit(told ? 0 : 1);
  }
  to.reset();
  std::string text;
  char block[4096];
  for (ssize_t n = 0; (n = ::read(from.get(), block, sizeof block)) > 0 || (n < 0 && errno == EINTR);)
    if (n > 0) text.append(block, static_cast<size_t>(n));
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  const auto findings = parse_json_if_whole(text);
  return findings ? findings->get<std::vector<std::string>>()
                  : std::vector<std::string>{"results.h5: HDF5 does not survive reading it"};
}

}  // namespace

std::vector<std::string> verify_results(const ShardSet& shards, const ScoringInput* input) {
  const Seal seal = examine_seal(shards.run.results_path());
  if (seal == Seal::good) return verify_columns(shards, input);
  std::vector<std::string> findings = verify_in_child(shards, input);
  findings.insert(findings.begin(), fmt::format("{}: {}", shards.run.results_path().native(), describe(seal)));
  return findings;
}

}  // namespace switchyard
