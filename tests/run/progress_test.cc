#include "run/progress.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(Progress, CountsWhatIsUnderWay) {
  ProgressReport report{.units = "chunks",
                        .units_done = 1,
                        .units_total = 4,
                        .items_done = 150,
                        .items_total = 400,
                        .details = "41.2k tok/s"};
  report.seconds_left = 41;
  EXPECT_EQ(progress_line(report), "1/4 chunks | 37.5% | 41.2k tok/s | ETA 00:41");
  report.units_resumed = 1;
  report.seconds_to_limit = 115;
  report.details = "";
  EXPECT_EQ(progress_line(report), "1/4 chunks (resumed 1) | 37.5% | ETA 00:41 (limit 01:55)");
  Progress progress(true);
  EXPECT_TRUE(progress.due()) << "the first step tells how it goes";
  progress.show(report);
  EXPECT_FALSE(progress.due());
  EXPECT_FALSE(Progress(false).due());
}

}  // namespace
}  // namespace switchyard
