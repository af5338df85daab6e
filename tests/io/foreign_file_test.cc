#include "io/foreign_file.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

using namespace std::string_view_literals;

TEST(ForeignFile, IsRecognisedByItsFirstBytes) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", "empty file"},
      {"PK\x03\x04\0\0\x08\x08"sv, "PyTorch pickle"},
      {"\x80\x02\x8a\nl\xfc"sv, "PyTorch pickle"},
      {"GGUF\x03\0\0\0"sv, "GGUF"},
      {"\x89HDF\r\n\x1a\n"sv, "HDF5"},
      {"\x1f\x8b\x08\0"sv, "gzip"},
      {"\x28\xb5\x2f\xfd\0"sv, "Zstandard"},
      {"<!DOCTYPE html><html>", "HTML"},
      {"\n  <HTML lang=en>", "HTML"},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied", "XML page"},
      {"\0\0\0\0\0\0\0\0\0\0"sv, "unfinished download"},
      {"Entry not found", "text that begins with \"Entry not found\""},
      {R"({"error":"gated"})", R"(text that begins with "{\"error\":\"gated\"}")"}};
  for (const auto& [head, what] : cases) EXPECT_NE(describe_foreign(head).find(what), std::string::npos) << what;
  EXPECT_EQ(describe_foreign("\x40\0\0\0\0\0\0\0{\"a\""sv), "");
}

TEST(JsonFile, SaysWhatIsThereInsteadOfJson) {
  const TemporaryDirectory directory;
  const auto read = [&](std::string_view bytes) { return read_json_file(directory.write("config.json", bytes), 4096); };
  EXPECT_EQ(read(" {\"a\": [1]}").dump(), R"({"a":[1]})");
  EXPECT_EQ(read("[1]").dump(), "[1]");
  EXPECT_TRUE(fails_input({"config.json", "expected JSON, found an HTML"}, [&] { read("<!doctype html>"); }));
  EXPECT_TRUE(fails_input({"config.json", "found text that begins with \"Invalid"}, [&] { read("Invalid username"); }));
  EXPECT_TRUE(fails_input({"config.json", "found an empty file"}, [&] { read(" \n"); }));
  EXPECT_TRUE(fails_input({"config.json", "git lfs pull"},
                          [&] { read("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"); }));
  EXPECT_TRUE(fails_input({"config.json", "column 4"}, [&] { read("{\"a\""); }));
  EXPECT_TRUE(fails_input({"config.json", "at most 4096 bytes"}, [&] { read(std::string(5000, ' ')); }));
}

}  // namespace
}  // namespace switchyard::test
