// h5::Reader and h5::Dataset.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "io/file.h"
#include "io/hdf5_detail.h"

namespace switchyard::h5 {
namespace {

constexpr int64_t kConversionElements = 1 << 16;
constexpr size_t kReadCacheBytes = 16 << 20;
constexpr size_t kMaxChunkBytes = 256 << 20;
constexpr size_t kMaxFixedStringBytes = 1 << 20;
constexpr int64_t kFixedBlockBytes = 4 << 20;

template <class T>
hid_t native_type() {
  if constexpr (std::is_same_v<T, int32_t>) return H5T_NATIVE_INT32;
  if constexpr (std::is_same_v<T, int64_t>) return H5T_NATIVE_INT64;
  if constexpr (std::is_same_v<T, uint64_t>) return H5T_NATIVE_UINT64;
  if constexpr (std::is_same_v<T, uint8_t>) return H5T_NATIVE_UINT8;
  if constexpr (std::is_same_v<T, float>) return H5T_NATIVE_FLOAT;
  if constexpr (std::is_same_v<T, double>) return H5T_NATIVE_DOUBLE;
}

/// Chunks must be of a sane size, since HDF5 reads them whole, and all there: a missing one reads as fill values.
void check_chunks(hid_t dataset, hid_t creation, const std::vector<int64_t>& shape, size_t element_bytes,
                  const Subject& subject) {
  std::array<hsize_t, 2> chunk{1, 1};
  checked(H5Pget_chunk(creation, 2, chunk.data()), subject, "find its chunks");
  const hsize_t most = kMaxChunkBytes / std::max<size_t>(element_bytes, 1);
  if (chunk[0] == 0 || chunk[1] == 0 || chunk[0] > most || chunk[1] > most / chunk[0])
    fail(subject.code, "{}: expected chunks of at most {} bytes, found {} x {} elements of {}", subject.str(),
         kMaxChunkBytes, chunk[0], chunk[1], element_bytes);
  hsize_t expected = 1, found = 0;
  for (size_t axis = 0; axis < shape.size(); ++axis)
    expected *= (static_cast<hsize_t>(shape[axis]) + chunk[axis] - 1) / chunk[axis];
  const SpaceHandle space(checked(H5Dget_space(dataset), subject, "find its space"));
  checked(H5Dget_num_chunks(dataset, space.get(), &found), subject, "count its chunks");
  if (found < expected)
    fail(subject.code, "{}: some rows were never written: expected {} chunks, found {}", subject.str(), expected,
         found);
}

/// Filters that this HDF5 has not would be missed only when rows are read.
void check_filters(hid_t creation, const Subject& subject) {
  const int count = checked(H5Pget_nfilters(creation), subject, "count its filters");
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
    std::array<char, 64> name{};
    unsigned flags = 0, config = 0;
    size_t values = 0;
    const H5Z_filter_t filter =
        checked(H5Pget_filter2(creation, i, &flags, &values, nullptr, name.size() - 1, name.data(), &config), subject,
                "find its filters");
    if (checked(H5Zfilter_avail(filter), subject, "look for a filter") == 0)
      fail(subject.code, "{}: compressed by filter {}{}{}, which this HDF5 has not: write it again with gzip, or plain",
           subject.str(), filter, name[0] == '\0' ? "" : " ", name.data());
  }
}

/// Fails unless every byte of the dataset lies in this file.
void check_storage(hid_t dataset, hid_t file, const std::vector<int64_t>& shape, size_t element_bytes,
                   const Subject& subject) {
  H5O_info_t file_info{}, dataset_info{};
  checked(H5Oget_info2(file, &file_info, H5O_INFO_BASIC), subject, "inspect the file");
  checked(H5Oget_info2(dataset, &dataset_info, H5O_INFO_BASIC), subject, "inspect the object");
  if (dataset_info.fileno != file_info.fileno) fail(subject.code, "{} lies in another file", subject.str());

  const PropertyHandle creation(checked(H5Dget_create_plist(dataset), subject, "find its layout"));
  const H5D_layout_t layout = checked(H5Pget_layout(creation.get()), subject, "find its layout");
  if (layout == H5D_VIRTUAL || checked(H5Pget_external_count(creation.get()), subject, "find its layout") > 0)
    fail(subject.code, "{}: expected data within the file, found virtual or external storage", subject.str());
  check_filters(creation.get(), subject);
  const hsize_t elements = static_cast<hsize_t>(shape[0]) * static_cast<hsize_t>(shape.size() == 2 ? shape[1] : 1);
  if (elements == 0) return;
  if (layout == H5D_CHUNKED) return check_chunks(dataset, creation.get(), shape, element_bytes, subject);
  hsize_t file_bytes = 0;
  checked(H5Fget_filesize(file, &file_bytes), subject, "find the file's size");
  const hsize_t stored = H5Dget_storage_size(dataset);
  if (stored == 0) fail(subject.code, "{}: its rows were never written", subject.str());
  if (stored > file_bytes || elements > stored / element_bytes)
    fail(subject.code, "{}: expected {} elements of {} bytes, found {} bytes in a file of {}", subject.str(), elements,
         element_bytes, stored, file_bytes);
}

std::vector<int64_t> shape_of(hid_t dataset, const Subject& subject) {
  const SpaceHandle space(checked(H5Dget_space(dataset), subject, "find its space"));
  const int rank = H5Sget_simple_extent_type(space.get()) == H5S_SIMPLE ? H5Sget_simple_extent_ndims(space.get()) : 0;
  if (rank != 1 && rank != 2) fail(subject.code, "{}: expected 1 or 2 dimensions, found {}", subject.str(), rank);
  std::array<hsize_t, 2> extent{1, 1};
  checked(H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr), subject, "find its extent");
  constexpr hsize_t kMost = hsize_t{1} << 58;  // elements of 8 bytes whose offsets an int64_t holds
  if (extent[0] > kMost || extent[1] > kMost / std::max<hsize_t>(extent[0], 1))
    fail(subject.code, "{}: implausible shape {} x {}", subject.str(), extent[0], extent[1]);
  std::vector<int64_t> shape{static_cast<int64_t>(extent[0])};
  if (rank == 2) shape.push_back(static_cast<int64_t>(extent[1]));
  return shape;
}

