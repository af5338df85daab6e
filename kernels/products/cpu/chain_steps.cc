#include "kernels/products/cpu/chain_steps.h"

#include <algorithm>
#include <bit>

namespace switchyard {
namespace {

// Of the smallest node that has both slices.
int64_t level_of(int64_t a, int64_t b) {
  return std::bit_width(static_cast<uint64_t>(a ^ b));
}

// A part waits until what follows it, in the smallest node that has both it and the next slice with rows, is whole. So
// of the parts on the stack each waits for a smaller node than the one below.
void append_steps(std::span<const int64_t> slices_with_rows, std::span<const int64_t> rows, bool squared, int node,
                  std::vector<ChainStep>& steps) {
  std::vector<int64_t> waiting;  // the levels of those nodes
  for (size_t i = 0; i < slices_with_rows.size(); ++i) {
    const bool last = i + 1 == slices_with_rows.size();
    const int64_t level = last ? 64 : level_of(slices_with_rows[i], slices_with_rows[i + 1]);
    ChainStep step{rows[i], std::ssize(waiting), false, squared};
    for (; !waiting.empty() && waiting.back() < level; ++step.merges) waiting.pop_back();
    if (last)
      step.node = node;
    else
      waiting.push_back(level);
    steps.push_back(step);
  }
}

}  // namespace

int64_t stack_depth(const SliceRange& slices) {
  return std::bit_width(static_cast<uint64_t>(slices.count()));
}

std::vector<ChainStep> chain_steps(const SliceRange& slices, std::span<const int64_t> offsets, bool squared) {
  std::vector<ChainStep> steps;
  int index = 0;
  for (const SliceRange& node : tree_nodes(slices)) {
    std::vector<int64_t> with_rows, rows;
    for (int64_t slice = node.first; slice < node.end; ++slice) {
      const auto i = static_cast<size_t>(slice - slices.first);
      if (offsets[i] == offsets[i + 1]) continue;
      with_rows.push_back(slice);
      rows.push_back(offsets[i + 1] - offsets[i]);
    }
    if (with_rows.empty()) steps.push_back({.rows = 0, .depth = 0, .resumes = false, .node = index});
    append_steps(with_rows, rows, squared, index++, steps);
  }
  return steps;
}

std::vector<ChainStep> steps_between(std::span<const ChainStep> steps, int64_t first, int64_t end) {
  std::vector<ChainStep> result;
  int64_t begin = 0;
  for (const ChainStep& step : steps) {
    const int64_t from = std::max(first, begin), to = std::min(end, begin + step.rows);
    begin += step.rows;
    if (step.rows == 0 && first == 0) result.push_back(step);
    if (from >= to) continue;
    ChainStep part = step;
    part.rows = to - from;
    part.resumes = from > begin - step.rows;
    if (to < begin) part.squares = false, part.merges = 0, part.node = -1;
    result.push_back(part);
  }
  return result;
}

}  // namespace switchyard
