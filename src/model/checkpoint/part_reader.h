// Reads the matrices of a checkpoint piece by piece: stored bytes, their hash, and the numbers that they stand for.
#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "model/checkpoint/tensor_table.h"

namespace switchyard {

/// Hash of one part's stored bytes, by the part's id.
struct PartHash {
  std::string id;
  Hash128 hash;
};

/// Whether |x| < limit for each x, which NaN is not. limit: positive, or infinite.
bool all_below(std::span<const float> values, float limit);

/// |x| from here on becomes infinite when it is rounded to f32, bf16 or f16.
float overflow_limit(DType dtype);

/// The first n of a buffer that only grows.
template <class T>
std::span<T> first_of(std::vector<T>& buffer, size_t n) {
  buffer.resize(std::max(buffer.size(), n));
  return std::span(buffer).first(n);
}

/// One thread's: it owns the buffers.
class PartReader {
 public:
  explicit PartReader(const Checkpoint& checkpoint) : checkpoint_(checkpoint) {}

  /// Begins with a part, and reads its scales. Fails (input) on one that is NaN or infinite, naming tensor and index.
  /// operand: what its weights will be rounded to.
  void open(const TensorPart& part, DType operand = DType::f32);
  /// How many rows it takes to read as much at once as is good for files and caches; at least one, at most all.
  int64_t rows_at_once() const;
  /// The next rows, each to to(row), as f32. Fails (input) on the first weight that is NaN or infinite, or becomes so
  /// when it is rounded, naming tensor and index.
  void read(int64_t rows, const std::function<std::span<float>(int64_t row)>& to);
  /// Ends with the part, after its last row: the hash of all its bytes, and that of its scales' bytes.
  void close(std::vector<PartHash>& hashes);

  /// Bytes that a reader holds at most, for a part of `elements` weights whose rows have at most `columns`.
  static size_t buffer_bytes(int64_t elements, int64_t columns, int64_t num_scales);
  /// Weights, of whole rows, that are read at once, at most unless one row has more.
  static constexpr int64_t kWeightsAtOnce = int64_t{1} << 20;

 private:
  std::span<const std::byte> fetch(const StoredMatrix& matrix, uint64_t first, uint64_t bytes, Hasher& hasher);
  RowScales scales_of(int64_t row) const;

  const Checkpoint& checkpoint_;
  const TensorPart* part_ = nullptr;
  float limit_ = 0;  ///< that weights must stay below
  int64_t next_row_ = 0;
  Hasher weights_hasher_, scales_hasher_;
  std::vector<std::byte> stored_;
  std::vector<float> scales_;
};

}  // namespace switchyard