template <class T, class Wide>
bool holds(Wide value) {
  if constexpr (std::is_integral_v<T>)
    return std::in_range<T>(value);
  else
    return !std::isfinite(value) || std::abs(value) <= static_cast<Wide>(std::numeric_limits<T>::max());
}

struct NumberType {
  Kind kind = Kind::other;
  bool is_signed = false;
  int bits = 0;  ///< of a floating-point number: 32 when an f32 holds it, else 64
};
NumberType number_type(hid_t type, const Subject& subject) {
  const H5T_class_t type_class = H5Tget_class(type);
  const size_t bytes = H5Tget_size(type);
  if (type_class == H5T_STRING) return {Kind::string};
  if (type_class == H5T_INTEGER && bytes <= 8)
    return {Kind::integer, H5Tget_sign(type) == H5T_SGN_2, static_cast<int>(8 * bytes)};
  if (type_class != H5T_FLOAT || bytes > 8) return {};
  size_t sign = 0, exponent_at = 0, exponent = 0, mantissa_at = 0, mantissa = 0;
  checked(H5Tget_fields(type, &sign, &exponent_at, &exponent, &mantissa_at, &mantissa), subject, "find its type");
  if (exponent > 11 || mantissa > 52) return {};
  return {Kind::floating, true, exponent <= 8 && mantissa <= 23 ? 32 : 64};
}

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::integer:
      return "integers";
    case Kind::floating:
      return "floating-point numbers";
    case Kind::string:
      return "strings";
    case Kind::other:
      return "something else";
  }
  return "?";
}

