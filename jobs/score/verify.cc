#include "jobs/verify.h"

#include <algorithm>
#include <iostream>
#include <optional>
#include <set>
#include <utility>

#include "base/log.h"
#include "base/rng.h"
#include "comm/device_choice.h"
#include "import/import_file.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/numerics.h"
#include "jobs/options/limits.h"
#include "jobs/options/option_groups.h"
#include "jobs/score/chunk_scorer.h"
#include "jobs/score/document_joiner.h"
#include "jobs/score/quantiles.h"
#include "jobs/score/recorded_input.h"
#include "jobs/score/results.h"
#include "jobs/score/results_reader.h"

namespace switchyard {
namespace {

/// A run as its manifest describes it.
struct RecordedRun {
  RunDirectory directory{""};
  std::string fingerprint, model, dtype, cpu_isa, device, numerics, model_hash;
  RecordedInput input;
  std::vector<std::filesystem::path> deltas;
  std::string input_path;  ///< where it is now
  std::set<std::string> allowed_fields;
  ResultOptions results;
  int64_t experts_per_token = 0;
  bool joined = false;

  ShardSet shards(std::vector<Hash128> input_hashes) const {
    return {directory,         chunk_units(input.num_records, input.chunk_records),
            results,           fingerprint,
            experts_per_token, std::move(input_hashes)};
  }
};

RecordedRun read_run(const VerifyOptions& options) {
  RecordedRun run;
  run.directory = RunDirectory(options.run);
  const std::string subject = run.directory.manifest_path().string();
  const Json manifest = run.directory.read_manifest();
  const Json &fields = manifest["fingerprint"], &info = manifest["info"];
  run.fingerprint = fingerprint_hash(recorded_fingerprint(manifest, subject));
  run.input = recorded_input(manifest, subject);
  run.results.per_token = require_string(fields, "per_token", subject) == "true";
  run.results.with_text = fields.value("with_text", "false") == "true";
  run.results.embed = require_string(fields, "embed", subject);
  run.results.quantiles = parse_levels(fields.value("quantiles", ""));
  run.results.embedding_dim = require_int(info, "embedding_dim", subject, 0, 1 << 20);
  if (const Json* joined = find_field(info, "joined")) run.joined = *joined == true;
  run.experts_per_token = require_int(info, "experts_per_token", subject, 1, 1 << 16);
  run.numerics = require_string(fields, "numerics", subject);
  run.model_hash = require_string(fields, "model", subject);
  run.dtype = require_string(info, "dtype", subject);
  run.cpu_isa = require_string(info, "cpu_isa", subject);
  run.device = require_string(info, "device", subject);
  run.model = options.model.empty() ? require_path(info, "model", subject) : options.model;
  for (const std::string& path : options.delta.empty() ? recorded_deltas(info, subject) : options.delta)
    run.deltas.emplace_back(path);
  run.input_path = options.input.empty() ? run.input.path : options.input;
  if (const Json* names = find_field(info, "allow_config_field"); names != nullptr && names->is_array())
    for (const Json& name : *names) run.allowed_fields.insert(name.is_string() ? name.get<std::string>() : "");
  return run;
}

template <class T>
void shuffle(std::span<T> values, uint64_t seed) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random_bits(seed ^ 0x5eed, i) % i]);
}

/// `count` distinct rows, chosen by the seed.
std::vector<int64_t> choose_rows(int64_t rows, int64_t count, uint64_t seed) {
  std::set<int64_t> chosen;
  for (uint64_t i = 0; static_cast<int64_t>(chosen.size()) < std::min(rows, count); ++i)
    chosen.insert(static_cast<int64_t>(random_bits(seed, i) % static_cast<uint64_t>(rows)));
  std::vector<int64_t> shuffled(chosen.begin(), chosen.end());
  shuffle(std::span(shuffled), seed);
  return shuffled;
}

class Rescoring {
 public:
  Rescoring(const VerifyOptions& options, const RecordedRun& run, const ScoringInput& input, Communicator& world)
      : options_(options),
        run_(run),
        world_(world),
        input_(input),
        results_(run.directory.results_path(), run.results) {}

  int64_t num_documents() const { return std::min(results_.rows(), options_.rescore); }

