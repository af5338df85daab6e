#include "jobs/options/config_file.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

TEST(ConfigFile, LinesCommentsAndQuotes) {
  const auto lines = parse_config(
      "# a comment\n\n  name = two words  # said why\r\nempty =\n"
      "quoted = \" # \\\"x\\\" \\n\\x41\\102 \" # a comment\nlast=1",
      "file");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].name, "name");
  EXPECT_EQ(lines[0].value, "two words");
  EXPECT_EQ(lines[0].number, 3);
  EXPECT_EQ(lines[1].value, "");
  EXPECT_EQ(lines[2].value, " # \"x\" \nAB ");
  EXPECT_EQ(lines[3].value, "1");
}

TEST(ConfigFile, WhatIsNoLineIsNamed) {
  const auto refuses = [](std::string_view text, std::initializer_list<std::string_view> named) {
    return test::fails(ExitCode::usage, named, [&] { parse_config(text, "f.cfg"); });
  };
  EXPECT_TRUE(refuses("a = 1\nword\n", {"f.cfg, line 2", "word"}));
  EXPECT_TRUE(refuses("a # = 1\n", {"line 1"}));
  EXPECT_TRUE(refuses("a = \"x\n", {"line 1", "does not end"}));
  EXPECT_TRUE(refuses("a = \"x\\", {"line 1", "does not end"}));
  EXPECT_TRUE(refuses("a = \"x\" y\n", {"line 1", "y"}));
  EXPECT_TRUE(refuses("a = \"\\q\"\n", {"\\q"}));
  EXPECT_TRUE(refuses("a = \"\\0\"\n", {"line 1"}));
  EXPECT_TRUE(refuses("a = \"\\777\"\n", {"line 1"}));
  EXPECT_TRUE(refuses(std::string_view("a = x\0y\n", 8), {"NUL"}));
}

TEST(ConfigFile, EveryByteReadsBack) {
  std::string all;
  for (int byte = 1; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const std::string& value : {all, std::string(" x"), std::string("x "), std::string(), std::string("\\n"),
                                   std::string("a#b"), std::string("\"")}) {
    const auto lines = parse_config(config_line("name", value), "file");
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0].value, value);
  }
  EXPECT_EQ(config_line("name", "a/plain-value"), "name = a/plain-value\n");
}

}  // namespace
}  // namespace switchyard