/// A fixed-length string without its padding.
std::string unpadded(std::string_view bytes, H5T_str_t padding) {
  if (padding == H5T_STR_NULLTERM) return std::string(bytes.substr(0, bytes.find('\0')));
  const size_t last = bytes.find_last_not_of(padding == H5T_STR_SPACEPAD ? ' ' : '\0');
  return std::string(bytes.substr(0, last + 1));  // npos + 1 = 0
}

/// Variable-length strings as HDF5 allocates them, given back whatever happens.
class VariableStrings {
 public:
  VariableStrings(size_t count, hid_t type, hid_t space) : pointers(count), type_(type), space_(space) {}
  VariableStrings(const VariableStrings&) = delete;
  VariableStrings& operator=(const VariableStrings&) = delete;
  ~VariableStrings() { H5Dvlen_reclaim(type_, space_, H5P_DEFAULT, pointers.data()); }
  std::vector<char*> pointers;

 private:
  hid_t type_, space_;
};

}  // namespace

void Dataset::read_rows(hid_t memory_type, int64_t first, int64_t count, void* out) const {
  const Subject subject{ExitCode::input, file_, name_};
  const Selection rows = select_rows(id_.get(), first, count, columns(), subject);
  checked(H5Dread(id_.get(), memory_type, rows.memory.get(), rows.file.get(), H5P_DEFAULT, out), subject,
          fmt::format("read rows {} to {}", first, first + count));
}

/// Whether T holds every value of the stored type.
template <class T>
bool Dataset::fits() const {
  constexpr int kBits = 8 * sizeof(T);
  if constexpr (std::is_unsigned_v<T>) return !signed_ && bits_ <= kBits;
  return signed_ ? bits_ <= kBits : bits_ < kBits;
}

/// Through blocks of Wide, which holds every value of the stored type.
template <class Wide, class T>
void Dataset::read_narrowed(int64_t first, int64_t count, std::span<T> out) const {
  const int64_t width = columns(), block_rows = std::max<int64_t>(1, kConversionElements / width);
  std::vector<Wide> block(static_cast<size_t>(std::min(count, block_rows) * width));
  for (int64_t row = 0; row < count; row += block_rows) {
    const int64_t n = std::min(block_rows, count - row);
    read_rows(native_type<Wide>(), first + row, n, block.data());
    for (int64_t i = 0; i < n * width; ++i) {
      const Wide value = block[static_cast<size_t>(i)];
      if (!holds<T>(value))
        fail(ExitCode::input, "{}: {}: row {}: expected {} to {}, found {}", file_, name_, first + row + i / width,
             std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max(), value);
      out[static_cast<size_t>(row * width + i)] = static_cast<T>(value);
    }
  }
}

template <class T>
void Dataset::read(int64_t first, std::span<T> out) const {
  constexpr Kind kExpected = std::is_integral_v<T> ? Kind::integer : Kind::floating;
  if (kind_ != kExpected)
    fail(ExitCode::input, "{}: {}: expected {}, found {}", file_, name_, h5::name_of(kExpected), h5::name_of(kind_));
  if (out.empty()) return;
  const int64_t width = columns(), count = static_cast<int64_t>(out.size()) / std::max<int64_t>(width, 1);
  SWITCHYARD_CHECK(first >= 0 && count <= rows() - first && count * width == static_cast<int64_t>(out.size()),
                   "{}: {} elements from row {} of {} rows of {}", name_, out.size(), first, rows(), width);
  if (fits<T>()) return read_rows(native_type<T>(), first, count, out.data());

  if constexpr (std::is_floating_point_v<T>) {
    read_narrowed<double>(first, count, out);
  } else if (signed_) {
    read_narrowed<int64_t>(first, count, out);
  } else {
    read_narrowed<uint64_t>(first, count, out);
  }
}

template void Dataset::read<int32_t>(int64_t, std::span<int32_t>) const;
template void Dataset::read<int64_t>(int64_t, std::span<int64_t>) const;
template void Dataset::read<uint64_t>(int64_t, std::span<uint64_t>) const;
template void Dataset::read<uint8_t>(int64_t, std::span<uint8_t>) const;
template void Dataset::read<float>(int64_t, std::span<float>) const;
template void Dataset::read<double>(int64_t, std::span<double>) const;