  std::vector<std::string> run() {
    set_cpu_isa(run_.cpu_isa);
    const DType operand = operand_of(run_.dtype);
    const DeviceChoice device = choose_device(world_, {device_request(run_.device), "as the run was scored"}, true);
    const ModelConfig config = read_model_config(run_.model, run_.allowed_fields);
    if (const std::string now = numerics_of(config, operand, device.device, device.index).id; now != run_.numerics)
      fail(ExitCode::mismatch, "the run's numerics are {}, here they are {}: the bits cannot be compared",
           run_.numerics, now);

    std::vector<int64_t> rows = choose_rows(results_.rows(), options_.rescore, static_cast<uint64_t>(options_.seed));
    int64_t longest = 1;
    for (const int64_t row : rows)
      for (const auto& record : document_of(row).records) longest = std::max(longest, record.length);
    const bool predicts = !run_.results.quantiles.empty();
    const Bins bins = predicts ? bins_of(input_, config.vocab_size) : Bins{};
    const DecoderLimits limits{.max_tokens = kMaxBatch * longest, .max_record = longest, .logits = predicts};
    const int threads = options_.threads > 0 ? static_cast<int>(options_.threads) : available_cores();
    Engine engine(config, checkpoint_weights(run_.model, run_.deltas),
                  {operand, threads, limits, 1 << 20, device.device, device.index}, world_);
    if (engine.model_hash().hex() != run_.model_hash)
      fail(ExitCode::mismatch, "{} is not the run's model: its tensors differ", run_.model);
    ChunkScorer scorer(engine, input_, world_, world_,
                       {run_.results, limits.max_tokens, config.vocab_size, config.max_positions, bins, 1e9});
    for (size_t first = 0; first < rows.size(); first += kTogether)
      rescore(scorer, std::span(rows).subspan(first, std::min(kTogether, rows.size() - first)));
    return findings_;
  }

 private:
  static constexpr int64_t kMaxBatch = 5;
  static constexpr size_t kTogether = 256;  ///< rows

  struct Document {
    int64_t index;
    std::vector<ScoringInput::Record> records;
  };
  /// Whose row of the results it is.
  Document document_of(int64_t row) const {
    const int64_t index = results_.read(row, 1).records()[0];
    const std::vector<int64_t> offsets = input_.document_offsets(index, 1);
    return {index, input_.records(offsets[0], offsets[1] - offsets[0])};
  }

  /// Their records in batches of one to five in random order: unlike any batch of the run.
  void rescore(ChunkScorer& scorer, std::span<int64_t> rows) {
    std::ranges::sort(rows);  // then documents and their records rise
    std::vector<Document> documents;
    std::vector<ScoringInput::Record> records;
    for (const int64_t row : rows) {
      documents.push_back(document_of(row));
      records.insert(records.end(), documents.back().records.begin(), documents.back().records.end());
    }
    const auto seed = static_cast<uint64_t>(options_.seed);
    shuffle(std::span(records), seed);
    ScoredRows scored{ResultRows(run_.results)};
    for (size_t first = 0; first < records.size(); ++num_batches_) {
      const size_t wanted = 1 + random_bits(seed + 1, num_batches_) % kMaxBatch;
      const auto batch = std::span(records).subspan(first, std::min(wanted, records.size() - first));
      scorer.score_batch(batch, scored);
      first += batch.size();
    }
    const ChunkResult in_order = assemble_chunk(std::span(&scored, 1), run_.results);
    int64_t next = 0;
    auto reject = in_order.rejects.begin();
    for (size_t i = 0; i < rows.size(); ++i) {
      ChunkResult pieces;
      pieces.first_record = documents[i].records.front().index;
      pieces.num_records = std::ssize(documents[i].records);
      pieces.accepted = ResultRows(run_.results);
      for (const auto& record : documents[i].records)
        if (reject != in_order.rejects.end() && reject->record == record.index)
          pieces.rejects.push_back(*reject++);
        else
          pieces.accepted.append(in_order.accepted, next++);
      compare(rows[i], documents[i].index, std::move(pieces));
    }
  }

  void compare(int64_t row, int64_t document, ChunkResult pieces) {
    const ChunkResult now = DocumentJoiner(&input_, run_.results, document).add(std::move(pieces));
    if (!now.rejects.empty())
      findings_.push_back(
          fmt::format("record {} was scored, and is rejected now: {}", document, now.rejects.front().reason));
    else if (const std::string what = difference(results_.read(row, 1), now.accepted); !what.empty())
      findings_.push_back(fmt::format("record {}: {}", document, what));
  }

