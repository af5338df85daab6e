// The texts of a run with --with-text.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "jobs/score/results.h"
#include "tests/support/column_of.h"

namespace switchyard::test {

/// The pieces of each row's scored tokens, one behind the other.
inline std::vector<std::string> texts_of(const ResultRows& rows, const std::filesystem::path& results) {
  const h5::Reader file(results);
  const h5::Dataset values = file.open(kPieceValues), offsets = file.open(kPieceOffsets);
  std::vector<uint8_t> bytes(static_cast<size_t>(values.rows()));
  std::vector<int64_t> ends(static_cast<size_t>(offsets.rows()));
  values.read(0, std::span(bytes));
  offsets.read(0, std::span(ends));
  const std::vector<int32_t> ids = values_of<int32_t>(rows, kTokenId);
  const std::vector<int64_t>& places = column_of(rows, kTokenId).offsets;
  std::vector<std::string> texts;
  for (size_t row = 0; row + 1 < places.size(); ++row) {
    std::string& text = texts.emplace_back();
    for (int64_t i = places[row]; i < places[row + 1]; ++i) {
      const auto id = static_cast<size_t>(ids[static_cast<size_t>(i)]);
      text.append(bytes.begin() + ends[id], bytes.begin() + ends[id + 1]);
    }
  }
  return texts;
}

}  // namespace switchyard::test