void Dataset::read(int64_t first, const View& out) const {
  switch (out.dtype) {
    case DType::f32:
      return read(first, out.span<float>());
    case DType::f64:
      return read(first, out.span<double>());
    case DType::i32:
      return read(first, out.span<int32_t>());
    case DType::i64:
      return read(first, out.span<int64_t>());
    case DType::u8:
      return read(first, out.span<uint8_t>());
    case DType::bf16:
    case DType::f16:
      fail(ExitCode::internal, "{}: HDF5 datasets of {} are not supported", name_, switchyard::name_of(out.dtype));
  }
}

std::vector<std::string> Dataset::read_strings(int64_t first, int64_t count) const {
  const Subject subject{ExitCode::input, file_, name_};
  if (kind_ != Kind::string || shape_.size() != 1)
    fail(ExitCode::input, "{}: {}: expected a list of strings, found {} in {} dimensions", file_, name_,
         h5::name_of(kind_), shape_.size());
  SWITCHYARD_CHECK(first >= 0 && count >= 0 && count <= rows() - first, "{}: rows {} + {} of {}", name_, first, count,
                   rows());
  std::vector<std::string> strings;
  if (count == 0) return strings;
  strings.reserve(static_cast<size_t>(count));
  if (checked(H5Tis_variable_str(type_.get()), subject, "find its type") > 0) {
    const TypeHandle type = variable_string(H5Tget_cset(type_.get()), subject);
    const std::array<hsize_t, 1> extent{static_cast<hsize_t>(count)};
    const SpaceHandle space = simple_space(extent, nullptr, subject);
    VariableStrings raw(static_cast<size_t>(count), type.get(), space.get());
    read_rows(type.get(), first, count, raw.pointers.data());
    for (const char* text : raw.pointers) strings.emplace_back(text == nullptr ? "" : text);
  } else {
    const size_t bytes = H5Tget_size(type_.get());
    if (bytes > kMaxFixedStringBytes)
      fail(ExitCode::input, "{}: {}: expected strings of at most {} bytes, found {}", file_, name_,
           kMaxFixedStringBytes, bytes);
    const H5T_str_t padding = H5Tget_strpad(type_.get());
    const int64_t block_rows = std::max<int64_t>(1, kFixedBlockBytes / static_cast<int64_t>(bytes));
    std::string block;
    for (int64_t row = 0; row < count; row += block_rows) {
      const int64_t n = std::min(block_rows, count - row);
      block.assign(bytes * static_cast<size_t>(n), '\0');
      read_rows(type_.get(), first + row, n, block.data());
      for (size_t i = 0; i < static_cast<size_t>(n); ++i)
        strings.push_back(unpadded(std::string_view(block).substr(i * bytes, bytes), padding));
    }
  }
  for (int64_t i = 0; i < count; ++i) check_text(strings[static_cast<size_t>(i)], subject, first + i);
  return strings;
}

Reader::Reader(const std::filesystem::path& path, Trust trust) : path_(path) {
  const InputFile exists(path);  // before HDF5, whose message for a missing file is obscure and which waits for a FIFO
  if (trust == Trust::outside) probe(path);
  const Subject subject{ExitCode::input, path.native()};
  const PropertyHandle access = file_access(subject);
  id_.reset(checked(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), subject, "open as HDF5"));
}

bool Reader::has(std::string_view name) const {
  const Subject subject{ExitCode::input, path_.native(), name};
  for (size_t end = 0; end != name.npos;) {  // every group on the way must be asked for in turn
    end = name.find('/', end + 1);
    const std::string part(name.substr(0, end));
    if (checked(H5Lexists(id_.get(), part.c_str(), H5P_DEFAULT), subject, "look up") == 0) return false;
  }
  if (checked(H5Oexists_by_name(id_.get(), std::string(name).c_str(), H5P_DEFAULT), subject, "look up") > 0)
    return true;
  fail(ExitCode::input, "{}: {}: is a link that leads nowhere", path_.native(), name);
}

