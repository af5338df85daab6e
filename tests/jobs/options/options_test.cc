#include "jobs/options/options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <random>

#include "jobs/job.h"
#include "tests/support/environment.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

struct Options {
  std::string name = "none";
  int64_t count = 3;
  double share = 0.5;
  bool flag = false;
  std::vector<std::string> words, fields;
  OptionSet set;

  Options() {
    set.group("Test");
    set.add("name", &name, "NAME", "a name");
    set.add("item-count", within(&count, -5, 1000), "N", "a count");
    set.add("share", within(&share, 0, 1), "X", "a share");
    set.add("flag", &flag, "", "a flag");
    set.add("words", &words, "W ...", "some words");
    set.add("fields", Names{&fields}, "F[,F]", "some names");
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

TEST_F(OptionsTest, StandWhereTheJobPutsThem) {
  Options options;
  bool first = false, second = false, last = false;
  options.set.before("share");
  options.set.add("first", &first, "", "one");
  options.set.add("second", &second, "", "two");
  options.set.group("Test");
  options.set.add("last", &last, "", "three");
  std::vector<std::string> names;
  for (const OptionSet::Option& option : options.set.options()) {
    names.push_back(option.name);
    EXPECT_EQ(option.group, "Test");
  }
  EXPECT_EQ(names, (std::vector<std::string>{"name", "item-count", "first", "second", "share", "flag", "words",
                                             "fields", "last"}));
  EXPECT_TRUE(options.parse({"--second"}));
  EXPECT_TRUE(second && !first && !last);
}

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

TEST_F(OptionsTest, AreTakenFromAnotherSetWithItsDefaults) {
  const std::string site = (directory_.path() / "site.cfg").string();
  std::ofstream(site) << "name = site\nitem-count = 7\n";
  Options other;
  std::string file, count = "own";
  other.set.add("site", &file, "FILE", "defaults");
  other.set.defaults_from("site", {site});
  OptionSet set;
  set.group("Own");
  set.add("item-count", &count, "LIST", "another thing");
  set.take(other.set, {"item-count"});
  const std::vector<std::string> args = {"--share", "0.25"};
  ASSERT_TRUE(parse_options(set, "test", args, {}));
  EXPECT_EQ(other.name, "site");
  EXPECT_EQ(other.share, 0.25);
  EXPECT_EQ(other.count, 3);
  EXPECT_EQ(count, "own") << "what the other's defaults say is not of this option";
  EXPECT_TRUE(set.is_on_command_line("share"));
  EXPECT_TRUE(set.is_given("name") && !set.is_on_command_line("name"));
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

TEST_F(OptionsTest, NumbersHaveARange) {
  Options o;
  o.parse({"--item-count", "1000", "--share=1"});
  EXPECT_EQ(o.count, 1000);
  EXPECT_EQ(o.share, 1.0);
  const auto refuses = [](const std::string& name, const std::string& value, std::string_view range) {
    const std::vector<std::string> words = value.empty() ? std::vector{name, value} : std::vector{name + "=" + value};
    return test::fails(ExitCode::usage, {name, range, value}, [&] { Options().parse(words); });
  };
  for (const char* bad : {"1001", "-6", "9223372036854775808", "1e3", "1.0", "", " 7", "7 ", "0x10", "many"})
    EXPECT_TRUE(refuses("--item-count", bad, "-5 to 1000")) << bad;
  for (const char* bad : {"nan", "inf", "-inf", "1.0001", "1e999", "0,5", ""})
    EXPECT_TRUE(refuses("--share", bad, "0 to 1")) << bad;
}

TEST_F(OptionsTest, ABadValueIsToldWithItsSource) {
  const std::string file = (directory_.path() / "bad.cfg").string();
  std::ofstream(file) << "# all defaults\n\nitem-count = 1001\n";
  EXPECT_TRUE(test::fails(ExitCode::usage, {file, "line 3", "item-count"}, [&] {
    Options().parse({"--config", file});
  }));
  ::setenv("SWITCHYARD_ITEM_COUNT", "x", 1);
  EXPECT_TRUE(test::fails(ExitCode::usage, {"SWITCHYARD_ITEM_COUNT"}, [] { Options().parse({}); }));
}

TEST_F(OptionsTest, WordsToChooseFromAreChecked) {
  Options o;
  std::string word = "auto";
  o.set.add("kind", &word, "auto|f32|bf16", "a kind");
  o.parse({"--kind", "bf16"});
  EXPECT_EQ(word, "bf16");
  for (const char* bad : {"f16", "", "auto|f32", "f3"}) {
    Options other;
    other.set.add("kind", &word, "auto|f32|bf16", "a kind");
    EXPECT_TRUE(test::fails(ExitCode::usage, {"--kind", "auto|f32|bf16"}, [&] {
      other.parse({"--kind", bad});
    })) << bad;
  }
}

TEST_F(OptionsTest, ARequiredOneIsNotEmpty) {
  Options o;
  o.set.require("name");
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--name", "empty"}, [&] { o.parse({"--name="}); }));
}

TEST_F(OptionsTest, AFileForAllJobsMayHaveOptionsOfOthers) {
  const std::string file = (directory_.path() / "options.cfg").string();
  std::ofstream(file) << "\xef\xbb\xbfname = file\nother-job = 1\n";
  const test::Variable variable("SWITCHYARD_CONFIG", file);
  Options o;
  o.parse({});
  EXPECT_EQ(o.name, "file");
  EXPECT_TRUE(test::fails(ExitCode::usage, {"line 2", "other-job"}, [&] { Options().parse({"--config", file}); }));
}

TEST_F(OptionsTest, AFileWithoutEndIsNotReadForEver) {
  EXPECT_TRUE(test::fails(ExitCode::usage, {"/dev/zero", "found more"}, [] {
    Options().parse({"--config", "/dev/zero"});
  }));
  const std::string file = (directory_.path() / "long.cfg").string();
  std::ofstream(file) << std::string(100'000, '\n') << "name = file\n";
  Options o;
  o.parse({"--config", file});
  EXPECT_EQ(o.name, "file");
}

TEST_F(OptionsTest, NamesAreOneWordEach) {
  Options o;
  std::string bare;
  o.set.add("bare", &bare, "WORD", "a bare word");
  o.set.positional("bare");
  o.parse({"--fields", "a, b", "model", "--fields", "c"});
  EXPECT_EQ(o.fields, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(bare, "model");
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--fields", "a,,b"}, [] { Options().parse({"--fields", "a,,b"}); }));
}

TEST_F(OptionsTest, WhatIsGivenTwiceIsAnError) {
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--name", "more than once"}, [] {
    Options().parse({"--name", "a", "--name", "b"});
  }));
  const std::string file = (directory_.path() / "twice.cfg").string();
  std::ofstream(file) << "name = a\nname = b\n";
  EXPECT_TRUE(test::fails(ExitCode::usage, {"line 2", "more than once"}, [&] { Options().parse({"--config", file}); }));
}

TEST_F(OptionsTest, TheConfigurationMayBeNamedInTheEnvironment) {
  const std::string file = (directory_.path() / "options.cfg").string();
  std::ofstream(file) << "name = file\n";
  const test::Variable variable("SWITCHYARD_CONFIG", file);
  Options o, over;
  o.parse({});
  EXPECT_EQ(o.name, "file");
  over.parse({"--config", "/dev/null"});
  EXPECT_EQ(over.name, "none");
}

TEST_F(OptionsTest, ADirectoryIsNoConfiguration) {
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--config", "directory"}, [&] {
    Options().parse({"--config", directory_.path().string()});
  }));
  EXPECT_TRUE(test::fails(ExitCode::usage, {"--config", "No such file"}, [] {
    Options().parse({"--config", "/no/such.cfg"});
  }));
}

