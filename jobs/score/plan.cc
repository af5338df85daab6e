#include "jobs/score/plan.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "base/text.h"
#include "jobs/numerics.h"
#include "jobs/score/quantiles.h"
#include "jobs/score/results.h"

namespace switchyard {
namespace {

constexpr std::string_view kAsBegun = "as this run began";  // what the manifest decides
constexpr int64_t kChunkTokens = int64_t{1} << 19;
constexpr int64_t kMaxChunks = int64_t{1} << 22;  // each is a file, and some bytes on every rank

/// What the options say; where they leave the dtype open, what the run began with.
LayoutWishes wishes_for(const ScoreOptions& options, const RunDirectory& run) {
  LayoutWishes wishes = options.wishes();
  if (wishes.operand || !run.has_manifest()) return wishes;
  wishes.operand = operand_of(require_string(run.read_manifest()["info"], "dtype", run.manifest_path().string()));
  wishes.why_operand = kAsBegun;
  return wishes;
}

}  // namespace

DeviceWish requested_device(const ScoreOptions& options, const RunDirectory& run) {
  if (options.device != "auto" || !run.has_manifest()) return device_request(options.device);
  return {device_request(run.read_manifest()["info"].value("device", "cpu")), kAsBegun};
}

int64_t default_chunk_records(int64_t records, int64_t tokens) {
  const int64_t mean_length = std::max<int64_t>(1, tokens / std::max<int64_t>(1, records));
  return std::max<int64_t>(1, kChunkTokens / mean_length);
}

void require_joinable(const ScoreOptions& options, const std::string& input) {
  if (options.embed == "mean")
    fail(ExitCode::usage,
         "--embed mean: the records of {} are windows over documents, which overlap: a mean over them would count "
         "positions twice; --embed last takes the last window's",
         input);
}

ScorePlan plan_score(const ScoreOptions& options, const ModelConfig& config, const InputSize& input,
                     const MachineShare& machine, const RunDirectory& run) {
  DecoderLimits batch{std::max(std::min(options.batch_tokens, input.tokens), input.longest), input.longest};
  batch.logits = !options.quantiles.empty();  // of which results.quantiles are made
  ScorePlan plan;
  plan.config = config;
  plan.num_tokens = input.tokens;
  plan.num_documents = input.documents;
  plan.units =
      chunk_units(input.records, options.chunk_records > 0 ? options.chunk_records
                                                           : default_chunk_records(input.records, input.tokens));
  if (plan.units.total > kMaxChunks)
    fail(ExitCode::usage, "--chunk-records {} makes {} chunks of the {} records, at most {}", plan.units.items_per_unit,
         plan.units.total, plan.units.items_total, kMaxChunks);
  if (input.documents) require_joinable(options, input.path);
  plan.results = {.per_token = options.per_token || options.with_text,
                  .embed = options.embed,
                  .embedding_dim = options.embed == "none" ? 0 : config.hidden_size,
                  .with_text = options.with_text,
                  .quantiles = parse_levels(options.quantiles)};

  static_cast<Layout&>(plan) = choose_layout(config, wishes_for(options, run), batch, machine);
  Numerics numerics = numerics_of(config, plan.operand, plan.device.device, plan.device.index);
  plan.numerics = std::move(numerics.id);
  plan.algorithms = std::move(numerics.algorithms);
  const int64_t counts = config.num_layers() * config.num_experts();
  plan.disk_bytes =
      predicted_results_bytes(plan.units.items_total, plan.num_tokens, counts, plan.results) +
      predicted_shard_bytes(plan.units.items_total, plan.num_tokens, plan.units.total, counts, plan.results);
  return plan;
}

std::string idle_groups_note(const ScorePlan& p) {
  if (p.units.total >= p.num_groups()) return {};
  return fmt::format("{} chunk{} for {} groups of ranks: with fewer --chunk-records, or a larger --ep, all have work",
                     p.units.total, p.units.total > 1 ? "s" : "", p.num_groups());
}

std::vector<std::string> describe_plan(const ScorePlan& p) {
  std::vector<std::string> lines = {
      fmt::format("model: {}, {} layers, {} experts, {} per token; {} parameters, {} active", p.config.family,
                  p.config.num_layers(), p.config.num_experts(), p.config.experts_per_token(),
                  count_text(p.config.total_parameters()), count_text(p.config.active_parameters())),
      fmt::format("input: {}{} records, {} tokens, longest {}; {} chunks of {} records",
                  p.num_documents ? fmt::format("{} documents in ", *p.num_documents) : "", p.units.items_total,
                  p.num_tokens, p.limits.max_record, p.units.total, p.units.items_per_unit),
      fmt::format("device: {} ({})", p.device.device == Device::cuda ? "CUDA" : "CPU", p.device.why),
      fmt::format("numerics: {}{}", p.numerics, p.why_operand.empty() ? "" : " (" + p.why_operand + ")")};
  for (const std::string& algorithm : p.algorithms) lines.push_back("cuBLASLt: products of " + algorithm);
  std::ranges::move(describe_layout(p), std::back_inserter(lines));
  if (const std::string note = idle_groups_note(p); !note.empty()) lines.push_back("note: " + note);
  lines.push_back(fmt::format("disk: {} for shards and results", bytes_text(p.disk_bytes)));
  return lines;
}

}  // namespace switchyard
