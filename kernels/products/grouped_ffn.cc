#include "kernels/products/grouped_ffn.h"

#include <cstring>
#include <vector>

#include "kernels/cpu/scratch_layouts.h"
#include "kernels/products/cpu/packed_matrix_impl.h"
#include "kernels/products/cpu/swiglu.h"
#include "kernels/row_blocks.h"

namespace switchyard {

FfnScratch::FfnScratch(const MatrixPanels& gate_up, const MatrixPanels& down) {
  constexpr auto n = static_cast<size_t>(kRows), padded = static_cast<size_t>(kRows + kMaxPaddingRows);
  x = layout.add(n * gate_up.row_bytes());
  product =
      layout.add(padded * static_cast<size_t>(std::max(gate_up.max_columns(), down.max_columns())) * sizeof(float));
  act = layout.add(n * down.row_bytes());
  widened = layout.add(std::max(gate_up.widened_bytes(), down.widened_bytes()));
  workspace = layout.add(std::max(gate_up.workspace_bytes(), down.workspace_bytes()));
}

namespace {

/// A block of one group's entries.
struct Task {
  const FfnWeights* weights;
  int64_t first, count;
};

std::vector<Task> make_tasks(const GroupedRows& rows, std::span<const FfnWeights> weights, int num_threads) {
  constexpr int64_t kWhole = FfnScratch::kBlockRows;
  // Where there are few rows, smaller blocks keep more threads busy.
  const int64_t native_block = rows.offsets.back() < kWhole * 4 * num_threads ? kWhole / 2 : kWhole;
  std::vector<Task> tasks;
  for (size_t g = 0; g + 1 < rows.offsets.size(); ++g) {
    const int64_t end = rows.offsets[g + 1];
    if (end == rows.offsets[g]) continue;
    const FfnWeights& w = weights[g];
    SWITCHYARD_CHECK(w.down.k() * 2 == w.gate_up.n() && w.down.n() == w.gate_up.k() &&
                         w.gate_up.impl().order == RowOrder::gate_up && w.down.impl().order == RowOrder::plain,
                     "grouped_ffn: group {}: gate_up [{}, {}], down [{}, {}]", g, w.gate_up.n(), w.gate_up.k(),
                     w.down.n(), w.down.k());
    // What is left after whole blocks joins the last one: a short task would fetch the weights for a few rows.
    const int64_t block = w.gate_up.impl().panels.rows_per_task(native_block, kWhole);
    for (int64_t i = rows.offsets[g]; i < end; i += tasks.back().count)
      tasks.push_back({&w, i, end - i <= block + FfnScratch::kRemainder ? end - i : block});
  }
  // Whole blocks first, a group's one after the other while its weights are in the cache; then ever shorter ones, which
  // fill the end.
  std::stable_sort(tasks.begin(), tasks.end(), [&](const Task& a, const Task& b) {
    return std::min(a.count, native_block) > std::min(b.count, native_block);
  });
  return tasks;
}

/// What all tasks share.
struct Call {
  ConstView x;
  const GroupedRows& rows;
  const GatedActivation& activation;
  GemmOutput output;
  View y;
};

/// Null: none.
const float* values_of(const OwnedTensor& bias) {
  return static_cast<const float*>(bias.view().data);
}

/// To `columns` of each row of a panel's product.
void add_bias(const float* bias, int64_t columns, float* product, int64_t rows, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) add_to(product + r * stride, bias, columns);
}

/// Entry i's row: the list's, or i itself.
int64_t row_of(std::span<const int32_t> list, int64_t i) {
  return list.empty() ? i : list[static_cast<size_t>(i)];
}

void gather(ConstView x, std::span<const int32_t> input_row, const Task& task, size_t row_bytes, std::byte* to) {
  for (int64_t i = task.first; i < task.first + task.count; ++i, to += row_bytes) {
    const int64_t row = row_of(input_row, i);
    SWITCHYARD_CHECK(row >= 0 && row < x.rows(), "grouped_ffn: input row {} of {}", row, x.rows());
    std::memcpy(to, static_cast<const std::byte*>(x.data) + static_cast<size_t>(row) * row_bytes, row_bytes);
  }
}

template <class T>
void scatter(const float* panel, int64_t columns, std::span<const int32_t> output_row, const Task& task,
             int64_t first_column, GemmOutput output, View y) {
  T* out = y.as<T>() + first_column;
  for (int64_t entry = task.first; entry < task.first + task.count; ++entry, panel += columns) {
    const int64_t row = row_of(output_row, entry);
    SWITCHYARD_CHECK(row >= 0 && row < y.rows(), "grouped_ffn: output row {} of {}", row, y.rows());
    T* to = out + row * y.row_elements();
    if (output == GemmOutput::store) {
      for_lanes(columns, [&](int64_t i, auto read, auto write) { write(to + i, read(panel + i)); });
    } else {
      for_lanes(columns, [&](int64_t i, auto read, auto write) { write(to + i, read(to + i) + read(panel + i)); });
    }
  }
}

void run_task(const Task& task, const Call& call) {
  const PackedMatrix::Impl &gate_up = task.weights->gate_up.impl(), &down = task.weights->down.impl();
  const FfnScratch scratch(gate_up.panels, down.panels);
  std::byte* memory = thread_scratch(scratch.layout.bytes());
  std::byte *widened = memory + scratch.widened, *workspace = memory + scratch.workspace;
  auto* product = reinterpret_cast<float*>(memory + scratch.product);
  const float *gate_up_bias = values_of(task.weights->gate_up_bias), *down_bias = values_of(task.weights->down_bias);
  const int64_t f = down.panels.k();

  gather(call.x, call.rows.input_row, task, gate_up.panels.row_bytes(), memory + scratch.x);
  for (int64_t p = 0; p < gate_up.panels.count(); ++p) {
    const int64_t columns = gate_up.panels.columns(p) / 2, first = gate_up.panels.first_column(p) / 2;
    gate_up.panels.product(p).run(memory + scratch.x, task.count, gate_up.prepared(p, widened), product, workspace);
    if (gate_up_bias != nullptr) {
      add_bias(gate_up_bias + first, columns, product, task.count, 2 * columns);
      add_bias(gate_up_bias + f + first, columns, product + columns, task.count, 2 * columns);
    }
    with_float_type(down.panels.operand(), "grouped_ffn", [&](auto element) {
      auto* act = reinterpret_cast<decltype(element)*>(memory + scratch.act);
      swiglu_rows(call.activation, product, task.count, columns, act + first, f);
    });
  }
  for (int64_t p = 0; p < down.panels.count(); ++p) {
    const int64_t columns = down.panels.columns(p), first = down.panels.first_column(p);
    down.panels.product(p).run(memory + scratch.act, task.count, down.prepared(p, widened), product, workspace);
    if (down_bias != nullptr) add_bias(down_bias + first, columns, product, task.count, columns);
    with_float_type(call.y.dtype, "grouped_ffn", [&](auto element) {
      scatter<decltype(element)>(product, columns, call.rows.output_row, task, first, call.output, call.y);
    });
  }
}

}  // namespace

