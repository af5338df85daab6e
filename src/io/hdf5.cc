#include <algorithm>

#include "io/hdf5_detail.h"
#include "io/json.h"

namespace switchyard::h5 {
void start_library() {
  static const bool started = [] {
    H5dont_atexit();
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    return true;
  }();
  static_cast<void>(started);
}

// Of a failed system call only its text, not the addresses around it.
std::string last_error() {
  std::string message;
  const auto keep_first = [](unsigned n, const H5E_error2_t* entry, void* out) -> herr_t {
    if (n == 0 && entry->desc != nullptr) *static_cast<std::string*>(out) = entry->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, &message);
  constexpr std::string_view kSystemText = "error message = '";
  if (const size_t at = message.find(kSystemText); at != std::string::npos) {
    message.erase(0, at + kSystemText.size());
    message.resize(std::min(message.size(), message.find('\'')));
  }
  return message.empty() ? "unknown HDF5 error" : message;
}

PropertyHandle file_access(const Subject& subject) {
  start_library();
  PropertyHandle access(checked(H5Pcreate(H5P_FILE_ACCESS), subject, "make properties"));
  checked(H5Pset_file_locking(access.get(), false, true), subject, "turn locking off");
  return access;
}

TypeHandle variable_string(H5T_cset_t character_set, const Subject& subject) {
  TypeHandle type(checked(H5Tcopy(H5T_C_S1), subject, "make a string type"));
  checked(H5Tset_size(type.get(), H5T_VARIABLE), subject, "make a string type");
  checked(H5Tset_cset(type.get(), character_set), subject, "make a string type");
  return type;
}

SpaceHandle simple_space(std::span<const hsize_t> extents, const hsize_t* maximum, const Subject& subject) {
  return SpaceHandle(
      checked(H5Screate_simple(static_cast<int>(extents.size()), extents.data(), maximum), subject, "make a space"));
}

Selection select_rows(hid_t dataset, int64_t first, int64_t count, int64_t columns, const Subject& subject) {
  Selection selection;
  selection.file.reset(checked(H5Dget_space(dataset), subject, "find its space"));
  const auto rank =
      static_cast<size_t>(checked(H5Sget_simple_extent_ndims(selection.file.get()), subject, "find rank"));
  const std::array<hsize_t, 2> start{static_cast<hsize_t>(first), 0};
  const std::array<hsize_t, 2> extent{static_cast<hsize_t>(count), static_cast<hsize_t>(columns)};
  checked(H5Sselect_hyperslab(selection.file.get(), H5S_SELECT_SET, start.data(), nullptr, extent.data(), nullptr),
          subject, "select rows");
  selection.memory = simple_space({extent.data(), rank}, nullptr, subject);
  return selection;
}

void check_text(std::string_view text, const Subject& subject, int64_t row) {
  if (text.find('\0') != text.npos) fail(subject.code, "{}: row {} holds a NUL byte", subject.str(), row);
  if (!is_utf8(text)) fail(subject.code, "{}: row {} is not UTF-8", subject.str(), row);
}

std::string library_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace switchyard::h5
