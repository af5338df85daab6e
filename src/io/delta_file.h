// A delta: which elements of a model's tensors another model has other bits for, and which (docs/deltas.md).
// It is a safetensors file. Tensor NAME of the model has there, if any element differs,
//   NAME                       I32 or I16 [changed]: the exclusive-or of the elements' bits in the two models, so that
//                              the same file leads there and back
//   NAME:index | NAME:bitmap   which elements these are (io/sparse_values.h)
// and, where the f32 values that the other model was rounded from were kept, of the elements that rounding has changed,
//   NAME:master                F32 [kept]
//   NAME:master:index | NAME:master:bitmap
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/sparse_values.h"

namespace switchyard {

inline constexpr std::string_view kDeltaFormat = "switchyard delta 1";

/// Names of a delta's fields in __metadata__.
namespace delta_field {
inline constexpr const char *kFormat = "format", *kBase = "base", *kResult = "result", *kMaster = "master",
                            *kTensors = "base_tensors", *kElements = "base_elements", *kBytes = "base_bytes",
                            *kTrained = "trained", *kChanged = "changed", *kVanished = "vanished",
                            *kBaseName = "base_name", *kResultName = "result_name", *kVersion = "switchyard";
}  // namespace delta_field

/// What is said of one of the model's tensors: either may be null, not both.
struct DeltaTensor {
  std::unique_ptr<const SparseValues> changed, masters;
};

class DeltaFile {
 public:
  /// Opens it and checks its header. Fails (input) naming the file, and the tensor or field. What lists elements is
  /// checked when it is first used, or by check().
  explicit DeltaFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  uint64_t bytes() const { return file_.size(); }
  const std::map<std::string, DeltaTensor, std::less<>>& tensors() const { return tensors_; }
  const DeltaTensor* find(std::string_view name) const;
  const std::string& base() const { return field(delta_field::kBase); }      ///< hash of the model it begins with
  const std::string& result() const { return field(delta_field::kResult); }  ///< and of the one it leads to
  /// Of all kept f32 values; null where there are none.
  const std::string* master() const { return find_field(delta_field::kMaster); }
  std::optional<uint64_t> number(const char* name) const;      ///< of a field that counts
  const std::string* find_field(std::string_view name) const;  ///< null: it has none
  uint64_t num_changed() const;
  uint64_t num_masters() const;

  /// Reads all of it, and fails (input) on the first list of elements, or value, that is not as it should be.
  void check() const;
  /// Fails (input) where it says something of this tensor of a model that cannot be, as far as headers tell.
  void require_fits(const TensorInfo& tensor) const;
  /// Exchanges one model's bits for the other's: bytes [first, first + bytes.size()) of the tensor. Thread-safe.
  void patch(const TensorInfo& tensor, uint64_t first, std::span<std::byte> bytes) const;
  /// The f32 values of elements of this tensor; null where there are none.
  const SparseValues* masters_of(const TensorInfo& tensor) const;

 private:
  const SparseValues* find_values(const TensorInfo& tensor,
                                  std::unique_ptr<const SparseValues> DeltaTensor::*which) const;
  const std::string& field(std::string_view name) const;
  void check_metadata() const;
  void add(std::string_view name, const std::map<std::string, TensorInfo, std::less<>>& all);

  const InputFile file_;
  SafetensorsMetadata metadata_;
  std::map<std::string, DeltaTensor, std::less<>> tensors_;
};

/// Fails (input) where the later one does not begin with the model that the earlier one leads to.
void require_follows(const DeltaFile& earlier, const DeltaFile& later);

}  // namespace switchyard
