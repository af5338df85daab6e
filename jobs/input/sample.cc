#include "jobs/input/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "base/hash.h"
#include "base/log.h"
#include "import/import_file.h"
#include "io/file.h"
#include "io/json.h"
#include "io/record_ids.h"

namespace switchyard {
namespace {

constexpr int64_t kAtOnce = 1 << 16;  // records, or documents

/// The sample's fields that a command asks for; where the whole input lies does not matter.
Json asked_for(const ScoringInput& input, int64_t tokens) {
  return {{"sample_tokens", tokens}, {"records", input.num_records()}, {"tokens", input.num_tokens()}};
}

Json origin_of_sample(const std::filesystem::path& path) {
  const std::string origin = ScoringInput(path).origin(), subject = path.native() + ": origin";
  Json json = origin.empty() ? Json::object() : parse_json(origin, subject);
  if (find_field(json, kSampleOf) == nullptr)
    fail(ExitCode::mismatch, "{}: expected a sample that --sample-tokens has taken, found an input of other origin",
         path.native());
  return json;
}

/// The hash of the sample that is there, if it is of so many tokens of an input of as many.
std::string hash_of_same(const ScoringInput& input, int64_t tokens, const std::filesystem::path& output) {
  const Json there = origin_of_sample(output), asked = asked_for(input, tokens);
  for (const auto& [name, value] : asked.items())
    if (const Json* found = find_field(there, name); found == nullptr || *found != value)
      fail(ExitCode::mismatch, "{}: the run's input is another sample: {}: the run has {}, this command {}",
           output.native(), name, found == nullptr ? "none" : brief(*found), brief(value));
  return require_string(there, "hash", output.native());
}

/// What is chosen: for its digest and, where there is one, for the file.
class Sample {
 public:
  Sample(const ScoringInput& input, ScoringInputWriter* writer) : input_(input), writer_(writer) {}

  /// Of records that are chosen together.
  void add(std::span<const ScoringInput::Record> records) {
    std::vector<int64_t> tokens;
    for (const ScoringInput::Record& record : records) {
      input_.tokens(record, tokens);
      std::vector<int32_t> ids;
      constexpr int64_t kNone = -1;  // of a token that no vocabulary has: the job will reject it as well
      for (const int64_t token : tokens)
        ids.push_back(static_cast<int32_t>(token < 0 || token > std::numeric_limits<int32_t>::max() ? kNone : token));
      add(ids, static_cast<int32_t>(record.context), id_of(record.index));
    }
    num_records_ += std::ssize(records);
    if (writer_ != nullptr && input_.joined()) writer_->end_document();
  }
  int64_t num_records() const { return num_records_; }
  int64_t num_tokens() const { return num_tokens_; }
  std::string hash() const { return hasher_.digest().hex(); }

 private:
  void add(const std::vector<int32_t>& ids, int32_t context, const std::string& id) {
    hasher_.update(fmt::format("{} {} {}\n", ids.size(), context, to_text(Json(id))));
    hasher_.update(std::span<const int32_t>(ids));
    num_tokens_ += std::ssize(ids);
    if (writer_ != nullptr) writer_->add(ids, context, id, "");
  }
  /// Its own, or its place in the whole input.
  std::string id_of(int64_t record) const {
    if (!input_.has_ids()) return std::to_string(record);
    const Json id = RecordIds(input_, record, 1).json(0);
    const std::string text = id.is_string() ? id.get<std::string>() : id.dump();
    return text.empty() ? std::to_string(record) : text;
  }

  const ScoringInput& input_;
  ScoringInputWriter* writer_;
  Hasher hasher_;
  int64_t num_records_ = 0, num_tokens_ = 0;
};

/// visit(records) of every document, or record, in order.
template <class Visit>
void for_each_unit(const ScoringInput& input, const std::function<void()>& poll, const Visit& visit) {
  const int64_t units = input.joined() ? input.num_documents() : input.num_records();
  for (int64_t first = 0; first < units; first += kAtOnce) {
    poll();
    const int64_t count = std::min(kAtOnce, units - first);
    if (!input.joined()) {
      for (const ScoringInput::Record& record : input.records(first, count)) visit(std::span(&record, 1));
      continue;
    }
    const std::vector<int64_t> offsets = input.document_offsets(first, count);
    const std::vector<ScoringInput::Record> records = input.records(offsets.front(), offsets.back() - offsets.front());
    for (size_t i = 0; i + 1 < offsets.size(); ++i)
      visit(std::span(records).subspan(static_cast<size_t>(offsets[i] - offsets.front()),
                                       static_cast<size_t>(offsets[i + 1] - offsets[i])));
  }
}

}  // namespace

EvenChoice::EvenChoice(double share) : share_(share) {
  constexpr double kGoldenRatio = 0.6180339887498949;
  for (size_t i = 0; i < kClasses; ++i) due_[i] = std::fmod(static_cast<double>(i + 1) * kGoldenRatio, 1.0);
}

bool EvenChoice::takes(int64_t length) {
  const auto octaves = length > 0 ? 8 * std::log2(static_cast<double>(length)) + 1 : 0;
  double& due = due_[std::min(static_cast<size_t>(octaves), kClasses - 1)];
  due += share_;
  if (due < 1) return false;
  due -= 1;
  return true;
}

void require_same_sample(const ScoringInput& input, int64_t tokens, const std::filesystem::path& output) {
  hash_of_same(input, tokens, output);
}

bool provide_sample(const ScoringInput& input, int64_t tokens, const std::filesystem::path& output,
                    const std::function<void()>& poll) {
  const bool is_there = file_exists(output);
  const std::string hash_there = is_there ? hash_of_same(input, tokens, output) : "";
  std::optional<ScoringInputWriter> writer;
  if (!is_there) writer.emplace(output, InputExtras{.documents = input.joined()});
  Sample sample(input, writer ? &*writer : nullptr);
  EvenChoice choice(
      std::min(1.0, static_cast<double>(tokens) / static_cast<double>(std::max<int64_t>(1, input.num_tokens()))));
  int64_t seen = 0;
  for_each_unit(input, poll, [&](std::span<const ScoringInput::Record> records) {
    int64_t length = 0;
    for (const ScoringInput::Record& record : records) length += record.length;
    if (++seen % 1024 == 0) poll();
    if (choice.takes(length)) sample.add(records);
  });
  if (sample.num_records() == 0)
    fail(ExitCode::usage, "--sample-tokens {}: expected enough for a record: {} has {} records of {} tokens", tokens,
         input.path().native(), input.num_records(), input.num_tokens());
  if (is_there) {
    if (hash_there != sample.hash())
      fail(ExitCode::mismatch, "{}: the run's input is another sample: it holds other records than {} has",
           output.native(), input.path().native());
    return false;
  }
  Json origin = asked_for(input, tokens);
  origin[std::string(kSampleOf)] = path_to_json(absolute_path(input.path(), ExitCode::input));
  origin["hash"] = sample.hash();
  writer->finish(input.tokenizer(), to_text(origin));
  log::info("--sample-tokens: {} of {} tokens, in {} of {} records", sample.num_tokens(), input.num_tokens(),
            sample.num_records(), input.num_records());
  return true;
}

}  // namespace switchyard
