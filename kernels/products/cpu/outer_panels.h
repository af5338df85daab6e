// Internal to kernels/: packs what a weight gradient's tiles read, columns of rows that lie anywhere.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/vector_math.h"

namespace switchyard {

/// Two rows that are packed as one: neighbours in the order of their sum, or a last one and zeros. The first lies in
/// the upper half.
struct RowPair {
  const BFloat16 *first, *second;
  RowPair operator+(int64_t columns) const { return {first + columns, second + columns}; }
};

/// Into the nearest cache, or, for what is not wanted at once, into the next one.
enum class Wanted : uint8_t { soon, later };
template <Wanted kWanted, class T>
void prefetch(const T* columns, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; i += kLine) __builtin_prefetch(columns + i, 0, kWanted == Wanted::soon ? 3 : 2);
}
template <Wanted kWanted>
void prefetch(const RowPair& columns, int64_t count) {
  prefetch<kWanted>(columns.first, count);
  prefetch<kWanted>(columns.second, count);
}

/// Eight elements: widened, or pairs, which are stored as if they were floats.
template <class T>
void pack_lanes(const T* from, float* to) {
  store(to, load(from));
}
inline void pack_lanes(const RowPair& from, float* to) {
  __m128i first, second;
  std::memcpy(&first, from.first, sizeof first);
  std::memcpy(&second, from.second, sizeof second);
  const __m128i low = _mm_unpacklo_epi16(second, first), high = _mm_unpackhi_epi16(second, first);
  std::memcpy(to, &low, sizeof low);
  std::memcpy(to + kLanes / 2, &high, sizeof high);
}

/// The first `count` of `width` elements, then zeros.
template <class T>
void pack_rest(const T* from, int64_t count, int64_t width, float* to) {
  for (int64_t i = 0; i < width; ++i) to[i] = i < count ? static_cast<float>(load_part(from + i, 1)[0]) : 0.0f;
}
inline void pack_rest(const RowPair& from, int64_t count, int64_t width, float* to) {
  for (int64_t i = 0; i < width; ++i) {
    const BFloat16 pair[2] = {i < count ? from.second[i] : BFloat16{}, i < count ? from.first[i] : BFloat16{}};
    std::memcpy(to + i, pair, sizeof pair);
  }
}

/// Columns of rows in panels of Width: to [panels, rows, Width]; the last one is filled up with zeros.
/// row: where each row's columns begin.
template <int64_t Width, class Row>
void pack_outer_panels(const Row* row, int64_t rows, int64_t columns, float* to) {
  constexpr int64_t kRowsAtOnce = 8;  // whose lines stay in the nearest cache; the next ones are on their way
  for (int64_t first = 0; first < rows; first += kRowsAtOnce) {
    const int64_t end = std::min(rows, first + kRowsAtOnce);
    for (int64_t r = end; r < std::min(rows, end + kRowsAtOnce); ++r) prefetch<Wanted::soon>(row[r], columns);
    for (int64_t column = 0; column < columns; column += Width)
      for (int64_t r = first; r < end; ++r) {
        const Row source = row[r] + column;
        float* target = to + column * rows + r * Width;
        if (columns - column < Width) {
          pack_rest(source, columns - column, Width, target);
          continue;
        }
        for (int64_t i = 0; i + kLanes <= Width; i += kLanes) pack_lanes(source + i, target + i);
        if constexpr (Width % kLanes != 0) pack_lanes(source + (Width - kLanes), target + Width - kLanes);
      }
  }
}

}  // namespace switchyard
