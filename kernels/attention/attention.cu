#include "kernels/attention/attention.h"
#include "kernels/attention/cuda/attention.h"

namespace switchyard::cuda {
namespace {

bool is_aligned(const void* p, size_t bytes) {
  return reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

}  // namespace

static void run_attention(const Stream& stream, ConstView q, ConstView k, ConstView v, ConstView record_offsets,
                          const KeySpan& span, ConstView sinks, float scale, View lse, View out) {
  check_attention(q, k, v, span, sinks, lse, out);
  SWITCHYARD_CHECK(lse.data == nullptr, "attention: the logarithms of denominators are computed on the CPU only");
  SWITCHYARD_CHECK(record_offsets.elements() > 0, "attention: no offsets");
  SWITCHYARD_CHECK(out.dtype == DType::f32 || out.dtype == DType::bf16, "attention: out is {}", name_of(out.dtype));
  const AttentionPlan plan(q, k, v, record_offsets, out.dtype);
  SWITCHYARD_CHECK(stream.workspace.size() >= plan.layout.bytes(), "attention: a workspace of {} bytes, {} are needed",
                   stream.workspace.size(), plan.layout.bytes());
  if (q.elements() == 0) return;
  auto* tiles = reinterpret_cast<Tile*>(stream.workspace.data() + plan.tiles);
  make_tile_table(stream, {record_offsets.as<int64_t>(), static_cast<size_t>(record_offsets.elements())},
                  plan.tile_positions, {tiles, static_cast<size_t>(plan.num_tiles)});

  const auto size = [](int64_t n) { return static_cast<int>(n); };
  const auto by_pieces = [](ConstView x) { return x.shape[2] * size_of(x.dtype) % 16 == 0 && is_aligned(x.data, 16); };
  const AttentionProblem problem{.q = q.data,
                                 .k = k.data,
                                 .v = v.data,
                                 .sinks = sinks.as<float>(),
                                 .offsets = record_offsets.as<int64_t>(),
                                 .tiles = tiles,
                                 .num_tiles = size(plan.num_tiles),
                                 .span = span,
                                 .heads = size(q.shape[1]),
                                 .kv_heads = size(k.shape[1]),
                                 .size = {size(q.shape[2]), size(v.shape[2])},
                                 .group = plan.group,
                                 .parts = plan.parts,
                                 .tile_heads = plan.tile_heads,
                                 .factor = attention_factor(scale),
                                 .by_pieces = by_pieces(q) && by_pieces(k) && by_pieces(v) && by_pieces(out)};
  if (out.dtype == DType::bf16) {
    attention_bf16(stream, plan, problem, out.as<BFloat16>());
  } else {
    attention_f32(stream, plan, problem, out.as<float>());
  }
}
CudaOp<AttentionFn> attention = run_attention;

}  // namespace switchyard::cuda
