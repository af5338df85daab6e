#include "jobs/input/kept_records.h"

#include <gtest/gtest.h>

#include <random>

namespace switchyard {
namespace {

TEST(KeptRecords, AreNumberedInOrder) {
  std::mt19937 random(3);
  for (const size_t num_records : {1u, 2u, 255u, 256u, 257u, 1000u, 5000u})
    for (const unsigned left_out_of_8 : {0u, 1u, 7u}) {
      std::vector<int32_t> lengths(num_records);
      std::vector<int64_t> kept;
      for (size_t i = 0; i < num_records; ++i) {
        const bool in_a_gap = num_records == 5000 && i > 600 && i < 2000;
        if (random() % 8 < left_out_of_8 || in_a_gap) continue;
        lengths[i] = static_cast<int32_t>(2 + random() % 100);
        kept.push_back(static_cast<int64_t>(i));
      }
      const KeptRecords records(lengths);
      ASSERT_EQ(records.size(), std::ssize(kept));
      for (size_t i = 0; i < kept.size(); ++i) {
        ASSERT_EQ(records.index(static_cast<int64_t>(i)), kept[i]);
        ASSERT_EQ(records.length(kept[i]), lengths[static_cast<size_t>(kept[i])]);
      }
    }
}

TEST(KeptRecords, MayBeNone) {
  EXPECT_EQ(KeptRecords({}).size(), 0);
  EXPECT_EQ(KeptRecords(std::vector<int32_t>(700, 0)).size(), 0);
}

}  // namespace
}  // namespace switchyard
