#include "jobs/score/results.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <limits>
#include <utility>

#include "base/log.h"
#include "import/import_file.h"
#include "io/file.h"
#include "io/seal.h"

namespace switchyard {
namespace {

constexpr int64_t kBlock = 1 << 16;  // records of one read
constexpr size_t kMostReasons = 256;

__extension__ using Bytes = __int128;

/// At most a quarter of what fits, so that such numbers can be added.
uint64_t saturated(Bytes bytes) {
  return static_cast<uint64_t>(std::min<Bytes>(bytes, std::numeric_limits<uint64_t>::max() / 4));
}

/// The reason of a line of rejects.jsonl, the same for all that differ in numbers alone.
std::string kind_of_reject(const std::string& line) {
  const Json json = parse_json_if_whole(line).value_or(Json());
  const Json* reason = json.is_object() ? find_field(json, "reason") : nullptr;
  if (reason == nullptr || !reason->is_string()) return "unknown";
  const std::string text = reason->get<std::string>();
  const auto is_digit = [&](size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  const auto is_letter = [&](size_t i) { return i < text.size() && std::isalpha(static_cast<unsigned char>(text[i])); };
  const auto is_of_a_word = [&](size_t i) {  // as in UTF-8
    return (i > 0 && is_letter(i - 1)) || (i > 1 && text[i - 1] == '-' && is_letter(i - 2));
  };
  std::string kind;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool is_minus = text[i] == '-' && is_digit(i + 1) && (i == 0 || text[i - 1] == ' ');
    if (is_minus || (is_digit(i) && !is_of_a_word(i))) {
      kind += 'N';
      while (is_digit(i + 1)) ++i;
    } else {
      kind += text[i];
    }
  }
  return kind;
}

void add_rejects(const std::filesystem::path& path, ResultTotals& totals, const std::function<void()>& poll) {
  std::ifstream rejects = open_lines(path);
  const int64_t before = totals.rejects;
  for (std::string line; std::getline(rejects, line); ++totals.rejects) {
    if (totals.rejects == 0) totals.first_reject = line;
    const std::string kind = kind_of_reject(line);
    const bool counted = totals.rejects_by_reason.contains(kind) || totals.rejects_by_reason.size() < kMostReasons;
    ++totals.rejects_by_reason[counted ? kind : "others"];
    if (poll) poll();
  }
  if (totals.rejects > before) totals.reject_files.push_back(path.native());
}

}  // namespace

WorkUnits chunk_units(int64_t num_records, int64_t chunk_records) {
  WorkUnits units = WorkUnits::of_items(num_records, chunk_records);
  units.name = "chunks";
  units.items = "records";
  units.files = "shards/chunk-*.h5";
  units.results = "results.h5";
  return units;
}

ChunkResult ShardSet::read(int64_t chunk, const std::function<void()>& poll) const {
  ChunkResult result =
      read_shard(path(chunk), chunk, units.first_item(chunk), units.items_in(chunk), options, fingerprint, poll);
  if (!input_hashes.empty() && result.input_hash != input_hashes[static_cast<size_t>(chunk)])
    throw Damaged(fmt::format("{}: made from other tokens than the input has now", path(chunk).native()));
  return result;
}

void ShardSet::set_aside(int64_t chunk, const Damaged& why) const {
  log::warning("setting a bad shard aside, its records are scored again: {}", why.what());
  const std::filesystem::path shard = path(chunk), aside = shard.string() + ".corrupt";
  if (std::rename(shard.c_str(), aside.c_str()) != 0) fail_errno(ExitCode::output, "cannot rename", shard.string());
}

std::vector<int64_t> scan_shards(const ShardSet& shards, const std::function<void()>& poll) {
  std::vector<int64_t> good;
  for (const int64_t chunk : shards.units.present(shards.run.root())) {
    if (poll) poll();
    if (chunk >= shards.units.total)
      fail(ExitCode::mismatch, "{}: the input has {} chunks only", shards.path(chunk).string(), shards.units.total);
    try {
      shards.read(chunk, poll);
      good.push_back(chunk);
    } catch (const Damaged& damage) {
      shards.set_aside(chunk, damage);
    }
  }
  return good;
}

void check_results(const ShardSet& shards, const std::map<std::string, std::string>& provenance,
                   const std::function<void()>& poll) {
  check_seal(shards.run.results_path(), poll);
  check_provenance(shards, provenance, poll);
}

void check_provenance(const ShardSet& shards, const std::map<std::string, std::string>& provenance,
                      const std::function<void()>& poll) {
  const h5::Reader reader(shards.run.results_path(), h5::Trust::verified);
  auto expected = provenance;
  expected[std::string(kRejectsHash)] = hash_of_file(shards.run.rejects_path(), poll).hex();
  for (const auto& [name, value] : expected)
    if (const auto found = reader.attribute(name); found != value)
      fail(ExitCode::input, "{}: attribute {}: expected {}, found {}", shards.run.results_path().native(), name, value,
           found.value_or("none"));
}

ResultTotals read_totals(const RunDirectory& run, bool imported, const std::function<void()>& poll) {
  const h5::Reader reader(run.results_path(), h5::Trust::verified);
  const h5::Dataset logprob = reader.open("logprob"), tokens = reader.open("tokens");
  ResultTotals totals;
  totals.records = logprob.rows();
  for (int64_t first = 0; first < totals.records; first += kBlock) {
    const auto count = static_cast<size_t>(std::min(kBlock, totals.records - first));
    std::vector<double> sums(count);
    std::vector<int32_t> counts(count);
    logprob.read(first, std::span(sums));
    tokens.read(first, std::span(counts));
    for (size_t i = 0; i < count; ++i) {
      totals.logprob += sums[i];
      totals.tokens += counts[i];
      totals.record_lengths.add(counts[i]);
      if (counts[i] > 0) totals.mean_logprobs.add(sums[i] / counts[i]);
    }
    if (poll) poll();
  }
  totals.expert_tokens = read_expert_tokens(run);
  if (imported) add_rejects(import_rejects_path(run.input_path()), totals, poll);
  add_rejects(run.rejects_path(), totals, poll);
  return totals;
}

ExpertCounts read_expert_tokens(const RunDirectory& run) {
  const h5::Reader reader(run.results_path(), h5::Trust::verified);
  const h5::Dataset dataset = reader.open(kExpertTokens);
  const std::vector<int64_t>& shape = dataset.shape();
  if (shape.size() != 2)
    fail(ExitCode::input, "{}: {}: expected two dimensions, found {}", run.results_path().native(), kExpertTokens,
         shape.size());
  ExpertCounts counts = ExpertCounts::zeros(shape[0], shape[1]);
  dataset.read(0, counts.view());
  return counts;
}

uint64_t predicted_results_bytes(int64_t num_records, int64_t num_tokens, int64_t num_counts,
                                 const ResultOptions& options) {
  constexpr int64_t kId = 48, kHeader = 1 << 16, kOffset = sizeof(int64_t);
  // In a wider type: an input may say that it has 2^58 records.
  Bytes bytes = kHeader + Bytes(num_records) * kId + Bytes(num_counts) * sizeof(int64_t);
  for (const ColumnValues& values : ResultRows(options).columns) {
    const Bytes row = Bytes(values.width) * size_of(values.column->dtype);
    bytes += values.ragged() ? Bytes(num_tokens) * row + Bytes(num_records) * kOffset : Bytes(num_records) * row;
  }
  return saturated(bytes);
}

uint64_t predicted_shard_bytes(int64_t num_records, int64_t num_tokens, int64_t num_chunks, int64_t num_counts,
                               const ResultOptions& options) {
  constexpr int64_t kShardHeader = 1 << 14;
  const Bytes of_each_shard = kShardHeader + Bytes(num_counts) * sizeof(int64_t);
  return saturated(Bytes(predicted_results_bytes(num_records, num_tokens, 0, options)) + num_chunks * of_each_shard);
}

}  // namespace switchyard
