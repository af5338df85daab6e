// `switchyard inspect`: architecture, parameters and memory per rank, from a checkpoint or a bare config.json.
#include "jobs/inspect.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <optional>

#include "base/text.h"
#include "io/delta_file.h"
#include "io/safetensors.h"
#include "jobs/job.h"
#include "jobs/options/limits.h"
#include "jobs/train/train_plan.h"
#include "kernels/cpu_isa.h"
#include "model/layout.h"
#include "train/parameters/step_slices.h"
#include "train/train_memory.h"

namespace switchyard {
namespace {

struct Inspection {
  std::string source;
  ModelConfig config;
  std::optional<MemoryRequest> request;
  MemoryPlan memory;
  std::optional<TrainMemory> training;
  int64_t num_tensors = 0;  ///< of the checkpoint; 0 where there is only a configuration
  uint64_t stored_bytes = 0;
  Json deltas = Json::array();  ///< as their headers describe them
};

/// Of a training run on these ranks, a step's tokens dealt out evenly.
TrainMemory inspect_training(const InspectOptions& o, const ModelConfig& c, int64_t longest) {
  if (o.device == "cuda") fail(ExitCode::usage, "inspect: --train and --device cuda: training computes on CPUs");
  const int64_t slices = default_slices(o.step_tokens), of_rank = (slices + o.ranks - 1) / o.ranks;
  const int64_t slice_tokens = std::max((o.step_tokens + slices - 1) / slices, longest);
  return plan_train_memory(c, {.operand = operand_of(o.dtype),
                               .world_size = static_cast<int>(o.ranks),
                               .ep = static_cast<int>(o.ranks),
                               .threads = static_cast<int>(o.threads),
                               .num_slices = slices,
                               .rank_tokens = slice_tokens * of_rank,
                               .slice_tokens = slice_tokens,
                               .longest = longest,
                               .batch_tokens = o.batch_tokens,
                               .exchange_bytes = o.exchange_bytes});
}

Json describe(const DeltaFile& delta) {
  return {{"file", path_to_json(delta.path())},
          {"base", delta.base()},
          {"result", delta.result()},
          {"changed", delta.num_changed()},
          {"bytes", delta.bytes()}};
}

Inspection inspect(const InspectOptions& o) {
  Inspection result;
  if (!o.delta.empty() && !holds_weights(o.model))
    fail(ExitCode::usage, "inspect: --delta {}: expected a MODEL with weights", o.delta.front());
  if (o.reference.empty() == o.model.empty()) fail(ExitCode::usage, "inspect: expected MODEL or --reference NAME");
  if (o.reference.empty()) {
    result.source = o.model;
    result.config = read_model_config(o.model, {o.allow_config_field.begin(), o.allow_config_field.end()});
    if (holds_weights(o.model)) {
      const Checkpoint checkpoint(o.model, std::vector<std::filesystem::path>(o.delta.begin(), o.delta.end()));
      for (const auto& delta : checkpoint.deltas()) result.deltas.push_back(describe(*delta));
      check_tied_copy(TensorTable(checkpoint, result.config, o.model));
      result.num_tensors = static_cast<int64_t>(checkpoint.tensors().size());
      for (const auto& [name, tensor] : checkpoint.tensors()) result.stored_bytes += tensor.bytes;
    }
  } else {
    result.source = o.reference;
    result.config = reference_config(o.reference);
  }
  const ModelConfig& c = result.config;
  const auto in_range = [](std::string_view name, int64_t value, int64_t least, int64_t most) {
    if (value < least || value > most) fail(ExitCode::usage, "--{} is {}, expected {} to {}", name, value, least, most);
  };
  in_range("ranks", o.ranks, 1, c.num_experts());
  in_range("max-record", o.max_record, 0, c.max_positions);

  set_cpu_isa("auto");
  const int64_t longest = o.max_record > 0 ? o.max_record : std::min(o.batch_tokens, c.max_positions);
  const Device device = o.device == name_of(Device::cuda) ? Device::cuda : Device::cpu;
  const int ranks = static_cast<int>(o.ranks);
  const DecoderLimits limits{std::max(o.batch_tokens, longest), longest, default_micro_batches(device, ranks)};
  result.request = MemoryRequest{operand_of(o.dtype),
                                 ExpertPlacement::blocks(c.num_experts(), ranks),
                                 static_cast<int>(o.threads),
                                 limits,
                                 o.exchange_bytes,
                                 device};
  result.memory = plan_memory(c, *result.request);
  if (o.train) result.training = inspect_training(o, c, longest);
  return result;
}

/// f of dense layers; 0 where there is none.
int64_t dense_size(const ModelConfig& c) {
  for (const LayerConfig& layer : c.layers)
    if (const DenseConfig* dense = layer.dense()) return dense->size;
  return 0;
}

/// How the checkpoint's weights are stored; "" where they are plain numbers.
std::string storage_of(const ModelConfig& c) {
  const QuantisedWeights* q = c.quantised();
  return q == nullptr ? "" : fmt::format("{}, blocks of {} × {}", q->method, q->block_rows, q->block_columns);
}

/// How many layers see less than all that comes before, and of what: "a window of 128 in 18 layers". Empty: none.
std::string spans_of(const ModelConfig& c) {
  std::vector<std::pair<KeySpan, int>> spans;
  for (const LayerConfig& layer : c.layers) {
    const KeySpan& span = layer.attention.span;
    if (span.kind == KeySpan::Kind::all) continue;
    const auto known = std::ranges::find(spans, span, &std::pair<KeySpan, int>::first);
    if (known == spans.end())
      spans.emplace_back(span, 1);
    else
      ++known->second;
  }
  std::vector<std::string> texts;
  for (const auto& [span, count] : spans)
    texts.push_back(fmt::format("{} of {} in {} layers", span.kind == KeySpan::Kind::window ? "a window" : "chunks",
                                span.size, count));
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string heads_of(const ModelConfig& c) {
  const AttentionConfig& a = c.layers.front().attention;
  std::string text = fmt::format("{} heads, {} key-value heads × {}", a.num_heads, a.num_kv_heads, a.head_dim);
  if (a.value_dim != a.head_dim) text += fmt::format(", values × {}", a.value_dim);
  if (a.latent() != nullptr) text += fmt::format(", of a latent of {}", a.latent()->kv_rank);
  if (a.sinks) text += ", sinks";
  if (const std::string spans = spans_of(c); !spans.empty()) text += ", " + spans;
  return text;
}

Json to_json(const Inspection& i) {
  const ModelConfig& c = i.config;
  const AttentionConfig& attention = c.layers.front().attention;
  const MoeConfig& moe = c.moe();
  const int64_t total = c.total_parameters();
  Json json;
  json["source"] = path_to_json(i.source);
  json["family"] = c.family;
  json["layers"] = c.num_layers();
  json["moe_layers"] = c.num_moe_layers();
  json["hidden_size"] = c.hidden_size;
  json["heads"] = attention.num_heads;
  json["kv_heads"] = attention.num_kv_heads;
  json["head_dim"] = attention.head_dim;
  json["value_dim"] = attention.value_dim;
  json["latent_size"] = attention.latent() == nullptr ? 0 : attention.latent()->kv_rank;
  json["attention_spans"] = spans_of(c);
  json["experts"] = moe.router.num_experts;
  json["experts_per_token"] = moe.router.experts_per_token;
  json["expert_ffn_size"] = moe.expert_size;
  json["shared_ffn_size"] = moe.shared_size;
  json["dense_ffn_size"] = dense_size(c);
  json["vocab_size"] = c.vocab_size;
  json["tied_embeddings"] = c.tied_embeddings;
  json["max_positions"] = c.max_positions;
  json["total_parameters"] = total;
  json["active_parameters"] = c.active_parameters();
  json["weight_bytes_16bit"] = 2 * total;
  json["kv_bytes_per_token_16bit"] = c.kv_bytes_per_token(2);
  json["tensors"] = i.num_tensors;
  json["stored_bytes"] = i.stored_bytes;
  json["deltas"] = i.deltas;
  json["quantization"] = storage_of(c);
  json["ranks"] = i.request->placement.num_ranks();
  json["dtype"] = std::string(name_of(i.request->operand));
  json["device"] = name_of(i.request->device);
  json["batch_tokens"] = i.request->limits.max_tokens;
  json["bytes_per_rank"] = {{"weights", i.memory.weights},         {"loading", i.memory.loading},
                            {"activations", i.memory.activations}, {"exchange", i.memory.exchange},
                            {"scratch", i.memory.scratch},         {"peak", i.memory.peak()},
                            {"host_peak", i.memory.host_peak()}};
  if (i.training)
    json["training_bytes_per_rank"] = {
        {"weights", i.training->weights}, {"state", i.training->state},     {"activations", i.training->activations},
        {"sums", i.training->sums},       {"scratch", i.training->scratch}, {"files", i.training->files},
        {"peak", i.training->peak()}};
  return json;
}

void line(std::string_view name, const std::string& value) {
  std::cout << fmt::format("{:<22}{}\n", name, value);
}

void print_training(const Inspection& i) {
  const TrainMemory& m = *i.training;
  const auto total = static_cast<uint64_t>(i.config.total_parameters());
  std::cout << fmt::format("\ntraining, per rank\n");
  line("  weights", bytes_text(m.weights));
  line("  masters, moments", bytes_text(m.state));
  line("  activations", bytes_text(m.activations));
  line("  sums of gradients", bytes_text(m.sums));
  line("  kernel scratch", bytes_text(m.scratch));
  line("  loading, saving", bytes_text(m.files));
  line("  peak", bytes_text(m.peak()));
  line("a checkpoint", bytes_text(3 * sizeof(float) * total));
  line("the model in f32", bytes_text(sizeof(float) * total));
}

void print(const Inspection& i) {
  const ModelConfig& c = i.config;
  const MoeConfig& moe = c.moe();
  const int64_t total = c.total_parameters(), active = c.active_parameters();
  line("model", fmt::format("{} ({})", i.source, c.family));
  line("layers", fmt::format("{}, {} of them with experts", c.num_layers(), c.num_moe_layers()));
  line("hidden size", fmt::format("{}", c.hidden_size));
  line("attention", heads_of(c));
  line("experts",
       fmt::format("{}, {} per token, f {}{}", moe.router.num_experts, moe.router.experts_per_token, moe.expert_size,
                   moe.shared_size > 0 ? fmt::format(", shared f {}", moe.shared_size) : ""));
  if (dense_size(c) > 0) line("dense layers", fmt::format("f {}", dense_size(c)));
  line("vocabulary", fmt::format("{}{}", c.vocab_size, c.tied_embeddings ? ", tied" : ", untied"));
  line("positions", fmt::format("{}", c.max_positions));
  if (i.num_tensors > 0) line("checkpoint", fmt::format("{} tensors, {}", i.num_tensors, bytes_text(i.stored_bytes)));
  for (const Json& delta : i.deltas)
    line("delta", fmt::format("{}: {} elements, to {}", require_path(delta, "file", "delta"), to_text(delta["changed"]),
                              to_text(delta["result"])));
  if (!i.deltas.empty()) line("", "hashes are as the deltas say, not proven: no weights were read");
  if (c.quantised() != nullptr) line("stored as", storage_of(c));
  line("total parameters", fmt::format("{} ({})", count_text(total), total));
  line("active parameters", fmt::format("{} ({:.1f} %)", count_text(active),
                                        100.0 * static_cast<double>(active) / static_cast<double>(total)));
  line("16-bit weights", fmt::format("{:.2f} GB", 2e-9 * static_cast<double>(total)));
  line("16-bit KV cache", fmt::format("{} B/token", c.kv_bytes_per_token(2)));
  const bool on_gpu = i.request->device == Device::cuda;
  std::cout << fmt::format("\nper rank{}, {} ranks, {}, {} tokens at once\n", on_gpu ? " and GPU" : "",
                           i.request->placement.num_ranks(), name_of(i.request->operand), i.request->limits.max_tokens);
  line("  weights", bytes_text(i.memory.weights));
  if (!on_gpu) line("  while loading", bytes_text(i.memory.loading));
  line("  activations", bytes_text(i.memory.activations));
  line("  exchange buffers", bytes_text(i.memory.exchange));
  line("  kernel scratch", bytes_text(i.memory.scratch));
  line("  peak", bytes_text(i.memory.peak()));
  if (on_gpu) line("  of the host", bytes_text(i.memory.host_peak()));
  if (i.training) print_training(i);
}

}  // namespace

void InspectOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("model", &model, "MODEL", "Hugging Face directory, or a config.json alone");
  o.positional("model");
  o.add("reference", &reference, "NAME", "a built-in configuration instead: seed-23B, qwen3-30b-a3b, gpt-oss-120b");
  describe_delta(o, &delta);
  describe_allow_config_field(o, &allow_config_field);
  o.add("json", &json, "", "print JSON");
  o.add("dry-run", &dry_run, "", "no effect: inspect changes nothing");
  o.group("For this layout");
  o.add("ranks", within(&ranks, 1, kMaxRanks), "N", "ranks that share the experts");
  o.add("threads", within(&threads, 1, kMaxThreads), "N", "threads per rank");
  o.add("dtype", &dtype, "f32|bf16", "arithmetic of products");
  o.add("device", &device, "cpu|cuda", "what computes");
  BatchOptions::describe(o);
  o.add("max-record", within(&max_record, 0, INT64_MAX), "N", "tokens of the longest record (0: as --batch-tokens)");
  describe_exchange_bytes(o, &exchange_bytes);
  o.add("train", &train, "", "also what training takes on these ranks, in memory and on disk");
  o.add("step-tokens", within(&step_tokens, 1, int64_t{1} << 40), "N", "tokens of a training step");
}

int run_inspect(Runtime& runtime, std::span<const std::string> args) {
  InspectOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "inspect", args)) return 0;
  const Inspection result = inspect(options);
  if (options.json) {
    std::cout << to_text(to_json(result), 2) << '\n';
  } else {
    print(result);
  }
  return static_cast<int>(ExitCode::complete);
}

}  // namespace switchyard
