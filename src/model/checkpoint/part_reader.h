// Reads the matrices of a checkpoint piece by piece: stored bytes, their hash, and the numbers that they stand for.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/hash.h"
#include "model/checkpoint/tensor_table.h"

namespace switchyard {

/// Hash of one part's stored bytes, by the part's id.
struct PartHash {
  std::string id;
  Hash128 hash;
};

/// Hash of f32 values that a part has beside its stored ones, in ascending order of their index in the tensor.
class MasterHasher {
 public:
  void add(uint64_t element, float value) {
    if (pending_.size() + kRecordBytes > kMostPending) flush();
    const size_t at = pending_.size();
    pending_.resize(at + kRecordBytes);
    std::memcpy(&pending_[at], &element, sizeof element);
    std::memcpy(&pending_[at + sizeof element], &value, sizeof value);
    any_ = true;
  }
  /// Begins anew; empty where there were none.
  std::optional<Hash128> take() {
    flush();
    const std::optional<Hash128> hash = any_ ? std::optional(hasher_.digest()) : std::nullopt;
    hasher_ = {};
    any_ = false;
    return hash;
  }

 private:
  static constexpr size_t kRecordBytes = sizeof(uint64_t) + sizeof(float), kMostPending = size_t{1} << 14;

  void flush() {
    hasher_.update(std::span<const std::byte>(pending_));
    pending_.clear();
  }

  Hasher hasher_;
  std::vector<std::byte> pending_;  ///< many small pieces would take longer to hash than to read
  bool any_ = false;
};

/// Whether |x| < limit for each x, which NaN is not. limit: positive, or infinite.
bool all_below(std::span<const float> values, float limit);

/// |x| from here on becomes infinite when it is rounded to f32, bf16 or f16.
float overflow_limit(DType dtype);

/// Fails (input) on the first value that is not below the limit, naming it. first: the values' index in the tensor.
void require_below(float limit, std::span<const float> values, std::string_view what, const StoredMatrix& matrix,
                   uint64_t first);

/// The first n of a buffer that only grows.
template <class T>
std::span<T> first_of(std::vector<T>& buffer, size_t n) {
  buffer.resize(std::max(buffer.size(), n));
  return std::span(buffer).first(n);
}

/// Which numbers are read: what is stored, or, where the last delta of a checkpoint has them, the f32 values that it
/// was rounded from.
enum class ReadValues : uint8_t { stored, masters };

/// One thread's: it owns the buffers.
class PartReader {
 public:
  explicit PartReader(const Checkpoint& checkpoint, ReadValues values = ReadValues::stored)
      : checkpoint_(checkpoint), masters_(values == ReadValues::masters ? checkpoint.masters() : nullptr) {}

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
  /// After close(): the hash of the f32 values that were read in place of the part's stored ones, if there were any.
  const std::optional<PartHash>& hash_of_masters() const { return hash_of_masters_; }

  /// Bytes that a reader holds at most, for a part of `elements` weights whose rows have at most `columns`.
  static size_t buffer_bytes(int64_t elements, int64_t columns, int64_t num_scales);
  /// Weights, of whole rows, that are read at once, at most unless one row has more.
  static constexpr int64_t kWeightsAtOnce = int64_t{1} << 20;

 private:
  std::span<const std::byte> fetch(const StoredMatrix& matrix, uint64_t first, uint64_t bytes, Hasher& hasher);
  RowScales scales_of(int64_t row) const;
  void read_masters(int64_t rows, const std::function<std::span<float>(int64_t row)>& to);

  const Checkpoint& checkpoint_;
  const DeltaFile* const masters_;
  MasterHasher masters_hasher_;
  std::optional<PartHash> hash_of_masters_;
  const TensorPart* part_ = nullptr;
  float limit_ = 0;  ///< that weights must stay below
  int64_t next_row_ = 0;
  Hasher weights_hasher_, scales_hasher_;
  std::vector<std::byte> stored_;
  std::vector<float> scales_;
};

}  // namespace switchyard
