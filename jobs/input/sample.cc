#include "jobs/input/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/log.h"
#include "io/file.h"
#include "io/json.h"
#include "io/record_ids.h"

namespace switchyard {
namespace {

constexpr int64_t kAtOnce = 1 << 16;  // records, or documents

std::string origin_of(const ScoringInput& input, int64_t tokens) {
  return to_text({{"sample_of", path_to_json(absolute_path(input.path(), ExitCode::input))},
                  {"records", input.num_records()},
                  {"tokens", input.num_tokens()},
                  {"sample_tokens", tokens}});
}

/// Copies records that are chosen together.
class SampleWriter {
 public:
  SampleWriter(const ScoringInput& input, const std::filesystem::path& output)
      : input_(input), writer_(output, {.documents = input.joined()}) {}

  void add(std::span<const ScoringInput::Record> records) {
    std::vector<int64_t> tokens;
    for (const ScoringInput::Record& record : records) {
      input_.tokens(record, tokens);
      std::vector<int32_t> ids;
      constexpr int64_t kNone = -1;  // of a token that no vocabulary has: the job will reject it as well
      for (const int64_t token : tokens)
        ids.push_back(static_cast<int32_t>(token < 0 || token > std::numeric_limits<int32_t>::max() ? kNone : token));
      writer_.add(ids, static_cast<int32_t>(record.context), id_of(record.index), "");
    }
    if (input_.joined()) writer_.end_document();
  }
  bool is_empty() const { return writer_.num_records() == 0; }
  void finish(const std::string& origin) {
    writer_.finish(input_.tokenizer(), origin);
    log::info("--sample-tokens: {} of {} tokens, in {} of {} records", writer_.num_tokens(), input_.num_tokens(),
              writer_.num_records(), input_.num_records());
  }

 private:
  /// Its own, or its place in the whole input.
  std::string id_of(int64_t record) const {
    if (!input_.has_ids()) return std::to_string(record);
    const Json id = RecordIds(input_, record, 1).json(0);
    const std::string text = id.is_string() ? id.get<std::string>() : id.dump();
    return text.empty() ? std::to_string(record) : text;
  }

  const ScoringInput& input_;
  ScoringInputWriter writer_;
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

bool provide_sample(const ScoringInput& input, int64_t tokens, const std::filesystem::path& output,
                    const std::function<void()>& poll) {
  const std::string origin = origin_of(input, tokens);
  if (file_exists(output) && ScoringInput(output).origin() == origin) return false;
  EvenChoice choice(
      std::min(1.0, static_cast<double>(tokens) / static_cast<double>(std::max<int64_t>(1, input.num_tokens()))));
  SampleWriter writer(input, output);
  int64_t seen = 0;
  for_each_unit(input, poll, [&](std::span<const ScoringInput::Record> records) {
    int64_t length = 0;
    for (const ScoringInput::Record& record : records) length += record.length;
    if (++seen % 1024 == 0) poll();
    if (choice.takes(length)) writer.add(records);
  });
  if (writer.is_empty())
    fail(ExitCode::usage, "--sample-tokens {}: expected enough for a record: {} has {} records of {} tokens", tokens,
         input.path().native(), input.num_records(), input.num_tokens());
  writer.finish(origin);
  return true;
}

}  // namespace switchyard
