#include "train/pass/step_batch.h"

#include <algorithm>

namespace switchyard {

void StepBatch::begin_slice() {
  slice_records.push_back(batch.records());
  slice_tokens.push_back(batch.tokens());
  slice_rows.push_back(std::ssize(row));
}

void StepBatch::add(std::span<const int32_t> tokens, int64_t context) {
  const auto first = static_cast<int32_t>(batch.tokens());
  const size_t read = tokens.size() - 1;
  for (auto t = static_cast<size_t>(context) - 1; t < read; ++t) {
    row.push_back(first + static_cast<int32_t>(t));
    target.push_back(tokens[t + 1]);
  }
  batch.add(tokens.first(read));
}

StepBatch StepBatch::measuring(const SliceRange& slices, int64_t tokens) {
  StepBatch part(slices);
  if (slices.count() == 0) tokens = 0;
  part.batch = Batch::of_single_tokens(tokens);
  part.row.resize(static_cast<size_t>(tokens));
  part.target.resize(static_cast<size_t>(tokens));
  for (int64_t s = 0; s <= slices.count(); ++s)
    part.slice_tokens.push_back(slices.count() == 0 ? 0 : tokens * s / slices.count());
  part.slice_records = part.slice_rows = part.slice_tokens;
  part.step_tokens = part.step_targets = std::max<int64_t>(tokens, 1);
  return part;
}

std::vector<StepBatch::Piece> StepBatch::pieces(int64_t most_tokens) const {
  std::vector<Piece> all;
  for (int64_t s = 0; s < slices.count(); ++s) {
    const auto i = static_cast<size_t>(s);
    const int64_t tokens = slice_tokens[i + 1] - slice_tokens[i], records = slice_records[i + 1] - slice_records[i];
    if (all.empty() || all.back().tokens + tokens > most_tokens)
      all.push_back({{slices.first + s, slices.first + s}, slice_records[i], 0, slice_tokens[i], 0});
    Piece& piece = all.back();
    piece.slices.end += 1;
    piece.records += records;
    piece.tokens += tokens;
  }
  return all;
}

std::vector<int64_t> StepBatch::token_offsets(const Piece& piece) const {
  std::vector<int64_t> offsets;
  for (int64_t s = piece.slices.first; s <= piece.slices.end; ++s)
    offsets.push_back(slice_tokens[static_cast<size_t>(s - slices.first)] - piece.first_token);
  return offsets;
}

std::vector<int64_t> StepBatch::record_offsets(const Piece& piece) const {
  const auto first = batch.record_offsets.begin() + piece.first_record;
  std::vector<int64_t> offsets(first, first + piece.records + 1);
  for (int64_t& offset : offsets) offset -= piece.first_token;
  return offsets;
}

}  // namespace switchyard
