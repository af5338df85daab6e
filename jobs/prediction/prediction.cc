#include "jobs/prediction/prediction.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "base/text.h"
#include "io/file.h"
#include "io/json_field.h"
#include "run/run_directory.h"

namespace switchyard {

std::string Prediction::limit() const {
  const double computing = 1 - exchange_share - idle_share;
  const std::pair<double, std::string> parts[] = {{work * computing - checkpoints, "computing"},
                                                  {work * exchange_share, "the exchange"},
                                                  {work * idle_share, "waiting for the slowest rank"},
                                                  {checkpoints, "writing files"},
                                                  {load, "reading the model"},
                                                  {finish, "writing results"}};
  return std::ranges::max_element(parts, {}, [](const auto& part) { return part.first; })->second;
}

Json to_json(const Prediction& p) {
  return {{"nodes", p.nodes},
          {"ranks", p.ranks},
          {"ep", p.ep},
          {"threads", p.threads},
          {"dtype", name_of(p.operand)},
          {"tokens", p.tokens},
          {"seconds", p.seconds()},
          {"load", p.load},
          {"work", p.work},
          {"finish", p.finish},
          {"checkpoints", p.checkpoints},
          {"tokens_per_second", p.tokens_per_second()},
          {"exchange_share", p.exchange_share},
          {"idle_share", p.idle_share},
          {"flop_seconds", p.flop_seconds},
          {"memory_bytes", p.memory},
          {"node_hours", p.node_hours()},
          {"gpu_hours", p.gpu_hours()},
          {"limit", p.limit()},
          {"notes", p.notes}};
}

std::string describe(const Prediction& p) {
  return fmt::format("predicted: {} tok/s, {} of work, {} to load; exchange {:.0f} %, {:.3g} node-hours{}",
                     rate_text(p.tokens_per_second()), duration_text(p.work), duration_text(p.load),
                     100 * p.exchange_share, p.node_hours(),
                     p.notes.empty() ? "" : fmt::format(" ({})", fmt::join(p.notes, "; ")));
}

std::string beside_prediction(const Prediction& p, double seconds) {
  return fmt::format("the work took {:.2f} s, predicted were {:.2f} s ({:+.0f} %)", seconds, p.work,
                     seconds > 0 ? 100 * (p.work / seconds - 1) : 0);
}

RecordLengths lengths_of(const ScoringInput& input, int64_t max_positions) {
  return [&input, max_positions](int64_t first, int64_t count) {
    std::vector<PlannedRecord> records;
    for (const ScoringInput::Record& record : input.records(first, count))
      if (record.length > 0 && record.length <= max_positions)
        records.push_back({record.length, std::clamp<int64_t>(record.length - std::max<int64_t>(1, record.context), 0,
                                                              record.length - 1)});
    return records;
  };
}

RecordLengths even_lengths(const InputSize& size) {
  const int64_t length = std::max<int64_t>(1, size.tokens / std::max<int64_t>(1, size.records));
  return [length](int64_t, int64_t count) {
    return std::vector(static_cast<size_t>(count), PlannedRecord{length, length - 1});
  };
}

InputSize sample_of(InputSize size, int64_t sample_tokens) {
  if (sample_tokens == 0 || sample_tokens >= size.tokens) return size;
  const double share = static_cast<double>(sample_tokens) / static_cast<double>(size.tokens);
  size.records = std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(size.records)));
  size.tokens = sample_tokens;
  if (size.documents)
    size.documents = std::max<int64_t>(1, static_cast<int64_t>(share * static_cast<double>(*size.documents)));
  return size;
}

RecordLengths sampled_lengths(RecordLengths lengths, int64_t of_records, int64_t records) {
  if (records >= of_records) return lengths;
  const int64_t stride = of_records / records;
  return [lengths = std::move(lengths), stride](int64_t first, int64_t count) {
    std::vector<PlannedRecord> some;
    for (int64_t i = first; i < first + count; ++i) std::ranges::copy(lengths(i * stride, 1), std::back_inserter(some));
    return some;
  };
}

uint64_t stored_bytes(const std::filesystem::path& model) {
  if (!directory_exists(model)) return 0;
  uint64_t bytes = 0;
  for (const std::filesystem::path& path : list_directory(model))
    if (path.extension() == ".safetensors") bytes += InputFile(path).size();
  return bytes;
}

std::vector<double> measured_routing(const std::filesystem::path& run, const ModelConfig& config) {
  const std::filesystem::path path = RunDirectory(run).ranks_path();
  const Json ranks = parse_json(read_text_file(path), path.native());
  const auto counts = json_field<std::vector<std::vector<int64_t>>>(ranks, "tokens_per_expert", path.native());
  const auto layers = static_cast<size_t>(config.num_layers()), experts = static_cast<size_t>(config.num_experts());
  if (counts.size() != layers)
    fail(ExitCode::mismatch, "{}: the routing of {} layers, and the model has {}", path.native(), counts.size(),
         layers);
  std::vector<double> share;
  for (const std::vector<int64_t>& layer : counts) {
    if (layer.size() != experts)
      fail(ExitCode::mismatch, "{}: the routing of {} experts, and the model has {}", path.native(), layer.size(),
           experts);
    const int64_t all = std::accumulate(layer.begin(), layer.end(), int64_t{0});
    for (const int64_t tokens : layer)
      share.push_back(all > 0 ? static_cast<double>(tokens) / static_cast<double>(all)
                              : 1 / static_cast<double>(experts));
  }
  return share;
}

}  // namespace switchyard
