// Event files, byte by byte as TensorBoard 2.21 reads them (its own reader is asked by
// tests/jobs/train/check_events.py).
#include "io/event_file.h"

#include <gtest/gtest.h>

#include <bit>

#include "tests/support/event_records.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

// The vectors of RFC 3720, appendix B.4.
TEST(Crc32c, IsCastagnolis) {
  std::string ascending, descending;
  for (int i = 0; i < 32; ++i) {
    ascending += static_cast<char>(i);
    descending += static_cast<char>(31 - i);
  }
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(crc32c(descending), 0x113fdb5cu);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
}

std::filesystem::path only_file_of(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) files.push_back(entry.path());
  EXPECT_EQ(files.size(), 1u);
  return files.front();
}

std::string f64(double x) {
  const auto bytes = std::bit_cast<std::array<char, 8>>(x);
  return {bytes.data(), bytes.size()};
}

TEST(EventFile, HoldsWhatEventProtoSays) {
  const TemporaryDirectory directory;
  const std::filesystem::path events = directory / "a" / "tensorboard";
  EXPECT_FALSE(has_event_files(events));
  {
    EventFile file(events, 300);
    EXPECT_TRUE(has_event_files(events));
    const Scalar scalars[] = {{"train/loss", 1.5f}, {"lr", -0.0f}};
    file.add(300, 2.5, scalars);
    file.add(1, 0, {});
    file.sync();
  }
  EXPECT_TRUE(only_file_of(events).filename().native().starts_with("events.out.tfevents."));
  const std::vector<std::string> records = event_records(only_file_of(events));
  ASSERT_EQ(records.size(), 4u);
  using namespace std::string_literals;
  // wall_time, step, file_version.
  EXPECT_EQ(records[0].substr(9), "\x10\0\x1a\x0d"s + "brain.Event:2");
  EXPECT_EQ(records[0][0], 9);
  // The session's first step is 300: two bytes; session_log {status: START}.
  EXPECT_EQ(records[1].substr(9), "\x10\xac\x02\x3a\x02\x08\x01"s);
  EXPECT_EQ(records[2], "\x09"s + f64(2.5) + "\x10\xac\x02\x2a\x1e"s + "\x0a\x11\x0a\x0a"s + "train/loss" +
                            "\x15\0\0\xc0\x3f"s + "\x0a\x09\x0a\x02lr\x15\0\0\0\x80"s);
  EXPECT_EQ(records[3], "\x09"s + f64(0) + "\x10\x01\x2a\0"s);
}

TEST(EventFile, SessionsOfOneSecondHaveFilesOfTheirOwn) {
  const TemporaryDirectory directory;
  const EventFile first(directory.path(), 1), second(directory.path(), 2), third(directory.path(), 3);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 3);
}

TEST(EventFile, WhereNoneCanBeMadeIsNamed) {
  const TemporaryDirectory directory;
  const std::filesystem::path file = directory.write("file", "");
  EXPECT_TRUE(fails(ExitCode::output, {"file/events"}, [&] { EventFile(file / "events", 1); }));
}

}  // namespace
}  // namespace switchyard::test
