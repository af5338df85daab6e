#include "run/metrics.h"

#include <gtest/gtest.h>

#include "io/file.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

TEST(Metrics, ALineHasWhatIsNewSinceTheOneBefore) {
  const test::TemporaryDirectory directory;
  MetricsWriter writer(directory / "metrics.jsonl", 3);
  writer.begin(7);
  writer.tell(4, {{"group_tokens", 40}});
  writer.tell(10);
  writer.begin(8);
  EXPECT_EQ(writer.items_told(), 0);
  writer.tell(2);
  std::ifstream file = open_lines(directory / "metrics.jsonl");
  std::vector<Json> lines;
  for (std::string text; std::getline(file, text);) lines.push_back(parse_json(text, "line"));
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].at("unit"), 7);
  EXPECT_EQ(lines[0].at("items"), 4);
  EXPECT_EQ(lines[0].at("group"), 3);
  EXPECT_EQ(lines[0].at("group_tokens"), 40);
  EXPECT_EQ(lines[1].at("items"), 6);
  EXPECT_EQ(lines[2].at("unit"), 8);
  EXPECT_EQ(lines[2].at("items"), 2);
}

TEST(Metrics, RateIsOfAllGroupsByTheirLastLines) {
  const test::TemporaryDirectory directory;
  const RunDirectory run(directory.path());
  EXPECT_EQ(items_per_second(run), 0);
  directory.write("metrics.jsonl",
                  "{\"time\":10,\"group\":0,\"items\":900,\"seconds\":1}\n"  // of an earlier attempt
                  "{\"time\":20,\"group\":0,\"items\":30,\"seconds\":3}\n"
                  "{\"time\":21,\"group\":1,\"items\":10,\"seconds\":1}\n{\"time\":2");
  EXPECT_DOUBLE_EQ(items_per_second(run, 15), 40.0 / 4 * 2);
}

TEST(Metrics, LostIsWhatWasComputedBeyondWhatIsKept) {
  const test::TemporaryDirectory directory;
  EXPECT_EQ(restart_losses(directory / "metrics.jsonl", [](int64_t) { return 10; }).items, 0);
  directory.write("metrics.jsonl",
                  "{\"unit\":0,\"items\":6}\n{\"unit\":0,\"items\":4}\n"  // in parts
                  "{\"unit\":1,\"items\":7}\n"                            // killed
                  "{\"unit\":2,\"items\":4}\n"                            // dropped
                  "{\"unit\":1,\"items\":10}\n7\n{\"unit\":\"x\"}\n{\"uni");
  const RestartLosses losses =
      restart_losses(directory / "metrics.jsonl", [](int64_t unit) { return unit == 2 ? 0 : 10; });
  EXPECT_EQ(losses.items, 11);
  EXPECT_EQ(losses.units, 2);
}

}  // namespace
}  // namespace switchyard
