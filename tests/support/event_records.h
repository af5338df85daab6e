// The records of an event file.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "io/event_file.h"

namespace switchyard::test {

/// What is in a file's records; each must be whole, its checksums right.
inline std::vector<std::string> event_records(const std::filesystem::path& path) {
  const std::string bytes = read_text_file(path);
  const auto number = [&](size_t at, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i)
      value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes.at(at + i))) << (8 * i);
    return value;
  };
  const auto checked = [&](size_t at, size_t count) {
    const uint32_t crc = crc32c(std::string_view(bytes).substr(at, count));
    EXPECT_EQ(number(at + count, 4), static_cast<uint32_t>((crc >> 15 | crc << 17) + 0xa282ead8u)) << "at " << at;
  };
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size(); at += 16 + records.back().size()) {
    checked(at, 8);
    const uint64_t size = number(at, 8);
    checked(at + 12, size);
    records.push_back(bytes.substr(at + 12, size));
  }
  return records;
}

}  // namespace switchyard::test
