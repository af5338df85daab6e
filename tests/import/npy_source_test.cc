#include "import/npy_source.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/npy_bytes.h"
#include "tests/support/read_documents.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;
using test::npy_bytes;
using test::read_documents;

class NpySourceTest : public ::testing::Test {
 protected:
  NpySource source(const std::vector<int64_t>& values, const std::vector<uint64_t>& offsets) {
    return {directory_.write("values.npy", npy_bytes(values)).string(),
            directory_.write("offsets.npy", npy_bytes(offsets)).string()};
  }
  test::TemporaryDirectory directory_;
};

TEST_F(NpySourceTest, YieldsRecordsByNumber) {
  NpySource records = source({5, 6, 7, -1, 8, 2147483648, 9, 2147483647}, {0, 2, 2, 3, 5, 6, 8});
  const auto documents = read_documents(records);
  ASSERT_EQ(documents.size(), 6u);
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(documents[i].id, std::to_string(i));
    EXPECT_EQ(documents[i].record, static_cast<int64_t>(i));
  }
  EXPECT_EQ(documents[0].tokens, (std::vector<int32_t>{5, 6}));
  EXPECT_NE(documents[1].reject.find("empty"), std::string::npos);
  EXPECT_EQ(documents[2].tokens, std::vector<int32_t>{7});
  EXPECT_EQ(documents[3].reject, "token 0: expected an id in 0 … 2147483647, found -1");
  EXPECT_EQ(documents[4].reject, "token 0: expected an id in 0 … 2147483647, found 2147483648");
  EXPECT_EQ(documents[5].tokens, (std::vector<int32_t>{9, 2147483647}));
}

TEST_F(NpySourceTest, ManyAndLongRecords) {
  std::vector<int64_t> values(200'000);
  std::vector<uint64_t> offsets{0};
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i);
  for (uint64_t i = 1; i <= 40'000; ++i) offsets.push_back(i);
  offsets.push_back(values.size());
  NpySource records = source(values, offsets);
  const auto documents = read_documents(records);
  ASSERT_EQ(documents.size(), 40'001u);
  for (size_t i = 0; i < 40'000; ++i) ASSERT_EQ(documents[i].tokens, std::vector<int32_t>{static_cast<int32_t>(i)});
  ASSERT_EQ(documents.back().tokens.size(), 160'000u);
  for (size_t i = 0; i < 160'000; ++i) ASSERT_EQ(documents.back().tokens[i], static_cast<int32_t>(i + 40'000));
}

TEST_F(NpySourceTest, RefusesBadOffsets) {
  EXPECT_TRUE(fails_input({"offsets.npy", "found none"}, [&] { source({}, {}); }));
  EXPECT_TRUE(fails_input({"offsets.npy", "0 first, found 1"}, [&] { source({5}, {1, 1}); }));
  EXPECT_TRUE(fails_input({"offsets.npy", "values.npy", "1 last", "found 2"}, [&] { source({5}, {0, 2}); }));
  EXPECT_TRUE(fails_input({"offsets.npy", "9223372036854775808"}, [&] { source({5}, {0, uint64_t{1} << 63}); }));
  NpySource decreasing = source({5, 6, 7}, {0, 2, 1, 3});
  EXPECT_TRUE(fails_input({"offsets.npy", "record 1", "found 1"}, [&] { read_documents(decreasing); }));
  NpySource beyond = source({5, 6, 7}, {0, 4, 3});
  EXPECT_TRUE(fails_input({"offsets.npy", "record 0", "found 4"}, [&] { read_documents(beyond); }));
}

TEST_F(NpySourceTest, NoRecords) {
  NpySource none = source({}, {0});
  EXPECT_TRUE(read_documents(none).empty());
}

}  // namespace
}  // namespace switchyard
