#include <algorithm>
#include <vector>

#include "kernels/products/cuda/grouped_ffn.h"
#include "kernels/products/cuda/matrix.h"
#include "kernels/products/cuda/product.h"
#include "kernels/products/grouped_ffn.h"

namespace switchyard::cuda {
namespace {

/// One of the two products' weights: a pointer for each group, null for one without rows, and the shape of all.
struct GroupWeights {
  const Matrix* shape = nullptr;  // null: no group has any
  std::vector<const void*> data;
};

GroupWeights collect(std::span<const FfnWeights> weights, PackedMatrix FfnWeights::*member, RowOrder order) {
  GroupWeights result;
  for (size_t g = 0; g < weights.size(); ++g) {
    const PackedMatrix& packed = weights[g].*member;
    result.data.push_back(nullptr);
    if (packed.bytes() == 0) continue;
    const Matrix& w = packed.on_cuda();
    if (result.shape == nullptr) result.shape = &w;
    const Matrix& first = *result.shape;
    SWITCHYARD_CHECK(
        w.n == first.n && w.k == first.k && w.operand == first.operand && w.layout == first.layout && w.order == order,
        "grouped_ffn: group {}: [{}, {}] {}, others [{}, {}] {}", g, w.n, w.k, name_of(w.operand), first.n, first.k,
        name_of(first.operand));
    result.data.back() = w.memory.data();
  }
  return result;
}

/// One of the two products' biases, as above; no elements where no group has any.
std::vector<const float*> collect_biases(std::span<const FfnWeights> weights, OwnedTensor FfnWeights::*member) {
  std::vector<const float*> result;
  for (const FfnWeights& w : weights) result.push_back(static_cast<const float*>((w.*member).view().data));
  if (std::ranges::all_of(result, [](const float* bias) { return bias == nullptr; })) result.clear();
  return result;
}

}  // namespace

void grouped_ffn_in_tiles(const Stream& stream, ConstView x, const GroupedRows& rows,
                          std::span<const FfnWeights> weights, const GatedActivation& activation, GemmOutput output,
                          View y, int32_t tile_rows) {
  check_activation(activation);
  check_biases(weights);
  const GroupWeights gate_up = collect(weights, &FfnWeights::gate_up, RowOrder::gate_up);
  const GroupWeights down = collect(weights, &FfnWeights::down, RowOrder::plain);
  const std::vector<const float*> gate_up_biases = collect_biases(weights, &FfnWeights::gate_up_bias);
  const std::vector<const float*> down_biases = collect_biases(weights, &FfnWeights::down_bias);
  SWITCHYARD_CHECK(rows.offsets.size() == weights.size() + 1, "grouped_ffn: {} offsets for {} groups",
                   rows.offsets.size(), weights.size());
  const int64_t entries = num_entries(rows, x), d = x.row_elements();
  if (entries == 0 || gate_up.shape == nullptr || down.shape == nullptr) return;
  const Matrix &up = *gate_up.shape, &last = *down.shape;
  SWITCHYARD_CHECK(up.k == d && last.n == d && up.n == 2 * last.k && y.row_elements() == d && up.operand == x.dtype &&
                       last.operand == x.dtype && last.layout == up.layout,
                   "grouped_ffn: x {} {}, y {}, gate_up [{}, {}] {}, down [{}, {}] {}", name_of(x.dtype), x.shape.str(),
                   y.shape.str(), up.n, up.k, name_of(up.operand), last.n, last.k, name_of(last.operand));
  SWITCHYARD_CHECK(output == GemmOutput::store || y.dtype == DType::f32, "grouped_ffn adds to {}", name_of(y.dtype));

  const FfnWorkspace workspace(entries, last.k, x.dtype, std::ssize(weights), tile_rows);
  SWITCHYARD_CHECK(stream.workspace.size() >= workspace.bytes, "grouped_ffn: a workspace of {} bytes, {} wanted",
                   stream.workspace.size(), workspace.bytes);
  const std::span<Tile> tiles(reinterpret_cast<Tile*>(stream.workspace.data()), workspace.num_tiles);
  std::byte* activations = stream.workspace.data() + workspace.activations;

  make_tile_table(stream, rows.offsets, tile_rows, tiles);
  Product p{.operand = x.dtype,
            .layout = up.layout,
            .x = x.data,
            .x_stride = d,
            .k = d,
            .weights = gate_up.data,
            .biases = gate_up_biases,
            .n = up.n,
            .padded_k = up.padded_k(),
            .entries = entries,
            .tile_rows = tile_rows,
            .tiles = tiles,
            .input_row = rows.input_row.empty() ? nullptr : rows.input_row.data(),
            .epilogue = Epilogue::swiglu,
            .activation = activation,
            .output = x.dtype,
            .y = activations,
            .y_stride = last.padded_k()};
  product(stream, p);
  p.x = activations;
  p.x_stride = p.k = p.padded_k = last.padded_k();
  p.weights = down.data;
  p.biases = down_biases;
  p.n = d;
  p.input_row = nullptr;
  p.output_row = rows.output_row.empty() ? nullptr : rows.output_row.data();
  p.epilogue = output == GemmOutput::store ? Epilogue::store : Epilogue::add;
  p.output = y.dtype;
  p.y = y.data;
  p.y_stride = d;
  product(stream, p);
}

static void run_grouped_ffn(const Stream& stream, ConstView x, const GroupedRows& rows,
                            std::span<const FfnWeights> weights, const GatedActivation& activation, GemmOutput output,
                            View y) {
  const GroupWeights gate_up = collect(weights, &FfnWeights::gate_up, RowOrder::gate_up);
  if (gate_up.shape == nullptr) return;
  const int32_t tile_rows = tile_rows_for(*gate_up.shape, num_entries(rows, x), std::ssize(weights), x.row_elements());
  grouped_ffn_in_tiles(stream, x, rows, weights, activation, output, y, tile_rows);
}
CudaOp<GroupedFfnFn> grouped_ffn = run_grouped_ffn;

}  // namespace switchyard::cuda
