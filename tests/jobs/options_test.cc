#include "jobs/options.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

struct Options {
  std::string name = "none";
  int64_t count = 3;
  bool flag = false;
  std::vector<std::string> words;
  OptionSet set;

  Options() {
    set.group("Test");
    set.add("name", &name, "NAME", "a name");
    set.add("item-count", &count, "N", "a count");
    set.add("flag", &flag, "", "a flag");
    set.add("words", &words, "W ...", "some words");
  }
  bool parse(std::vector<std::string> args) { return parse_options(set, "test", args, {"other-job"}); }
};

class OptionsTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const char* name : {"SWITCHYARD_ITEM_COUNT", "SWITCHYARD_ITEM_CUONT", "SWITCHYARD_OTHER_JOB"})
      ::unsetenv(name);
  }
  test::TemporaryDirectory directory_;
};

TEST_F(OptionsTest, CommandLineOverEnvironmentOverFileOverDefault) {
  const std::string file = (directory_.path() / "options.cfg").string();
  std::ofstream(file) << "name = file\nitem-count = 1\nflag = true\n";
  Options defaults, from_file, from_environment, from_line;
  defaults.parse({});
  EXPECT_EQ(defaults.count, 3);
  from_file.parse({"--config", file});
  EXPECT_EQ(from_file.count, 1);
  EXPECT_EQ(from_file.name, "file");
  EXPECT_TRUE(from_file.flag);
  ::setenv("SWITCHYARD_ITEM_COUNT", "5", 1);
  from_environment.parse({"--config", file});
  EXPECT_EQ(from_environment.count, 5);
  from_line.parse({"--config", file, "--item-count", "7"});
  EXPECT_EQ(from_line.count, 7);
}

TEST_F(OptionsTest, WhatWasResolvedReadsBackTheSame) {
  Options first, second;
  first.parse({"--name", "a b", "--flag", "--words", "x", "y"});
  const std::string file = (directory_.path() / "resolved.cfg").string();
  std::ofstream(file) << resolved_config(first.set);
  second.parse({"--config", file});
  EXPECT_EQ(second.name, "a b");
  EXPECT_TRUE(second.flag);
  EXPECT_EQ(second.words, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(resolved_config(second.set), resolved_config(first.set));
}

TEST_F(OptionsTest, AFlagTakesNoWordBehindIt) {
  Options plain, off;
  plain.set.positional("name");
  plain.parse({"--flag", "value"});
  EXPECT_TRUE(plain.flag);
  EXPECT_EQ(plain.name, "value");
  ::setenv("SWITCHYARD_FLAG", "true", 1);
  off.parse({"--flag=false"});
  ::unsetenv("SWITCHYARD_FLAG");
  EXPECT_FALSE(off.flag);
}

TEST_F(OptionsTest, DefaultsComeFromTheFirstFileThatIsThere) {
  const std::string site = (directory_.path() / "site.cfg").string(),
                    other = (directory_.path() / "other.cfg").string();
  std::ofstream(site) << "name = site\nitem-count = 8\n";
  std::ofstream(other) << "name = other\n";
  Options by_place, by_name, over;
  const auto with_defaults = [&](Options& o, std::vector<std::string> args) {
    std::string file;
    o.set.add("site", &file, "FILE", "defaults");
    o.set.defaults_from("site", {"/no/such/file", site});
    o.parse(std::move(args));
  };
  with_defaults(by_place, {});
  EXPECT_EQ(by_place.name, "site");
  with_defaults(by_name, {"--site", other});
  EXPECT_EQ(by_name.name, "other");
  EXPECT_EQ(by_name.count, 3);
  with_defaults(over, {"--item-count", "9"});
  EXPECT_EQ(over.count, 9);
}

TEST_F(OptionsTest, MisspellingsAreErrors) {
  EXPECT_TRUE(test::fails(ExitCode::usage, {"item-cuont"}, [] { Options().parse({"--item-cuont", "1"}); }));
  EXPECT_TRUE(test::fails(ExitCode::usage, {"item-c"}, [] {
    Options().parse({"--item-c", "1"});
  }));  // no abbreviations
  EXPECT_TRUE(test::fails(ExitCode::usage, {"stray"}, [] { Options().parse({"stray"}); }));
  EXPECT_TRUE(test::fails(ExitCode::usage, {"many"}, [] { Options().parse({"--item-count", "many"}); }));
  const std::string file = (directory_.path() / "bad.cfg").string();
  std::ofstream(file) << "item-cuont = 1\n";
  EXPECT_TRUE(test::fails(ExitCode::usage, {"item-cuont"}, [&] { Options().parse({"--config", file}); }));
  ::setenv("SWITCHYARD_ITEM_CUONT", "5", 1);
  EXPECT_TRUE(test::fails(ExitCode::usage, {"SWITCHYARD_ITEM_CUONT"}, [] { Options().parse({}); }));
}

TEST_F(OptionsTest, AnotherJobsVariableIsNoMisspelling) {
  ::setenv("SWITCHYARD_OTHER_JOB", "5", 1);
  Options options;
  EXPECT_TRUE(options.parse({}));
}

TEST_F(OptionsTest, RequiredOnesAreNamed) {
  Options options;
  options.set.require("name");
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--name"}, [&] { options.parse({}); }));
}

}  // namespace
}  // namespace switchyard
