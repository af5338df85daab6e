#include "model/checkpoint/model_hash.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "comm/collectively.h"

namespace switchyard {
namespace {

std::vector<std::byte> pack_hashes(const std::vector<PartHash>& parts) {
  std::vector<std::byte> out;
  const auto put = [&](const void* data, size_t bytes) {
    const auto* p = static_cast<const std::byte*>(data);
    out.insert(out.end(), p, p + bytes);
  };
  for (const PartHash& part : parts) {
    const uint64_t length = part.id.size();
    put(&length, sizeof length);
    put(part.id.data(), length);
    put(&part.hash, sizeof part.hash);
  }
  return out;
}

void unpack_hashes(std::span<const std::byte> bytes, std::vector<PartHash>& parts) {
  while (!bytes.empty()) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    PartHash part;
    part.id.assign(reinterpret_cast<const char*>(bytes.data() + sizeof length), length);
    std::memcpy(&part.hash, bytes.data() + sizeof length + length, sizeof part.hash);
    parts.push_back(std::move(part));
    bytes = bytes.subspan(sizeof length + length + sizeof part.hash);
  }
}

}  // namespace

Hash128 combine_hashes(std::vector<PartHash> parts) {
  std::sort(parts.begin(), parts.end(), [](const PartHash& a, const PartHash& b) { return a.id < b.id; });
  Hasher hasher;
  const PartHash* previous = nullptr;
  for (const PartHash& part : parts) {
    if (previous != nullptr && previous->id == part.id) {
      // Dense parts are read by every rank: they must have read the same bytes.
      if (previous->hash != part.hash)
        fail(ExitCode::input, "tensor {}: ranks read different bytes; the checkpoint changed or is not shared",
             part.id);
      continue;
    }
    hasher.update(part.id);
    hasher.update(&part.hash, sizeof part.hash);
    previous = &part;
  }
  return hasher.digest();
}

Hash128 hash_of_model(Communicator& group, const std::vector<PartHash>& mine) {
  std::vector<PartHash> parts;
  for (const auto& bytes : group.gather_bytes(pack_hashes(mine), 0)) unpack_hashes(bytes, parts);
  Hash128 hash;
  in_group(group, [&] {
    if (group.rank() == 0) hash = combine_hashes(std::move(parts));
  });
  int64_t words[2] = {static_cast<int64_t>(hash.high), static_cast<int64_t>(hash.low)};
  group.broadcast({words, {2}, DType::i64}, 0);
  return {static_cast<uint64_t>(words[0]), static_cast<uint64_t>(words[1])};
}

void require_same_model(Communicator& world, const Hash128& hash, const std::filesystem::path& model) {
  collectively(world, [&] {
    if (world.broadcast_string(hash.hex(), 0) != hash.hex())
      fail(ExitCode::input, "{}: expert groups read different models; is the directory shared?", model.native());
  });
}

}  // namespace switchyard
