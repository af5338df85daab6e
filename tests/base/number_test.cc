#include "base/number.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "base/hash.h"

namespace switchyard {
namespace {

TEST(Number, IsTheWholeText) {
  EXPECT_EQ(number_in<int64_t>("-17"), -17);
  EXPECT_EQ(number_in<double>("2.5e-3"), 2.5e-3);
  for (const char* text : {"", " 1", "1 ", "+1", "1x", "1.0", "x", "9223372036854775808"})
    EXPECT_FALSE(number_in<int64_t>(text)) << text;
  EXPECT_FALSE(number_in<uint64_t>("-1"));
  EXPECT_FALSE(number_in<double>("1.0.0"));
}

TEST(Hash, IsReadAsItIsWritten) {
  const Hash128 hash = hash_of(std::as_bytes(std::span("text")));
  EXPECT_EQ(Hash128::parse(hash.hex()), hash);
  EXPECT_EQ(Hash128::parse("000000000000000a00000000000000ff"), (Hash128{10, 255}));
  for (const char* text : {"", "0a", "000000000000000A00000000000000FF", "000000000000000a00000000000000ff0",
                           "0x0000000000000a00000000000000ff", "000000000000000a 0000000000000ff"})
    EXPECT_FALSE(Hash128::parse(text)) << text;
}

}  // namespace
}  // namespace switchyard
