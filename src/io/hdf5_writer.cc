// h5::Writer and its streams.
#include <algorithm>

#include "io/hdf5_detail.h"

namespace switchyard::h5 {
namespace {

constexpr size_t kChunkBytes = 256 << 10;

hid_t memory_type_of(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return H5T_NATIVE_UINT8;
    case DType::i32:
      return H5T_NATIVE_INT32;
    case DType::i64:
      return H5T_NATIVE_INT64;
    case DType::f32:
      return H5T_NATIVE_FLOAT;
    case DType::f64:
      return H5T_NATIVE_DOUBLE;
    case DType::bf16:
    case DType::f16:
      break;
  }
  fail(ExitCode::internal, "HDF5 datasets of {} are not supported", name_of(dtype));
}

hid_t stored_type_of(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return H5T_STD_U8LE;
    case DType::i32:
      return H5T_STD_I32LE;
    case DType::i64:
      return H5T_STD_I64LE;
    case DType::f32:
      return H5T_IEEE_F32LE;
    case DType::f64:
      return H5T_IEEE_F64LE;
    case DType::bf16:
    case DType::f16:
      break;
  }
  fail(ExitCode::internal, "HDF5 datasets of {} are not supported", name_of(dtype));
}

}  // namespace

Writer::Writer(const std::filesystem::path& path) : path_(path) {
  const Subject subject{ExitCode::output, path.native()};
  const PropertyHandle access = file_access(subject);
  // Closing the file closes its datasets too, so that close() has written everything whoever still holds a stream.
  checked(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), subject, "set properties");
  const PropertyHandle creation(checked(H5Pcreate(H5P_FILE_CREATE), subject, "make properties"));
  checked(H5Pset_obj_track_times(creation.get(), false), subject, "set properties");
  id_.reset(checked(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), subject, "create"));
}

