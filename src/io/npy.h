// NumPy's .npy files: one-dimensional arrays of little-endian integers, read by ranges.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "io/file.h"

namespace switchyard {

struct NpyHeader {
  size_t item_bytes = 0;  ///< 1, 2, 4, 8
  bool is_signed = false;
  int64_t elements = 0;
};
/// The header's text, a Python dictionary: {'descr': '<i4', 'fortran_order': False, 'shape': (3,), }. Fails (input) on
/// any other type, order or number of dimensions.
NpyHeader parse_npy_header(std::string_view text, std::string_view subject);

/// Versions 1.0, 2.0 and 3.0; the file's size must be exactly what the header says. All errors are input errors.
class NpyArray {
 public:
  explicit NpyArray(const std::filesystem::path& path);
  int64_t size() const { return header_.elements; }
  const std::filesystem::path& path() const { return file_.path(); }
  /// Elements [first, first + out.size()), widened. Fails on a u64 beyond i64.
  void read(int64_t first, std::span<int64_t> out) const;

 private:
  InputFile file_;
  NpyHeader header_;
  uint64_t data_start_ = 0;
};

}  // namespace switchyard
