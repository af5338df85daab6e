// The columns of a scoring run's results: one table. Whatever packs, stores, merges, verifies or sizes results loops
// over it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"

namespace switchyard {

/// What a run stores per record beyond the sums.
struct ResultOptions {
  bool per_token = false;
  std::string embed = "none";  ///< none, mean, last
  int64_t embedding_dim = 0;   ///< 0 unless embed
  bool with_text = false;      ///< and per_token: which tokens they are, and what each is as text
  /// Levels, ascending: of a model of numbers (tokens/bins.h), what is predicted at each scored token.
  std::vector<double> quantiles = {};
  bool operator==(const ResultOptions&) const = default;
};

/// What was computed for one record; all of it finite.
struct ScoredRecord {
  int64_t record = 0;  ///< its index in the input
  // One element per scored token.
  std::span<const float> logprob = {};
  std::span<const int32_t> argmax = {}, target = {};
  std::span<const float> pooled = {};     ///< [embedding_dim]: states over all positions
  std::span<const float> quantiles = {};  ///< [scored tokens, levels]
};

/// How many values a record has.
enum class Extent : uint8_t {
  scalar,        ///< one
  vector,        ///< as many as any other: the dataset is a matrix
  scored_tokens  ///< some per scored token: the dataset is a group of `values`, end to end, and `offsets` [records + 1]
};

struct ResultColumn {
  std::string_view name;
  DType dtype;  ///< f32, f64, i32, i64 or u8
  Extent extent;
  /// Values per record, or per scored token; 0: a run with these options has no such column.
  int64_t (*width)(const ResultOptions&);
  /// Appends a record's values.
  void (*append)(const ScoredRecord&, std::vector<std::byte>& values);
  /// Makes of the last row of `values`, that of a document's pieces so far, and the next piece's the document's row.
  void (*join)(std::vector<std::byte>& values, std::span<const std::byte> piece);
  std::string (*text)(const void* value);  ///< of one, for people

  std::string values_dataset() const;
  std::string offsets_dataset() const;
};

/// The column whose values are token ids, each below the number of the vocabulary's pieces.
inline constexpr std::string_view kTokenId = "token_id";

/// The column with as many values for a scored token as there are levels; they are the results' attribute of this name.
inline constexpr std::string_view kQuantiles = "quantiles";

/// In the order of the datasets. The first is `record`; the input's ids stand before the first that options ask for.
std::span<const ResultColumn> result_columns();

}  // namespace switchyard
