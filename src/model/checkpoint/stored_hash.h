// A checkpoint's identity from its bytes alone, as they pass by: that which loading it gives (model_hash.h).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/checkpoint/model_hash.h"
#include "model/checkpoint/tensor_table.h"

namespace switchyard {

/// Which parts of the model lie in which tensor.
class StoredParts {
 public:
  struct Part {
    std::string id;
    uint64_t first = 0, end = 0;  ///< bytes of the tensor
  };

  explicit StoredParts(const TensorTable& table);

  /// In the order of their bytes; none of what is no part of the model, nor of a tied head's copy.
  std::span<const Part> of(const TensorInfo& tensor) const;

 private:
  std::map<std::string, std::vector<Part>, std::less<>> parts_;
};

/// Tensors in any order, each one's bytes from its first to its last.
class StoredHasher {
 public:
  explicit StoredHasher(const StoredParts& parts) : parts_(parts) {}

  /// first: of these bytes in the tensor.
  void update(const TensorInfo& tensor, uint64_t first, std::span<const std::byte> bytes);
  Hash128 digest() const { return combine_hashes(hashes_); }

 private:
  const StoredParts& parts_;
  Hasher hasher_;  ///< of the part that is passing by
  std::vector<PartHash> hashes_;
};

/// Of f32 values beside stored ones (ReadValues::masters): tensors in any order, each one's elements ascending.
class StoredMasterHasher {
 public:
  explicit StoredMasterHasher(const StoredParts& parts) : parts_(parts) {}

  /// at: the element's first byte in the tensor.
  void add(const TensorInfo& tensor, uint64_t at, uint64_t element, float value);
  /// Of all; empty where there were none.
  std::optional<Hash128> digest();

 private:
  void end_part();

  const StoredParts& parts_;
  const TensorInfo* tensor_ = nullptr;
  const StoredParts::Part* part_ = nullptr;  ///< that is passing by; null: of none
  uint64_t end_ = 0;                         ///< its last byte's successor
  MasterHasher hasher_;
  std::vector<PartHash> hashes_;
};

/// Of the checkpoint as its files have it, without its deltas. poll: called now and then.
Hash128 hash_without_deltas(const TensorTable& table, const std::function<void()>& poll = {});

}  // namespace switchyard