void check_activation(const GatedActivation& activation) {
  SWITCHYARD_CHECK(!activation.clamped || activation.limit > 0, "grouped_ffn: activations clamped at {}",
                   activation.limit);
}

void check_biases(std::span<const FfnWeights> weights) {
  const FfnWeights* first = nullptr;
  for (const FfnWeights& w : weights) {
    if (w.down.n() == 0) continue;
    if (first == nullptr) first = &w;
    const auto fits = [&](OwnedTensor FfnWeights::*member, int64_t n) {
      const ConstView bias = (w.*member).view();
      if ((bias.data == nullptr) != ((first->*member).view().data == nullptr)) return false;
      return bias.data == nullptr || (bias.dtype == DType::f32 && bias.elements() == n);
    };
    SWITCHYARD_CHECK(fits(&FfnWeights::gate_up_bias, w.gate_up.n()) && fits(&FfnWeights::down_bias, w.down.n()),
                     "grouped_ffn: group {}: biases {} and {} of products of {} and {}, not as the first group's",
                     &w - weights.data(), w.gate_up_bias.view().shape.str(), w.down_bias.view().shape.str(),
                     w.gate_up.n(), w.down.n());
  }
}

namespace cpu {

size_t grouped_ffn_bytes(ConstView, const GroupedRows&, std::span<const FfnWeights> weights, const GatedActivation&,
                         GemmOutput, View) {
  size_t most = 0;
  for (const FfnWeights& w : weights)
    if (w.down.bytes() > 0)
      most = std::max(most, FfnScratch(w.gate_up.impl().panels, w.down.impl().panels).layout.bytes());
  return most;
}

void grouped_ffn(const Stream& stream, ConstView x, const GroupedRows& rows, std::span<const FfnWeights> weights,
                 const GatedActivation& activation, GemmOutput output, View y) {
  const auto covers = [&](std::span<const int32_t> list, int64_t num_rows) {
    return rows.offsets.back() <= (list.empty() ? num_rows : std::ssize(list));
  };
  SWITCHYARD_CHECK(rows.offsets.size() == weights.size() + 1 && covers(rows.input_row, x.rows()) &&
                       covers(rows.output_row, y.rows()),
                   "grouped_ffn: {} offsets for {} groups, {} input rows, {} output rows", rows.offsets.size(),
                   weights.size(), rows.input_row.size(), rows.output_row.size());
  SWITCHYARD_CHECK(output == GemmOutput::store || y.dtype == DType::f32, "grouped_ffn adds to {}", name_of(y.dtype));
  check_activation(activation);
  check_biases(weights);
  const std::vector<Task> tasks = make_tasks(rows, weights, stream.pool->num_threads());
  for (const Task& task : tasks)
    SWITCHYARD_CHECK(task.weights->gate_up.k() == x.row_elements() && task.weights->gate_up.operand() == x.dtype &&
                         task.weights->down.operand() == x.dtype && y.row_elements() == x.row_elements(),
                     "grouped_ffn: x {} {}, y {}, gate_up [{}, {}] {}", name_of(x.dtype), x.shape.str(), y.shape.str(),
                     task.weights->gate_up.n(), task.weights->gate_up.k(), name_of(task.weights->gate_up.operand()));
  const Call call{x, rows, activation, output, y};
  stream.parallel_for(static_cast<int64_t>(tasks.size()),
                      [&](int64_t i, int) { run_task(tasks[static_cast<size_t>(i)], call); });
}

}  // namespace cpu
}  // namespace switchyard
