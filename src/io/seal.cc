#include "io/seal.h"

#include <algorithm>
#include <string>
#include <vector>

#include "io/file.h"

namespace switchyard {
namespace {

constexpr std::string_view kMark = "switchyard-seal\n";
constexpr uint64_t kHashedBytes = uint64_t{4} << 20;

Hash128 hash_of_start(const InputFile& file, uint64_t size, const std::function<void()>& poll) {
  Hasher hasher;
  std::vector<std::byte> block;
  for (uint64_t at = 0; at < size; at += block.size()) {
    block.resize(std::min(kHashedBytes, size - at));
    file.read(at, block);
    hasher.update(std::span<const std::byte>(block));
    if (poll) poll();
  }
  return hasher.digest();
}

std::string seal_text(const Hash128& hash) {
  std::string seal(kMark);
  for (const uint64_t word : {hash.high, hash.low})
    for (int byte = 7; byte >= 0; --byte) seal += static_cast<char>(word >> (8 * byte));
  return seal;
}

}  // namespace

void seal_file(const std::filesystem::path& path, const std::function<void()>& poll) {
  append_bytes(path, seal_text(hash_of_file(path, poll)));
}

Seal examine_seal(const std::filesystem::path& path, const std::function<void()>& poll) {
  const InputFile file(path);
  if (file.size() < kSealBytes) return Seal::missing;
  std::string seal(kSealBytes, '\0');
  file.read(file.size() - kSealBytes, std::as_writable_bytes(std::span(seal)));
  if (!seal.starts_with(kMark)) return Seal::missing;
  return seal == seal_text(hash_of_start(file, file.size() - kSealBytes, poll)) ? Seal::good : Seal::broken;
}

std::string_view describe(Seal seal) {
  return seal == Seal::missing ? "its seal is missing: it is cut off, or another program has written to it"
                               : "its bytes have changed since it was written";
}

void check_seal(const std::filesystem::path& path, const std::function<void()>& poll) {
  std::error_code unreadable;
  const auto type = std::filesystem::status(path, unreadable).type();
  if (type != std::filesystem::file_type::regular && type != std::filesystem::file_type::none)
    throw Damaged(fmt::format("{}: is no file", path.native()));
  const Seal seal = examine_seal(path, poll);
  if (seal == Seal::good) return;
  throw Damaged(fmt::format("{}: {}", path.native(), describe(seal)));
}

Hash128 hash_of_file(const std::filesystem::path& path, const std::function<void()>& poll) {
  const InputFile file(path);
  return hash_of_start(file, file.size(), poll);
}

}  // namespace switchyard