TEST_F(OptionsTest, VariablesOfOthersAreNotedNotRefused) {
  for (const char* name :
       {"ROOT", "HOME", "VERSION", "DIR", "SERVICE_HOST", "PORT", "PORT_80_TCP_ADDR", "BASE", "BIN"}) {
    const test::Variable variable(std::string("SWITCHYARD_") + name, "x");
    EXPECT_TRUE(Options().parse({})) << name;
  }
  for (const char* name : {"ITEM_COUNTS", "TIEM_COUNT", "ITEM_CONT", "NMAE", "CONFIGS", "OTHER_JBO"}) {
    const test::Variable variable(std::string("SWITCHYARD_") + name, "x");
    EXPECT_TRUE(test::fails(ExitCode::usage, {name, "meant"}, [] { Options().parse({}); })) << name;
  }
  int64_t count = 0;
  Options with_bins;
  with_bins.set.add("bins", within(&count, 0, 10), "N", "a count");
  const test::Variable bin("SWITCHYARD_BIN", "/opt/bin");
  EXPECT_TRUE(with_bins.parse({}));
}

/// Random text of what files and shells stumble over.
std::string hostile_text(std::mt19937& random) {
  static const std::string kLetters = "ab \t\n\r#\"'\\=,;%$\x01\x7f\x80\xff-[]";
  std::string text;
  for (auto length = random() % 8; length > 0; --length) text += kLetters[random() % kLetters.size()];
  return text;
}

