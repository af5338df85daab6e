#include "train/vocabulary.h"

#include <algorithm>

#include "kernels/products/weight_gradient.h"
#include "kernels/routing/permute.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/embedding.h"

namespace switchyard {
namespace {

constexpr int64_t kTile = TrainedModel::kVocabularyTile;

/// The gradient of a tile of the vocabulary's rows, on its way from every rank's slices to its owners.
class TileGradient {
 public:
  TileGradient(const StepPass& pass, ParameterBlock::Kind kind)
      : pass_(pass), block_(pass.model.space().block_of(kind)) {}

  /// make(nodes): writes this rank's, [ids, d] for each node of its slices. add: to what is there.
  template <class Make>
  void sum(int64_t first_id, int64_t ids, bool add, const Make& make) const {
    const ArenaScope scope(pass_.arena);
    const TrainRanks& ranks = pass_.model.ranks();
    const int64_t d = pass_.config().hidden_size, first = first_id * d, count = ids * d;
    std::vector<View> nodes;
    for (size_t i = 0; i < tree_nodes(ranks.slices()).size(); ++i)
      nodes.push_back(pass_.arena.alloc({ids, d}, DType::f32));
    if (!nodes.empty()) make(nodes);
    for (View& node : nodes) node = node.reshaped({count});
    std::vector<ElementRange> wanted = ranks.owned(pass_.model.space(), block_);
    for (ElementRange& range : wanted) {
      const ElementRange of_tile = overlap(range, {first, first + count});
      range = {of_tile.first - first, of_tile.end - first};
    }
    const ElementRange mine = wanted[static_cast<size_t>(ranks.rank())];
    if (pass_.stream.measured != nullptr) {
      const size_t bytes = ordered_reduce_scatter_bytes(ranks.slices_of_rank(), wanted, pass_.bytes_at_once);
      pass_.arena.alloc({static_cast<int64_t>(bytes) + (add ? mine.count() * int64_t{sizeof(float)} : 0)}, DType::u8);
      return;
    }
    const Shard& shard = pass_.model.shard(block_);
    const View part = shard.part_of(shard.gradient, {first, first + count});
    View sum = part;
    if (add) sum = pass_.arena.alloc({mine.count()}, DType::f32);
    ordered_reduce_scatter(pass_.stream, pass_.arena, ranks.world(), ranks.slices_of_rank(), nodes, wanted,
                           pass_.bytes_at_once, sum);
    if (add)
      for (int64_t i = 0; i < mine.count(); ++i) part.as<float>()[i] += sum.as<float>()[i];
  }

 private:
  const StepPass& pass_;
  const size_t block_;
};

template <class Body>
void for_tiles(int64_t vocab, const Body& body) {
  for (int64_t first = 0; first < vocab; first += kTile) body(first, std::min(kTile, vocab - first));
}

}  // namespace

void backward_head(const StepPass& pass, ConstView last, View dx, std::span<double> loss) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  Arena& arena = pass.arena;
  const StepBatch& batch = pass.batch;
  const ModelWeights& w = pass.model.weights();
  const auto targets = static_cast<int64_t>(batch.row.size());
  const int64_t d = pass.config().hidden_size;
  const SlicedRows rows{batch.slices, batch.slice_rows};
  const ConstView row = on_device(stream, arena, view_of<int32_t>(batch.row)),
                  target = on_device(stream, arena, view_of<int32_t>(batch.target));

  // Of the states that have a target their log-probabilities.
  const View states = arena.alloc(last.shape, DType::f32), chosen = arena.alloc({targets, d}, DType::f32);
  rms_norm(stream, last, w.norm.view(), pass.eps(), states);
  gather_rows(stream, states, row, chosen);
  const ConstView x = as_operand(stream, arena, chosen, pass.operand());
  const View logprob = arena.alloc({targets}, DType::f32), lse = arena.alloc({targets}, DType::f32);
  {
    const ArenaScope scratch(arena);
    cross_entropy(stream, x, w.head, target,
                  arena.alloc({cross_entropy_scratch(targets, pass.config().vocab_size)}, DType::f32), lse, logprob,
                  arena.alloc({targets}, DType::i32));
  }
  if (stream.measured == nullptr)
    for (size_t s = 0; s < loss.size(); ++s)
      for (int64_t i = batch.slice_rows[s]; i < batch.slice_rows[s + 1]; ++i) loss[s] -= logprob.as<float>()[i];

  // (softmax − onehot) / targets, a tile of the vocabulary at a time.
  const View d_chosen = arena.alloc({targets, d}, DType::f32);
  fill(stream, 0, d_chosen);
  const TileGradient gradient(pass, ParameterBlock::Kind::head);
  const float scale = static_cast<float>(1 / static_cast<double>(batch.step_targets));
  for_tiles(pass.config().vocab_size, [&](int64_t first, int64_t ids) {
    const ArenaScope tile(arena);
    const View d_logits = arena.alloc({targets, ids}, pass.operand());
    cross_entropy_backward(stream, x, w.head, target, lse, {}, scale, first, d_logits);
    gemm(stream, d_logits, pass.model.head_transposes()[static_cast<size_t>(first / kTile)], GemmOutput::add, d_chosen);
    gradient.sum(first, ids, false,
                 [&](std::vector<View>& nodes) { weight_gradient(stream, d_logits, x, rows, nodes); });
  });

  // To all states, and through the last norm.
  const View d_states = arena.alloc(last.shape, DType::f32);
  fill(stream, 0, d_states);
  scatter_rows(stream, d_chosen, row, d_states);
  BlockGradient norm(stream, pass.model, pass.model.space().block_of(ParameterBlock::Kind::norm));
  if (batch.slices.count() > 0) {
    norm.begin(batch.slices);
    rms_norm_backward(stream, last, w.norm.view(), pass.eps(), d_states, {batch.slices, batch.slice_tokens},
                      GemmOutput::store, arena.alloc({last.rows()}, DType::f32), dx, norm.of(&w.norm));
    norm.commit();
  }
  norm.finish(arena, pass.bytes_at_once);
}

void backward_embedding(const StepPass& pass, ConstView dx) {
  const ArenaScope scope(pass.arena);
  const ConstView ids = on_device(pass.stream, pass.arena, view_of<int32_t>(pass.batch.batch.ids));
  const SlicedRows rows{pass.batch.slices, pass.batch.slice_tokens};
  const TileGradient gradient(pass, ParameterBlock::Kind::embeddings);
  for_tiles(pass.config().vocab_size, [&](int64_t first, int64_t count) {
    gradient.sum(first, count, pass.config().tied_embeddings,
                 [&](std::vector<View>& nodes) { embedding_backward(pass.stream, ids, dx, rows, first, nodes); });
  });
}

}  // namespace switchyard
