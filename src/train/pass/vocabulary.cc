#include "train/pass/vocabulary.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "kernels/products/weight_gradient.h"
#include "kernels/routing/permute.h"
#include "kernels/row_blocks.h"
#include "kernels/rows/cast.h"
#include "kernels/rows/rms_norm.h"
#include "kernels/vocabulary/cross_entropy.h"
#include "kernels/vocabulary/embedding.h"
#include "kernels/vocabulary/sample_tokens.h"

namespace switchyard {
namespace {

constexpr int64_t kTile = TrainedModel::kVocabularyTile;

/// Rows of zeros, with a one at ids[r] − first_id where that is among the columns.   out: [ids, columns] f32|bf16
void one_hot(const Stream& stream, ConstView ids, int64_t first_id, View out) {
  if (stream.measured != nullptr) return;
  const int64_t columns = out.row_elements();
  with_float_type(out.dtype, "one_hot", [&](auto zero) {
    using T = decltype(zero);
    for_row_blocks(stream, out.rows(), [&](int64_t first, int64_t count) {
      std::fill_n(out.as<T>() + first * columns, count * columns, T{});
      for (int64_t r = first; r < first + count; ++r)
        if (const int64_t id = ids.as<int32_t>()[r] - first_id; id >= 0 && id < columns) {
          if constexpr (std::is_same_v<T, float>)
            out.as<T>()[r * columns + id] = 1;
          else
            out.as<T>()[r * columns + id] = to_bfloat16(1);
        }
    });
  });
}

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
    const Shard& shard = pass_.model.shard(block_);
    const bool measured = pass_.stream.measured != nullptr;  // nobody knows where what trains is
    if (measured ? shard.trained->is_empty() : shard.trained->count_in({first, first + count}) == 0) return;
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
    const bool in_place = shard.trained->is_all() && !add;
    // As large on every rank: memory is planned on one of them.
    const int64_t most = std::ranges::max(wanted, {}, &ElementRange::count).count();
    const View sum = in_place ? shard.part_of(shard.gradient, {first, first + count})
                              : pass_.arena.alloc({most}, DType::f32).slice(0, mine.count());
    if (measured) {
      const size_t bytes = ordered_reduce_scatter_bytes(ranks.slices_of_rank(), wanted, pass_.bytes_at_once);
      pass_.arena.alloc({static_cast<int64_t>(bytes)}, DType::u8);
      return;
    }
    ordered_reduce_scatter(pass_.stream, pass_.arena, ranks.world(), ranks.slices_of_rank(), nodes, wanted,
                           pass_.bytes_at_once, sum);
    if (in_place) return;
    const ElementRange of_block{first + mine.first, first + mine.end};
    take_trained(pass_.stream, shard, of_block, sum, shard.part_of(shard.gradient, of_block), add);
  }

 private:
  const StepPass& pass_;
  const size_t block_;
};

template <class Body>
void for_tiles(int64_t vocab, const Body& body) {
  for (int64_t first = 0; first < vocab; first += kTile) body(first, std::min(kTile, vocab - first));
}

/// Fills head.x: of the states that have a target those after the last norm.
void gather_states(const StepPass& pass, ConstView last, ConstView row, const HeadRows& head) {
  const ArenaScope scope(pass.arena);
  const View states = pass.arena.alloc(last.shape, DType::f32);
  rms_norm(pass.stream, last, pass.model.weights().norm.view(), pass.eps(), states);
  if (head.x.dtype == DType::f32) return gather_rows(pass.stream, states, row, head.x);
  const View chosen = pass.arena.alloc(head.x.shape, DType::f32);
  gather_rows(pass.stream, states, row, chosen);
  cast(pass.stream, chosen, head.x);
}

/// Fills the rest of head; loss: see backward_head()
void find_losses(const StepPass& pass, const HeadRows& head, std::span<double> loss) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  const StepBatch& batch = pass.batch;
  const PackedMatrix& w = pass.model.weights().head;
  const int64_t targets = head.x.rows();
  const View logprob = pass.arena.alloc({targets}, DType::f32);
  const View sums = pass.arena.alloc({cross_entropy_scratch(targets, w.n())}, DType::f32);
  copy(stream, view_of<int32_t>(batch.target), head.target);
  cross_entropy(stream, head.x, w, head.target, sums, head.lse, logprob, pass.arena.alloc({targets}, DType::i32));
  if (!batch.uniform.empty())
    sample_tokens(stream, head.x, w, sums, view_of<double>(batch.uniform), head.target, logprob);
  if (stream.measured != nullptr) return;
  for (size_t s = 0; s < loss.size(); ++s)
    for (int64_t i = batch.slice_rows[s]; i < batch.slice_rows[s + 1]; ++i) loss[s] -= logprob.as<float>()[i];
  if (head.weight.data == nullptr) return;
  for (int64_t i = 0; i < targets; ++i) head.weight.as<float>()[i] = std::exp(logprob.as<float>()[i] / 2);
}

/// The gradient by the logits of a tile of the vocabulary: of the step's mean loss, or, for squares, of the loss's sum.
void differentiate_logits(const StepPass& pass, const HeadRows& head, int64_t first_id, View d_logits) {
  const double scale = pass.squared ? 1 : 1 / static_cast<double>(pass.batch.step_targets);
  cross_entropy_backward(pass.stream, head.x, pass.model.weights().head, head.target, head.lse, head.weight,
                         static_cast<float>(scale), first_id, d_logits);
}

