#include "plan/listed_steps.h"

#include <algorithm>
#include <numeric>

#include "comm/measuring_communicator.h"
#include "exchange/expected_exchange.h"
#include "model/checkpoint/loader.h"
#include "model/moe_layer.h"
#include "model/parameters.h"
#include "plan/works.h"

namespace switchyard {

int64_t total_length(std::span<const PlannedRecord> records) {
  return std::accumulate(records.begin(), records.end(), int64_t{0},
                         [](int64_t sum, const PlannedRecord& record) { return sum + record.length; });
}

std::vector<size_t> some_ranks(std::span<const int64_t> tokens, size_t most) {
  std::vector<size_t> ranks(tokens.size());
  std::iota(ranks.begin(), ranks.end(), size_t{0});
  std::ranges::stable_sort(ranks, std::greater<>{}, [&](size_t rank) { return tokens[rank]; });
  const size_t count = std::min(ranks.size(), most);
  for (size_t i = 0; i < count; ++i) ranks[i] = ranks[i * ranks.size() / count];
  ranks.resize(count);
  return ranks;
}

/// A rank's decoder.
struct ScoringSteps::Rank {
  Measurement measured;
  Stream stream;
  ModelWeights weights;
  std::unique_ptr<ExpectedExchange> expected;  ///< null: it is alone
  std::unique_ptr<Exchange> local;
  std::unique_ptr<Decoder> decoder;

  Rank(const ModelConfig& config, const Layout& layout, int rank, const std::vector<double>& share)
      : stream(Stream::measuring(layout.device.device, measured)) {
    const ExpertPlacement placement = ExpertPlacement::blocks(config.num_experts(), layout.ep);
    const ExchangeShape shape =
        exchange_shape(config, placement, layout.operand, layout.exchange_bytes, layout.device.device);
    weights = shape_only_weights(config, layout.operand, placement.count(rank), layout.device.device);
    if (layout.ep == 1)
      local = measuring_exchange(shape, config.num_experts());
    else
      expected = std::make_unique<ExpectedExchange>(shape, rank, share);
    DecoderLimits limits = layout.limits;
    limits.micro_batches = 1;  // what travels meanwhile is the price list's to know
    decoder = std::make_unique<Decoder>(stream, weights, expected ? *expected : *local, limits);
  }
};

ScoringSteps::ScoringSteps(const ModelConfig& config, const Layout& layout, std::vector<double> share)
    : config_(config), layout_(layout), share_(std::move(share)), ranks_(static_cast<size_t>(layout.ep)) {}
ScoringSteps::~ScoringSteps() = default;

std::vector<WorkLog> ScoringSteps::list(std::span<const std::vector<PlannedRecord>> records) {
  std::vector<int64_t> tokens;
  for (const auto& of_rank : records) tokens.push_back(total_length(of_rank));
  std::vector<WorkLog> works;
  for (const size_t rank : some_ranks(tokens, kMostListed)) {
    if (!ranks_[rank]) ranks_[rank] = std::make_unique<Rank>(config_, layout_, static_cast<int>(rank), share_);
    Rank& r = *ranks_[rank];
    if (r.expected) r.expected->set_tokens(tokens);
    Batch batch;
    std::vector<int32_t> row;
    for (const PlannedRecord& record : records[rank]) {
      const auto first = static_cast<int32_t>(batch.tokens());
      for (int64_t t = record.length - record.scored; t < record.length; ++t)
        row.push_back(first + static_cast<int32_t>(std::max<int64_t>(t, 1)) - 1);
      batch.add(std::vector<int32_t>(static_cast<size_t>(record.length)));
    }
    WorkLog& log = works.emplace_back();
    Stream stream = r.stream;
    stream.works = &log;
    Arena arena = Arena::measuring(layout_.device.device);
    const View states = r.decoder->forward(stream, arena, batch);
    r.decoder->score(stream, arena, states, row, row);
    log.push_back({work_between(log.size(), batch.tokens(), config_.hidden_size)});
  }
  return works;
}

WorkLog list_training_step(const ModelConfig& config, const TrainMemoryRequest& shape, int rank, int64_t step_tokens,
                           std::span<const std::vector<PlannedRecord>> records) {
  const std::unique_ptr<Communicator> world = make_measuring_communicator(rank, shape.world_size);
  const TrainRanks ranks = TrainRanks::measuring(*world, shape.ep, config, shape.num_slices);
  const ParameterSpace space(config);
  const Selection selection = Selection::of_shape(space, shape.trained);
  Measurement measured;
  WorkLog log;
  Stream stream = Stream::measuring(Device::cpu, measured);
  TrainedModel model(stream, config, shape.operand, space, ranks, selection, shape.state(), shape.anchored);
  TrainPass pass(stream, model, shape.pass_options(1));
  StepBatch batch(ranks.slices());
  for (const auto& slice : records) {
    batch.begin_slice();
    for (const PlannedRecord& record : slice) {
      const std::vector<int32_t> tokens(static_cast<size_t>(record.length) + 1);
      batch.add(tokens, std::clamp<int64_t>(record.length + 1 - record.scored, 1, record.length));
    }
  }
  batch.end();
  batch.step_tokens = batch.step_targets = step_tokens;
  Arena arena = Arena::measuring(Device::cpu);
  stream.works = &log;
  pass.run(stream, arena, batch);
  log.push_back({work_of_sums(model)});
  log.push_back({work_of_update(model)});
  return log;
}

}  // namespace switchyard