Writer::Stream Writer::make(std::string_view name, hid_t stored_type, int64_t rows, int64_t columns, Layout layout) {
  const Subject subject{ExitCode::output, path_.native(), name};
  SWITCHYARD_CHECK(rows >= 0 && columns >= 0, "{}: shape [{}, {}]", name, rows, columns);
  for (size_t end = name.find('/'); end != name.npos; end = name.find('/', end + 1)) {
    const std::string group(name.substr(0, end));
    if (checked(H5Lexists(id_.get(), group.c_str(), H5P_DEFAULT), subject, "look up its group") > 0) continue;
    const PropertyHandle properties(checked(H5Pcreate(H5P_GROUP_CREATE), subject, "make properties"));
    checked(H5Pset_obj_track_times(properties.get(), false), subject, "set properties");
    const GroupHandle made(checked(H5Gcreate2(id_.get(), group.c_str(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
                                   subject, "create its group"));
  }
  const PropertyHandle properties(checked(H5Pcreate(H5P_DATASET_CREATE), subject, "make properties"));
  checked(H5Pset_obj_track_times(properties.get(), false), subject, "set properties");
  if (H5Tget_class(stored_type) != H5T_STRING)  // rows are written before they are read; strings need a fill value
    checked(H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER), subject, "set properties");

  const std::array<hsize_t, 2> extent{static_cast<hsize_t>(rows), static_cast<hsize_t>(columns)};
  const std::array<hsize_t, 2> maximum{layout == Layout::chunked ? H5S_UNLIMITED : extent[0], extent[1]};
  const size_t rank = columns == 0 ? 1 : 2;
  const SpaceHandle space = simple_space({extent.data(), rank}, maximum.data(), subject);
  if (layout == Layout::chunked) {
    const size_t row_bytes = H5Tget_size(stored_type) * static_cast<size_t>(std::max<int64_t>(columns, 1));
    const std::array<hsize_t, 2> chunk{std::max<size_t>(1, kChunkBytes / row_bytes), extent[1]};
    checked(H5Pset_chunk(properties.get(), static_cast<int>(rank), chunk.data()), subject, "set the chunk size");
  }
  Stream stream;
  stream.file_ = path_.native();
  stream.name_ = name;
  stream.columns_ = columns;
  stream.capacity_ = layout == Layout::chunked ? 0 : rows;
  stream.id_.reset(checked(
      H5Dcreate2(id_.get(), stream.name_.c_str(), stored_type, space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
      subject, "create"));
  return stream;
}

Writer::Stream Writer::create(std::string_view name, DType dtype, int64_t rows, int64_t columns, bool stored_u64) {
  SWITCHYARD_CHECK(!stored_u64 || dtype == DType::i64, "{}: only i64 is stored as u64", name);
  Stream stream = make(name, stored_u64 ? H5T_STD_U64LE : stored_type_of(dtype), rows, columns,
                       rows == 0 ? Layout::chunked : Layout::whole);
  stream.dtype_ = dtype;
  stream.stored_u64_ = stored_u64;
  return stream;
}

Writer::Stream Writer::create_strings(std::string_view name, int64_t rows) {
  const TypeHandle type = variable_string(H5T_CSET_UTF8, {ExitCode::output, path_.native(), name});
  Stream stream = make(name, type.get(), rows, 0, rows == 0 ? Layout::chunked : Layout::whole);
  stream.strings_ = true;
  return stream;
}

void Writer::write(std::string_view name, ConstView data) {
  SWITCHYARD_CHECK(data.shape.rank() == 1 || data.shape.rank() == 2, "{}: shape {}", name, data.shape.str());
  const int64_t columns = data.shape.rank() == 2 ? data.shape[1] : 0;
  Stream stream = make(name, stored_type_of(data.dtype), data.rows(), columns, Layout::whole);
  stream.dtype_ = data.dtype;
  stream.append(data);
}

void Writer::write_strings(std::string_view name, std::span<const std::string> values) {
  const TypeHandle type = variable_string(H5T_CSET_UTF8, {ExitCode::output, path_.native(), name});
  Stream stream = make(name, type.get(), static_cast<int64_t>(values.size()), 0, Layout::whole);
  stream.strings_ = true;
  stream.append_strings(values);
}

void Writer::Stream::append_rows(hid_t memory_type, int64_t count, const void* data) {
  const Subject subject{ExitCode::output, file_, name_};
  if (count == 0) return;
  SWITCHYARD_CHECK(capacity_ == 0 || count <= capacity_ - rows_, "{}: {} + {} rows of {}", name_, rows_, count,
                   capacity_);
  if (capacity_ == 0) {
    const std::array<hsize_t, 2> extent{static_cast<hsize_t>(rows_ + count), static_cast<hsize_t>(columns_)};
    checked(H5Dset_extent(id_.get(), extent.data()), subject, "extend");
  }
  const Selection rows = select_rows(id_.get(), rows_, count, columns_, subject);
  checked(H5Dwrite(id_.get(), memory_type, rows.memory.get(), rows.file.get(), H5P_DEFAULT, data), subject, "write");
  rows_ += count;
}

void Writer::Stream::append(ConstView rows) {
  SWITCHYARD_CHECK(!strings_ && rows.dtype == dtype_ && rows.row_elements() == std::max<int64_t>(columns_, 1),
                   "{}: {} rows of {} appended to {}, {} columns", name_, name_of(rows.dtype), rows.row_elements(),
                   name_of(dtype_), columns_);
  if (stored_u64_)
    for (const int64_t value : rows.span<int64_t>())
      SWITCHYARD_CHECK(value >= 0, "{}: {} stored as unsigned", name_, value);
  append_rows(memory_type_of(dtype_), rows.rows(), rows.data);
}

void Writer::Stream::append_strings(std::span<const std::string> values) {
  const Subject subject{ExitCode::output, file_, name_};
  SWITCHYARD_CHECK(strings_, "{}: strings appended to numbers", name_);
  std::vector<const char*> pointers;
  pointers.reserve(values.size());
  for (const std::string& value : values) {
    check_text(value, subject, rows_ + static_cast<int64_t>(pointers.size()));
    pointers.push_back(value.c_str());
  }
  append_rows(variable_string(H5T_CSET_UTF8, subject).get(), static_cast<int64_t>(values.size()), pointers.data());
}

void Writer::attribute(std::string_view name, hid_t type, const void* value) {
  const Subject subject{ExitCode::output, path_.native(), name};
  const SpaceHandle scalar(checked(H5Screate(H5S_SCALAR), subject, "make a space"));
  const AttributeHandle id(
      checked(H5Acreate2(id_.get(), std::string(name).c_str(), type, scalar.get(), H5P_DEFAULT, H5P_DEFAULT), subject,
              "create the attribute"));
  checked(H5Awrite(id.get(), type, value), subject, "write the attribute");
}

void Writer::attribute(std::string_view name, std::string_view value) {
  const Subject subject{ExitCode::output, path_.native(), name};
  check_text(value, subject, 0);
  const std::string text(value);
  const char* pointer = text.c_str();
  attribute(name, variable_string(H5T_CSET_UTF8, subject).get(), &pointer);
}

void Writer::attribute(std::string_view name, int64_t value) {
  attribute(name, H5T_STD_I64LE, &value);
}
void Writer::attribute(std::string_view name, double value) {
  attribute(name, H5T_IEEE_F64LE, &value);
}

void Writer::close() {
  const Subject subject{ExitCode::output, path_.native()};
  checked(H5Fflush(id_.get(), H5F_SCOPE_LOCAL), subject, "write");
  checked(H5Fclose(id_.release()), subject, "close");
}

}  // namespace switchyard::h5