/// Of tied embeddings both gradients as one product's, so that their sum can be squared: a slice's rows are its
/// targets' states, each times its logits' gradients, then its tokens' dx, each times one at the token's id.
void square_tied_gradients(const StepPass& pass, const HeadRows& head, ConstView dx) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  const StepBatch& batch = pass.batch;
  const int64_t targets = head.x.rows(), tokens = dx.rows(), rows = targets + tokens;
  const View x = pass.arena.alloc({rows, dx.row_elements()}, pass.operand());
  copy(stream, head.x, x.slice(0, targets));
  cast(stream, dx, x.slice(targets, tokens));
  std::vector<int32_t> order;
  std::vector<int64_t> offsets{0};
  for (size_t s = 0; s + 1 < batch.slice_rows.size(); ++s) {
    for (int64_t i = batch.slice_rows[s]; i < batch.slice_rows[s + 1]; ++i) order.push_back(static_cast<int32_t>(i));
    for (int64_t t = batch.slice_tokens[s]; t < batch.slice_tokens[s + 1]; ++t)
      order.push_back(static_cast<int32_t>(targets + t));
    offsets.push_back(std::ssize(order));
  }
  const TileGradient gradient(pass, ParameterBlock::Kind::embeddings);
  for_tiles(pass.config().vocab_size, [&](int64_t first, int64_t ids) {
    const ArenaScope tile(pass.arena);
    const View dy = pass.arena.alloc({rows, ids}, pass.operand());
    differentiate_logits(pass, head, first, dy.slice(0, targets));
    one_hot(stream, view_of<int32_t>(batch.batch.ids), first, dy.slice(targets, tokens));
    gradient.sum(first, ids, false, [&](std::vector<View>& nodes) {
      weight_gradient(stream, {dy, order}, {x, order}, pass.sliced(batch.slices, offsets), {}, nodes);
    });
  });
}

}  // namespace

HeadRows::HeadRows(const StepPass& pass) {
  const auto targets = static_cast<int64_t>(pass.batch.row.size());
  x = pass.arena.alloc({targets, pass.config().hidden_size}, pass.operand());
  target = pass.arena.alloc({targets}, DType::i32);
  lse = pass.arena.alloc({targets}, DType::f32);
  if (pass.batch.by_probability) weight = pass.arena.alloc({targets}, DType::f32);
}

void backward_head(const StepPass& pass, ConstView last, const HeadRows& head, View dx, std::span<double> loss) {
  const ArenaScope scope(pass.arena);
  const Stream& stream = pass.stream;
  Arena& arena = pass.arena;
  const StepBatch& batch = pass.batch;
  const ModelWeights& w = pass.model.weights();
  const ConstView row = on_device(stream, arena, view_of<int32_t>(batch.row));
  gather_states(pass, last, row, head);
  find_losses(pass, head, loss);

  // softmax − onehot, a tile of the vocabulary at a time.
  const View d_chosen = arena.alloc(head.x.shape, DType::f32);
  fill(stream, 0, d_chosen);
  const TileGradient gradient(pass, ParameterBlock::Kind::head);
  const SlicedRows rows = pass.sliced(batch.slices, batch.slice_rows);
  for_tiles(pass.config().vocab_size, [&](int64_t first, int64_t ids) {
    const ArenaScope tile(arena);
    const View d_logits = arena.alloc({head.x.rows(), ids}, pass.operand());
    differentiate_logits(pass, head, first, d_logits);
    gemm(stream, d_logits, pass.model.head_transposes()[static_cast<size_t>(first / kTile)], GemmOutput::add, d_chosen);
    if (pass.squared && pass.config().tied_embeddings) return;
    gradient.sum(first, ids, false,
                 [&](std::vector<View>& nodes) { weight_gradient(stream, d_logits, head.x, rows, {}, nodes); });
  });

  // To all states, and through the last norm.
  const View d_states = arena.alloc(last.shape, DType::f32);
  fill(stream, 0, d_states);
  scatter_rows(stream, d_chosen, row, d_states);
  BlockGradient norm(stream, pass.model, pass.model.space().block_of(ParameterBlock::Kind::norm));
  if (batch.slices.count() > 0) {
    if (norm.is_wanted()) norm.begin(batch.slices);
    rms_norm_backward(stream, last, w.norm.view(), pass.eps(), d_states, pass.sliced(batch.slices, batch.slice_tokens),
                      GemmOutput::store, arena.alloc({last.rows()}, DType::f32), dx, norm.of(&w.norm));
    if (norm.is_wanted()) norm.commit();
  }
  if (norm.is_wanted()) norm.finish(arena, pass.bytes_at_once);
}

void backward_embedding(const StepPass& pass, const HeadRows& head, ConstView dx) {
  const bool tied = pass.config().tied_embeddings;
  if (tied && pass.squared) return square_tied_gradients(pass, head, dx);
  const ArenaScope scope(pass.arena);
  const ConstView ids = on_device(pass.stream, pass.arena, view_of<int32_t>(pass.batch.batch.ids));
  const SlicedRows rows = pass.sliced(pass.batch.slices, pass.batch.slice_tokens);
  const TileGradient gradient(pass, ParameterBlock::Kind::embeddings);
  for_tiles(pass.config().vocab_size, [&](int64_t first, int64_t count) {
    gradient.sum(first, count, tied,
                 [&](std::vector<View>& nodes) { embedding_backward(pass.stream, ids, dx, rows, first, nodes); });
  });
}

}  // namespace switchyard
