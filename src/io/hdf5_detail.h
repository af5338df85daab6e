// What reading and writing HDF5 share: handles, errors, selections. For hdf5*.cc only.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "io/hdf5.h"

namespace switchyard::h5 {

using SpaceHandle = Handle<IdTraits<H5Sclose>>;
using PropertyHandle = Handle<IdTraits<H5Pclose>>;
using GroupHandle = Handle<IdTraits<H5Gclose>>;
using AttributeHandle = Handle<IdTraits<H5Aclose>>;

/// Who an error is about, and how it ends the program: reading fails as input, writing as output.
struct Subject {
  ExitCode code;
  std::string_view file, dataset = {};
  std::string str() const { return dataset.empty() ? std::string(file) : fmt::format("{}: {}", file, dataset); }
};

/// The result of an HDF5 call, all of which return a negative number on failure.
std::string last_error();  ///< the innermost message of HDF5's error stack
template <class R>
R checked(R result, const Subject& subject, std::string_view action) {
  if (result < 0) fail(subject.code, "{}: cannot {}: {}", subject.str(), action, last_error());
  return result;
}

/// The library's state is ours alone: no printing, and no exit handler, which would once more try to write what a full
/// disk has refused. Called by file_access().
void start_library();

/// Properties to open or create a file with. No locks: parallel file systems often have none, and a file we read is
/// complete before it gets its name.
PropertyHandle file_access(const Subject& subject);

/// Fails (input) when HDF5 crashes or hangs on the file: opens it in a child process, this program started anew.
void probe(const std::filesystem::path& path);

TypeHandle variable_string(H5T_cset_t character_set, const Subject& subject);
SpaceHandle simple_space(std::span<const hsize_t> extents, const hsize_t* maximum, const Subject& subject);

/// Rows [first, first + count) of a dataset and a memory space of the same shape.
struct Selection {
  SpaceHandle file, memory;
};
Selection select_rows(hid_t dataset, int64_t first, int64_t count, int64_t columns, const Subject& subject);

/// Fails unless `text` is UTF-8 without NUL, which HDF5 would take for its end.
void check_text(std::string_view text, const Subject& subject, int64_t row);

}  // namespace switchyard::h5
