// Which keys attention's queries see.
#pragma once

#include <cstdint>
#include <limits>
#include <tuple>

#include "base/fields.h"

namespace switchyard {

/// Which keys a query sees, of those of its record that do not come after it.
struct KeySpan {
  enum class Kind : uint8_t { all, window, chunk };
  Kind kind = Kind::all;
  int64_t size = 0;  ///< window: itself and the size − 1 before it; chunk: those of the same ⌊position / size⌋

  /// The first one, for a query at this position of its record: never before that of an earlier query.
  constexpr int64_t first_key(int64_t position) const {
    switch (kind) {
      case Kind::window:
        return position < size ? 0 : position - size + 1;
      case Kind::chunk:
        return position - position % size;
      default:
        return 0;
    }
  }
  /// The first position whose query no longer sees the key at this position: never before that of an earlier key.
  constexpr int64_t end_query(int64_t key) const {
    switch (kind) {
      case Kind::window:
        return key + size;
      case Kind::chunk:
        return key - key % size + size;
      default:
        return std::numeric_limits<int64_t>::max();
    }
  }
  /// (query, key) pairs of a record of so many tokens.
  constexpr int64_t num_pairs(int64_t length) const {
    const auto triangle = [](int64_t n) { return n * (n + 1) / 2; };
    if (kind == Kind::all || length <= size) return triangle(length);
    if (kind == Kind::window) return triangle(size) + (length - size) * size;
    return length / size * triangle(size) + triangle(length % size);
  }
  constexpr bool is_valid() const { return kind == Kind::all || size > 0; }

  bool operator==(const KeySpan&) const = default;
  static constexpr auto fields() { return std::tuple{Field{"kind", &KeySpan::kind}, Field{"size", &KeySpan::size}}; }
  friend constexpr int format_as(Kind value) { return static_cast<int>(value); }
};

}  // namespace switchyard
