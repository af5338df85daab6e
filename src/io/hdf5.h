// The part of HDF5 that Switchyard needs: 1-D and 2-D datasets of numbers and UTF-8 strings, read and written by
// ranges. Serial HDF5, one writer per file; files are byte-reproducible (no object times). HDF5 is not thread-safe: all
// of this is used by one thread of a process.
#pragma once

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/handle.h"
#include "base/tensor.h"

namespace switchyard::h5 {

template <herr_t (*close)(hid_t)>
struct IdTraits {
  using type = hid_t;
  static type null() { return H5I_INVALID_HID; }
  static void destroy(type id) noexcept { close(id); }
};
using FileHandle = Handle<IdTraits<H5Fclose>>;
using DatasetHandle = Handle<IdTraits<H5Dclose>>;
using TypeHandle = Handle<IdTraits<H5Tclose>>;

/// What a stored dataset holds; integers and floats of up to 64 bits are converted on reading, all else is `other`.
enum class Kind : uint8_t { integer, floating, string, other };

/// A dataset open for reading. Errors are input errors naming file and dataset.
class Dataset {
 public:
  Kind kind() const { return kind_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  int64_t rows() const { return shape_[0]; }
  const std::string& name() const { return name_; }

  /// Rows [first, first + n) into `out`, converted to T; a value that T cannot hold is an error, never clipped.
  /// T: int32_t, int64_t, uint64_t, uint8_t, float, double. out.size() = n · row elements.
  template <class T>
  void read(int64_t first, std::span<T> out) const;
  void read(int64_t first, const View& out) const;  ///< likewise, T as its dtype says; not of 16 bits
  /// Of a 1-D dataset, variable or fixed length; UTF-8 without NUL, or an error.
  std::vector<std::string> read_strings(int64_t first, int64_t count) const;

 private:
  friend class Reader;
  void read_rows(hid_t memory_type, int64_t first, int64_t count, void* out) const;
  template <class T>
  bool fits() const;
  template <class Wide, class T>
  void read_narrowed(int64_t first, int64_t count, std::span<T> out) const;
  int64_t columns() const { return shape_.size() == 2 ? shape_[1] : 1; }

  DatasetHandle id_;
  TypeHandle type_;  ///< as stored
  std::string file_, name_;
  Kind kind_ = Kind::other;
  bool signed_ = false;
  int bits_ = 0;
  std::vector<int64_t> shape_;
};

/// Where a file comes from. HDF5 can crash on corrupt metadata, so a file from outside is first opened in a child
/// process.
enum class Trust : uint8_t { outside, verified };

class Reader {
 public:
  /// Fails (input): missing, not HDF5, truncated, corrupt.
  explicit Reader(const std::filesystem::path& path, Trust trust = Trust::outside);
  bool has(std::string_view name) const;
  /// Fails (input) when missing, not a simple 1-D or 2-D dataset, or not wholly within this file: rows never written,
  /// external and virtual storage would be read as fill values without a word.
  Dataset open(std::string_view name) const;
  /// Names of all datasets, of groups below groups too.
  std::vector<std::string> datasets() const;
  std::optional<std::string> attribute(std::string_view name) const;  ///< string or number of the root group, as text
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  FileHandle id_;
};

/// A file being written. All errors are output errors. Call close() before the file is renamed: it alone can report
/// that the disk was full; a writer destroyed without close() leaves a file of no worth. Groups in names
/// ("tokens/values") are created as needed.
class Writer {
 public:
  explicit Writer(const std::filesystem::path& path);  ///< truncates
  Writer(Writer&&) = default;
  ~Writer() = default;

  /// Whole dataset at once. Shape of `data` is stored.
  void write(std::string_view name, ConstView data);
  void write_strings(std::string_view name, std::span<const std::string> values);  ///< variable-length UTF-8
  void attribute(std::string_view name, std::string_view value);
  void attribute(std::string_view name, int64_t value);
  void attribute(std::string_view name, double value);

  /// A dataset written row after row, with `columns` columns (0: one-dimensional): contiguous and sized beforehand, or
  /// with rows = 0 in chunks, growing by append().
  class Stream {
   public:
    void append(ConstView rows);
    void append_strings(std::span<const std::string> values);
    int64_t rows() const { return rows_; }

   private:
    friend class Writer;
    void append_rows(hid_t memory_type, int64_t count, const void* data);
    DatasetHandle id_;
    std::string file_, name_;
    DType dtype_ = DType::i32;
    bool strings_ = false, stored_u64_ = false;
    int64_t rows_ = 0, columns_ = 0, capacity_ = 0;  ///< capacity 0: grows
  };
  /// stored_u64: i64 rows are stored as unsigned (offsets).
  Stream create(std::string_view name, DType dtype, int64_t rows = 0, int64_t columns = 0, bool stored_u64 = false);
  Stream create_strings(std::string_view name, int64_t rows = 0);

  /// Writes everything to the file and closes it, and with it every stream.
  void close();

 private:
  enum class Layout : uint8_t { whole, chunked };
  Stream make(std::string_view name, hid_t stored_type, int64_t rows, int64_t columns, Layout layout);
  void attribute(std::string_view name, hid_t type, const void* value);

  std::filesystem::path path_;
  FileHandle id_;
};

/// "1.10.8"
std::string library_version();

}  // namespace switchyard::h5