  const VerifyOptions& options_;
  const RecordedRun& run_;
  Communicator& world_;
  const ScoringInput& input_;
  ResultsReader results_;
  uint64_t num_batches_ = 0;
  std::vector<std::string> findings_;
};

/// The run's input; empty, with a warning, where nothing but its ids is wanted of it and it is gone.
std::optional<ScoringInput> open_input(const VerifyOptions& options, const RecordedRun& run) {
  const bool gone = options.input.empty() && options.rescore == 0 && !file_exists(run.input_path);
  if (!gone) return std::optional<ScoringInput>(std::in_place, run.input_path);
  if (run.joined)
    fail(ExitCode::input,
         "input {} is gone, which alone says what records the results' documents are of (--input FILE says where it is "
         "now)",
         run.input_path);
  log::warning("input {} is gone: neither it nor the ids are compared (--input FILE says where it is now)",
               run.input_path);
  return std::nullopt;
}

/// What is wrong with the rejects of an import that the run has made itself.
std::vector<std::string> verify_import(const RecordedRun& run, const ScoringInput* input) {
  if (input == nullptr || !run.input.is_own || run.input_path != run.input.path) return {};
  const auto imported = imported_from(*input);
  const int64_t found = count_import_rejects(input->path());
  if (!imported || found == imported->rejects) return {};
  return {fmt::format("{}: {} lines, but {} documents were rejected when {} was imported",
                      import_rejects_path(input->path()).native(), found, imported->rejects, input->path().native())};
}

/// That the results are of this run, and the rejects those beside which they were made.
std::vector<std::string> verify_provenance(const ShardSet& shards) {
  const std::string subject = shards.run.manifest_path().native();
  try {
    check_provenance(shards, recorded_fingerprint(shards.run.read_manifest(), subject));
  } catch (const Error& error) {
    return {error.what()};
  }
  return {};
}

}  // namespace

int verify_scores(Runtime& runtime, const VerifyOptions& options) {
  const RecordedRun run = read_run(options);
  const bool on_root = runtime.world.rank() == 0;
  if (options.dry_run) {
    if (on_root)
      std::cout << fmt::format("{}: {} records in chunks of {}, {} {}to be scored again\n", options.run,
                               run.input.num_records, run.input.chunk_records, options.rescore,
                               run.joined ? "documents " : "");
    return static_cast<int>(ExitCode::complete);
  }
  if (const RunState state = run.directory.read_state(); state.status != RunStatus::complete)
    fail(ExitCode::input, "run {} is {}, expected complete ({} of {} chunks)", options.run, name_of(state.status),
         state.units_done, state.units_total);

  const std::optional<ScoringInput> input = open_input(options, run);
  std::vector<Hash128> input_hashes;
  if (input) {
    const auto chunks = identify_input(runtime.world, *input, run.input.chunk_records, run.input.max_positions);
    require_same_input(run.input, chunks, run.input_path);
    input_hashes = hashes_of(chunks, &ChunkIdentity::scored);
  }
  std::vector<std::string> findings = verify_import(run, input ? &*input : nullptr);
  const ShardSet shards = run.shards(std::move(input_hashes));
  if (findings.empty()) findings = verify_results(shards, input ? &*input : nullptr);
  if (findings.empty()) findings = verify_provenance(shards);
  if (run.directory.units_present().units == 0 && run.input.num_records > 0)
    log::info("the shards were dropped: results.h5 is checked alone");
  int64_t rescored = 0;
  if (findings.empty() && options.rescore > 0) {
    Rescoring rescoring(options, run, *input, runtime.world);
    findings = rescoring.run();
    if (findings.empty()) rescored = rescoring.num_documents();
  }
  const ExitCode code = findings.empty() ? ExitCode::complete : ExitCode::input;
  if (!on_root) return static_cast<int>(code);
  for (const std::string& finding : findings) log::error("{}", finding);
  Json json;
  json["records"] = run.input.num_records;
  if (run.joined) json["documents"] = input->num_documents();
  json["input_compared"] = input.has_value();
  json["rescored"] = rescored;
  json["findings"] = findings.size();
  std::cout << to_text(json) << '\n';
  return static_cast<int>(code);
}

}  // namespace switchyard
