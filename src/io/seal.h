// A seal at the end of a file of ours: the hash of all that stands before it. Readers of the format (HDF5) do not look
// beyond their data, so the file stays theirs to read; we open no file of ours whose bytes have changed.
#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "base/error.h"
#include "base/hash.h"

namespace switchyard {

/// A file of ours that can be read, but is not what we wrote: of no use to anybody. (One that cannot be read may well
/// be.)
class Damaged : public Error {
 public:
  explicit Damaged(const std::string& message) : Error(ExitCode::input, message) {}
};

inline constexpr size_t kSealBytes = 32;  ///< "switchyard-seal\n" and 16 bytes of XXH3-128

/// Appends the seal to a complete, closed file. `poll` is called now and then. Fails (output).
void seal_file(const std::filesystem::path& path, const std::function<void()>& poll = {});

enum class Seal : uint8_t { good, missing, broken };
/// What is wrong with one that is not good: "its …".
std::string_view describe(Seal seal);
/// Reads the whole file. Fails (input) if it cannot be read.
Seal examine_seal(const std::filesystem::path& path, const std::function<void()>& poll = {});

/// Throws Damaged unless there is a file with a good seal; fails (input) if it cannot be read.
void check_seal(const std::filesystem::path& path, const std::function<void()>& poll = {});

/// Of a whole file. Fails (input).
Hash128 hash_of_file(const std::filesystem::path& path, const std::function<void()>& poll = {});

}  // namespace switchyard
