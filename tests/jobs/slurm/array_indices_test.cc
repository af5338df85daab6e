#include "jobs/slurm/array_indices.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using Indices = std::vector<int64_t>;

TEST(ArrayIndicesTest, AreThoseThatSlurmMakesOfIt) {
  EXPECT_EQ(array_indices("3", 1001), (Indices{3}));
  EXPECT_EQ(array_indices("0-3", 1001), (Indices{0, 1, 2, 3}));
  EXPECT_EQ(array_indices("1,5,7", 1001), (Indices{1, 5, 7}));
  EXPECT_EQ(array_indices("0-9:4%2", 1001), (Indices{0, 4, 8}));
  EXPECT_EQ(array_indices("007-0009", 1001), (Indices{7, 8, 9}));
  EXPECT_EQ(array_indices("5,2-6:2,5,4-5", 1001), (Indices{2, 4, 5, 6}));
  EXPECT_EQ(array_indices("1000", 1001), (Indices{1000}));
  EXPECT_EQ(array_indices("0-1%99999999999999999999", 1001), (Indices{0, 1}));
}

TEST(ArrayIndicesTest, AnythingElseIsRefused) {
  for (const char* text : {"", "5-1", "0-5:0", "-1", "1-", "1,", ",1", "1,,2", "1-2-3", "1:2", "0-3 ", "a", "0x1", "%2",
                           "1%", "1%2,3", "1%2%3", "+1"})
    EXPECT_TRUE(test::fails(ExitCode::usage, {"--array"}, [&] { array_indices(text, 1001); })) << text;
}

TEST(ArrayIndicesTest, NoIndexOrStepReachesTheLimit) {
  for (const char* text : {"1001", "0-1001", "5,0-99999999999999999999", "99999999999999999999", "0-5:1001",
                           "9223372036854775807", "0-9223372036854775807:9223372036854775807"})
    EXPECT_TRUE(test::fails(ExitCode::usage, {"--array", "below 1001"}, [&] { array_indices(text, 1001); })) << text;
}

TEST(ArrayIndicesTest, FourMillionAreMade) {
  EXPECT_EQ(array_indices("0-4000000,0-4000000", kLargestArraySize).size(), 4'000'001u);
}

}  // namespace
}  // namespace switchyard
