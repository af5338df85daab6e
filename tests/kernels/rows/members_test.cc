#include "kernels/rows/members.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace switchyard {
namespace {

// At every offset and length, dense and sparse, against a loop; nothing is written beside what is meant.
TEST(Members, AreGatheredAndScatteredBack) {
  constexpr int64_t kBits = 300;
  for (const float density : {0.0f, 0.1f, 0.5f, 0.97f, 1.0f}) {
    std::vector<uint64_t> words((kBits + 63) / 64);
    const auto has = [&](int64_t i) { return (words[static_cast<size_t>(i / 64)] >> (i % 64) & 1) != 0; };
    for (int64_t i = 0; i < kBits; ++i)
      if (random_uniform(1, static_cast<uint64_t>(i)) < density)
        words[static_cast<size_t>(i / 64)] |= uint64_t{1} << (i % 64);
    for (int64_t first = 0; first < kBits; first += 7)
      for (const int64_t count : {int64_t{0}, int64_t{1}, int64_t{15}, int64_t{16}, int64_t{17}, int64_t{64}, kBits}) {
        if (first + count > kBits) continue;
        std::vector<float> from, want;
        for (int64_t i = 0; i < count; ++i) {
          from.push_back(static_cast<float>(i + 1));
          if (has(first + i)) want.push_back(from.back());
        }
        std::vector<float> listed(want.size() + 1, -1);
        ASSERT_EQ(cpu::gather_members(words.data(), first, from.data(), count, listed.data()), std::ssize(want));
        ASSERT_EQ(listed.back(), -1);
        listed.pop_back();
        ASSERT_EQ(listed, want) << first << ", " << count;
        std::vector<float> back(from.size(), -2);
        ASSERT_EQ(cpu::scatter_members(words.data(), first, listed.data(), count, back.data()), std::ssize(want));
        for (int64_t i = 0; i < count; ++i)
          ASSERT_EQ(back[static_cast<size_t>(i)], has(first + i) ? from[static_cast<size_t>(i)] : -2)
              << first << ", " << i;
      }
  }
}

}  // namespace
}  // namespace switchyard
