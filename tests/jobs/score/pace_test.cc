#include "jobs/score/pace.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Pace, BeforeTheFirstStepMuchTimeIsTriedAndLittleIsNot) {
  const Pace pace;
  EXPECT_EQ(pace.tokens_per_second(), 0);
  EXPECT_TRUE(pace.fits(1'000'000, 600));
  EXPECT_FALSE(pace.fits(1, 30));
  EXPECT_TRUE(pace.fits(0, 2));  // nothing but rejects
}

TEST(Pace, WhatFitsFollowsFromTheMeasuredRate) {
  Pace pace;
  pace.begin_chunk(1000);
  pace.add_step(1000, 10);
  pace.end_chunk(10.5);
  EXPECT_DOUBLE_EQ(pace.tokens_per_second(), 100);
  EXPECT_DOUBLE_EQ(pace.reserve(), 1);  // the least
  EXPECT_TRUE(pace.fits(1000, 11.1));
  EXPECT_FALSE(pace.fits(1000, 10.9));
}

TEST(Pace, TheReserveIsBySoMuchAsChunksLastedLonger) {
  Pace pace;
  pace.begin_chunk(1000);
  pace.add_step(1000, 10);
  pace.end_chunk(14);  // a slow disk, from the first chunk on
  EXPECT_DOUBLE_EQ(pace.reserve(), 4);
  EXPECT_FALSE(pace.fits(1000, 13.9));
  EXPECT_TRUE(pace.fits(1000, 14.1));

  pace.begin_chunk(1000);
  pace.add_step(1000, 10);
  pace.end_chunk(40);
  EXPECT_DOUBLE_EQ(pace.reserve(), 30);
  for (int chunk = 0; chunk < 60; ++chunk) {  // it was a moment's trouble
    pace.begin_chunk(1000);
    pace.add_step(1000, 10);
    pace.end_chunk(10);
  }
  EXPECT_DOUBLE_EQ(pace.reserve(), 1);
}

TEST(Pace, AShortStepHardlyChangesTheRate) {
  Pace pace;
  pace.add_step(100'000, 1);
  pace.add_step(10, 0.01);
  EXPECT_NEAR(pace.tokens_per_second(), 100'000, 3'000);
}

TEST(Pace, TheRateFollowsWhatBecomesSlower) {
  Pace pace;
  for (int step = 0; step < 10; ++step) pace.add_step(1000, 1);
  for (int step = 0; step < 10; ++step) pace.add_step(1000, 10);
  EXPECT_NEAR(pace.tokens_per_second(), 100, 2);
}

TEST(Pace, AChunkOfRejectsTeachesNothing) {
  Pace pace;
  pace.begin_chunk(0);
  pace.end_chunk(0.1);
  EXPECT_EQ(pace.tokens_per_second(), 0);
  EXPECT_DOUBLE_EQ(pace.reserve(), 1);
}

}  // namespace
}  // namespace switchyard