class ResolvedConfig : public ::testing::TestWithParam<std::string_view> {
 protected:
  /// Gives every option of the job a random value.
  void randomise(const OptionSet& set) {
    for (const auto& option : set.options()) {
      if (const auto* text = std::get_if<std::string*>(&option.target)) {
        const size_t bar = option.meta.find('|');
        **text = option.name == "site"     ? site_
                 : bar != option.meta.npos ? option.meta.substr(0, bar)
                                           : hostile_text(random_);
        if ((*text)->empty() && std::ranges::count(set.required(), option.name) > 0) **text = "#";
      } else if (const auto* number = std::get_if<Bounded<int64_t>>(&option.target)) {
        *number->value = std::uniform_int_distribution(number->min, number->max)(random_);
      } else if (const auto* real = std::get_if<Bounded<double>>(&option.target)) {
        *real->value = std::uniform_real_distribution(real->min, real->max)(random_);
      } else if (const auto* flag = std::get_if<bool*>(&option.target)) {
        **flag = random_() % 2 == 0;
      } else if (const auto* words = std::get_if<std::vector<std::string>*>(&option.target)) {
        (*words)->clear();
        for (auto count = 1 + random_() % 3; count > 0; --count) (*words)->push_back("x" + hostile_text(random_));
      } else {
        *std::get<Names>(option.target).values = {"field" + std::to_string(random_() % 10), "#a b", "x"};
      }
    }
  }
  static std::vector<std::string> all_words(const OptionSet& set) {
    std::vector<std::string> all;
    for (const auto& option : set.options())
      for (const std::string& word : option_words(option)) all.push_back(word);
    return all;
  }

  test::TemporaryDirectory directory_;
  const std::string site_ = directory_.write("si te.cfg", "# nothing\n");
  std::mt19937 random_{17};
};

TEST_P(ResolvedConfig, ReadsBackForEveryOption) {
  const auto job = std::ranges::find(jobs(), GetParam(), &JobEntry::name);
  for (int round = 0; round < 200; ++round) {
    OptionSet by_words, by_file;  // of the same targets
    job->describe(by_words);
    job->describe(by_file);
    randomise(by_words);
    const std::vector<std::string> words = all_words(by_words);
    randomise(by_words);
    parse_options(by_words, "test", words, {});
    ASSERT_EQ(all_words(by_words), words);

    const std::string text = resolved_config(by_words);
    const std::string file = directory_.write("resolved.cfg", text);
    randomise(by_file);
    parse_options(by_file, "test", std::vector<std::string>{"--config", file}, {});
    ASSERT_EQ(all_words(by_file), words) << text;
    ASSERT_EQ(resolved_config(by_file), text);
  }
}

std::vector<std::string_view> job_names() {
  std::vector<std::string_view> names;
  for (const JobEntry& job : jobs()) names.push_back(job.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Jobs, ResolvedConfig, ::testing::ValuesIn(job_names()),
                         [](const auto& job) { return std::string(job.param); });

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
