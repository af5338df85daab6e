// Merging the tokens of a word: always the pair of the least rank, of equal ones the leftmost.
#pragma once

#include <cstdint>
#include <vector>

#include "tokens/merge_table.h"
#include "tokens/merge_windows.h"

namespace switchyard {

/// Memory that merge_all works in; kept from call to call.
struct MergeScratch {
  struct Symbol {
    int32_t token;
    int32_t previous, next;  ///< -1: none
    Merge merge;             ///< with the next
  };
  WindowScratch windows;
  std::vector<Symbol> symbols;
  std::vector<uint64_t> heap;
};

/// Merges the tokens of a word until no pair is left: `tokens` becomes shorter. n log n at worst for n tokens, of fewer
/// than 2^31; for long words of most texts n.
void merge_all(const MergeTable& table, std::vector<int32_t>& tokens, MergeScratch& scratch);

}  // namespace switchyard
