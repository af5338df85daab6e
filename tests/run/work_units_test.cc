#include "run/work_units.h"

#include <gtest/gtest.h>

#include "io/file.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

class WorkUnitsTest : public ::testing::Test {
 protected:
  WorkUnitsTest() {
    units_.files = "parts/part-*.h5";
    std::filesystem::create_directory(directory_ / "parts");
  }
  test::TemporaryDirectory directory_;
  WorkUnits units_ = WorkUnits::of_items(25, 10);
};

TEST_F(WorkUnitsTest, TheLastUnitHasTheRest) {
  EXPECT_EQ(units_.total, 3);
  EXPECT_EQ(units_.first_item(2), 20);
  EXPECT_EQ(units_.items_in(1), 10);
  EXPECT_EQ(units_.items_in(2), 5);
  EXPECT_EQ(WorkUnits::of_items(0, 10).total, 0);
  EXPECT_EQ(WorkUnits::of_items(INT64_MAX, INT64_MAX).total, 1);
}

TEST_F(WorkUnitsTest, OnlyPublishedFilesArePresent) {
  for (const char* name :
       {"part-000002.h5", "part-000000.h5", "part-000001.h5.tmp-00", "part-000003.h5.corrupt", "part-4.h5", "notes"})
    directory_.write(std::string("parts/") + name, "12345");
  EXPECT_EQ(units_.present(directory_.path()), (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(units_.bytes_present(directory_.path()), 10u);
  const UnitCounts done = count_done(units_, directory_.path());
  EXPECT_EQ(done.units, 2);
  EXPECT_EQ(done.items, 15);
}

TEST_F(WorkUnitsTest, InOrderTheLastFileStandsForAllBefore) {
  units_.in_order = true;
  EXPECT_EQ(count_done(units_, directory_.path()).units, 0);
  directory_.write("parts/part-000001.h5", "");
  EXPECT_EQ(units_.present(directory_.path()), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(count_done(units_, directory_.path()).items, 20);
}

TEST_F(WorkUnitsTest, ReadBackFromJson) {
  units_.name = "parts";
  units_.results = "all.h5";
  units_.in_order = true;
  EXPECT_EQ(parse_work_units(to_json(units_), "m"), units_);
  for (const char* files : {"part-*", "/part-*", "a/b/part-*", "parts/part", "../part-*"}) {
    Json json = to_json(units_);
    json["files"] = files;
    EXPECT_TRUE(test::fails(ExitCode::input, {"m", "files", files}, [&] { parse_work_units(json, "m"); })) << files;
  }
}

}  // namespace
}  // namespace switchyard