std::vector<std::string> Reader::datasets() const {
  std::vector<std::string> names;
  const auto collect = [](hid_t, const char* name, const H5O_info_t* info, void* out) -> herr_t {
    if (info->type == H5O_TYPE_DATASET) static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  checked(H5Ovisit2(id_.get(), H5_INDEX_NAME, H5_ITER_INC, collect, &names, H5O_INFO_BASIC),
          Subject{ExitCode::input, path_.native()}, "list");
  return names;
}

Dataset Reader::open(std::string_view name) const {
  const Subject subject{ExitCode::input, path_.native(), name};
  if (!has(name)) fail(ExitCode::input, "{}: dataset {} is missing", path_.native(), name);
  PropertyHandle access(checked(H5Pcreate(H5P_DATASET_ACCESS), subject, "make properties"));
  // Read once, from front to back: a few whole chunks, the finished ones dropped first.
  checked(H5Pset_chunk_cache(access.get(), 521, kReadCacheBytes, 1.0), subject, "set the cache");
  Dataset dataset;
  dataset.file_ = path_.native();
  dataset.name_ = name;
  dataset.id_.reset(checked(H5Dopen2(id_.get(), dataset.name_.c_str(), access.get()), subject, "open as a dataset"));
  dataset.type_.reset(checked(H5Dget_type(dataset.id_.get()), subject, "find its type"));
  const NumberType type = number_type(dataset.type_.get(), subject);
  dataset.kind_ = type.kind;
  dataset.signed_ = type.is_signed;
  dataset.bits_ = type.bits;
  dataset.shape_ = shape_of(dataset.id_.get(), subject);
  check_storage(dataset.id_.get(), id_.get(), dataset.shape_, H5Tget_size(dataset.type_.get()), subject);
  return dataset;
}

std::optional<std::string> Reader::attribute(std::string_view name) const {
  const Subject subject{ExitCode::input, path_.native(), name};
  const std::string key(name);
  if (checked(H5Aexists(id_.get(), key.c_str()), subject, "look up the attribute") == 0) return std::nullopt;
  const AttributeHandle id(checked(H5Aopen(id_.get(), key.c_str(), H5P_DEFAULT), subject, "open the attribute"));
  const TypeHandle type(checked(H5Aget_type(id.get()), subject, "find its type"));
  const SpaceHandle space(checked(H5Aget_space(id.get()), subject, "find its space"));
  if (H5Sget_simple_extent_npoints(space.get()) != 1)
    fail(ExitCode::input, "{}: attribute {}: expected one value", path_.native(), name);
  const auto read = [&](hid_t memory_type, void* out) {
    checked(H5Aread(id.get(), memory_type, out), subject, "read the attribute");
  };
  const NumberType number = number_type(type.get(), subject);
  if (number.kind == Kind::integer && number.is_signed) {
    int64_t value = 0;
    read(H5T_NATIVE_INT64, &value);
    return fmt::to_string(value);
  }
  if (number.kind == Kind::integer) {
    uint64_t value = 0;
    read(H5T_NATIVE_UINT64, &value);
    return fmt::to_string(value);
  }
  if (number.kind == Kind::floating) {
    double value = 0;
    read(H5T_NATIVE_DOUBLE, &value);
    return fmt::to_string(value);
  }
  if (number.kind != Kind::string)
    fail(ExitCode::input, "{}: attribute {}: expected text or a number", path_.native(), name);
  if (checked(H5Tis_variable_str(type.get()), subject, "find its type") > 0) {
    VariableStrings raw(1, type.get(), space.get());
    read(type.get(), raw.pointers.data());
    return raw.pointers[0] == nullptr ? "" : raw.pointers[0];
  }
  const size_t bytes = H5Tget_size(type.get());
  if (bytes > kMaxFixedStringBytes) fail(ExitCode::input, "{}: attribute {} is too long", path_.native(), name);
  std::string text(bytes, '\0');
  read(type.get(), text.data());
  return unpadded(text, H5Tget_strpad(type.get()));
}

}  // namespace switchyard::h5
