#include "train/evaluation.h"

#include <algorithm>
#include <numeric>

#include "comm/collectively.h"

namespace switchyard {
namespace {

/// Runs of records of at most batch_tokens: where each begins, and the end.
std::vector<int64_t> cut_batches(const std::vector<int64_t>& lengths, int64_t batch_tokens) {
  std::vector<int64_t> begins;
  int64_t tokens = 0;
  for (int64_t r = 0; r < std::ssize(lengths); ++r) {
    const int64_t length = lengths[static_cast<size_t>(r)];
    if (begins.empty() || tokens + length > batch_tokens) {
      begins.push_back(r);
      tokens = 0;
    }
    tokens += length;
  }
  begins.push_back(std::ssize(lengths));
  return begins;
}

}  // namespace

HeldOutLoss evaluate(const Stream& stream, Arena& arena, const Decoder& decoder, const TrainRanks& ranks,
                     const HeldOutRecords& records, int64_t batch_tokens, const std::function<void()>& poll) {
  const std::vector<int64_t> begins = cut_batches(records.lengths, batch_tokens);
  Communicator& world = ranks.world();
  std::vector<double> sums(records.lengths.size());  // of other ranks' records 0
  int64_t scored = 0;
  std::vector<int32_t> tokens;
  const int64_t num_batches = std::ssize(begins) - 1;
  const auto begin_of = [&](int64_t b) { return begins[static_cast<size_t>(std::min(b, num_batches))]; };
  for (int64_t first = 0; first < num_batches; first += world.size()) {
    poll();
    Batch batch;
    std::vector<int32_t> row, target;
    std::vector<int64_t> record_of;
    const int64_t own = first + world.rank();  // of the last ones some ranks have none
    collectively(world, [&] {
      for (int64_t r = begin_of(own); r < begin_of(own + 1); ++r) {
        const int64_t context = records.read(r, tokens);
        const auto begin = static_cast<int32_t>(batch.tokens());
        for (auto t = static_cast<int32_t>(context); t < std::ssize(tokens); ++t) {
          row.push_back(begin + t - 1);
          target.push_back(tokens[static_cast<size_t>(t)]);
          record_of.push_back(r);
        }
        batch.add(tokens);
      }
    });
    const ArenaScope scope(arena);
    const View states = decoder.forward(stream, arena, batch);
    const TokenScores scores = decoder.score(stream, arena, states, row, target);
    for (size_t i = 0; i < record_of.size(); ++i) sums[static_cast<size_t>(record_of[i])] += scores.logprob[i];
    scored += std::ssize(record_of);
  }
  world.all_reduce({sums.data(), {std::ssize(sums)}, DType::f64}, ReduceOp::sum);
  return {std::accumulate(sums.begin(), sums.end(), 0.0), world.all_reduce_one(scored, ReduceOp::sum)};
}

}  // namespace switchyard
