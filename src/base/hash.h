// 128-bit XXH3, as 32 hexadecimal digits where a person or a file sees it.
#pragma once

#define XXH_STATIC_LINKING_ONLY  // the streaming state by value
#include <xxhash.h>

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace switchyard {

struct Hash128 {
  uint64_t high = 0, low = 0;
  auto operator<=>(const Hash128&) const = default;
  std::string hex() const;
  /// What hex() writes; empty for any other text.
  static std::optional<Hash128> parse(std::string_view hex);
};

/// Feed bytes in any pieces; the digest depends on their concatenation alone.
class Hasher {
 public:
  Hasher() { XXH3_128bits_reset(&state_); }
  void update(const void* data, size_t bytes) { XXH3_128bits_update(&state_, data, bytes); }
  template <class T>
  void update(std::span<const T> values) {
    update(values.data(), values.size_bytes());
  }
  void update(std::string_view text) { update(text.data(), text.size()); }
  Hash128 digest() const {
    const XXH128_hash_t h = XXH3_128bits_digest(&state_);
    return {h.high64, h.low64};
  }

 private:
  XXH3_state_t state_;
};

Hash128 hash_of(std::span<const std::byte> bytes);

}  // namespace switchyard
