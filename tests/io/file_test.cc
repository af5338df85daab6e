#include "io/file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "io/temporary_file.h"
#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

class FileTest : public testing::Test {
 protected:
  FileTest() {
    std::string name = (fs::temp_directory_path() / "switchyard-file-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = name;
  }
  ~FileTest() override { fs::remove_all(directory_); }

  fs::path put(const std::string& name, const std::string& content) const {
    std::ofstream(directory_ / name, std::ios::binary) << content;
    return directory_ / name;
  }
  size_t num_entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }
  fs::path directory_;
};

template <class Body>
ExitCode code_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::complete;
}

TEST_F(FileTest, ReadsExactRangesAndRefusesBeyondTheEnd) {
  const InputFile file(put("a", "0123456789"));
  EXPECT_EQ(file.size(), 10u);
  std::string out(4, ' ');
  file.read(6, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(out, "6789");
  const auto read = [&](uint64_t offset) { file.read(offset, std::as_writable_bytes(std::span(out))); };
  EXPECT_EQ(code_of([&] { read(7); }), ExitCode::input);
  EXPECT_EQ(code_of([&] { read(UINT64_MAX - 1); }), ExitCode::input);  // offset + size overflows
}

TEST_F(FileTest, AFileThatShrinksIsAnError) {
  const InputFile file(put("a", "0123456789"));
  fs::resize_file(directory_ / "a", 5);
  std::string out(10, ' ');
  EXPECT_EQ(code_of([&] { file.read(0, std::as_writable_bytes(std::span(out))); }), ExitCode::input);
}

TEST_F(FileTest, RefusesWhatIsNoRegularFile) {
  EXPECT_EQ(code_of([&] { InputFile(directory_ / "missing"); }), ExitCode::input);
  EXPECT_EQ(code_of([&] { InputFile{directory_}; }), ExitCode::input);
  ASSERT_EQ(::mkfifo((directory_ / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(code_of([&] { InputFile(directory_ / "fifo"); }), ExitCode::input);  // and does not wait for a writer
}

TEST_F(FileTest, ALinkToNothingIsNamedWithWhatItShouldLeadTo) {
  const auto refused = [&](const fs::path& path, std::initializer_list<std::string_view> parts) {
    return test::fails_input(parts, [&] { InputFile file(path); });
  };
  fs::create_symlink("gone", directory_ / "link");
  fs::create_symlink("link", directory_ / "second");
  EXPECT_TRUE(refused(directory_ / "link", {"link: a link to", "/gone, which does not exist"}));
  EXPECT_TRUE(refused(directory_ / "second", {"second: a link to", "/gone, which does not exist"}));
  fs::create_symlink("../../blobs/0a1b", directory_ / "model.safetensors");
  EXPECT_TRUE(refused(directory_ / "model.safetensors", {"blobs/0a1b, which does not exist", "download"}));
  fs::create_symlink("circle", directory_ / "circle");
  EXPECT_TRUE(refused(directory_ / "circle", {"cannot open", "circle"}));
  fs::create_symlink(put("a", "x"), directory_ / "good");
  EXPECT_EQ(read_text_file(directory_ / "good"), "x");
}

TEST_F(FileTest, AGitLfsPointerIsNotTheFile) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4932307584\n";
  EXPECT_TRUE(test::fails_input({"model.safetensors", "Git LFS pointer", "git lfs pull"},
                                [&] { InputFile file(put("model.safetensors", pointer)); }));
  EXPECT_TRUE(test::fails_input({"config.json", "git lfs pull"}, [&] { read_text_file(put("config.json", pointer)); }));
  EXPECT_EQ(read_text_file(put("notes", "About pointers: " + pointer)), "About pointers: " + pointer);
  const std::string large = pointer + std::string(1024, ' ');  // too long for one
  EXPECT_EQ(read_text_file(put("large", large)), large);
}

TEST_F(FileTest, TextIsReadWholeUpToTheLimit) {
  const std::string text(10000, 'x');
  EXPECT_EQ(read_text_file(put("a", text)), text);
  EXPECT_EQ(read_text_file(directory_ / "a", 10000), text);
  EXPECT_EQ(code_of([&] { read_text_file(directory_ / "a", 9999); }), ExitCode::input);
  EXPECT_NE(read_text_file("/proc/self/stat").find(' '), std::string::npos);  // claims to be empty
}

TEST_F(FileTest, AtomicWritesReplaceAndLeaveNothingBehind) {
  write_file_atomically(directory_ / "a", "old");
  write_file_atomically(directory_ / "a", "new");
  EXPECT_EQ(read_text_file(directory_ / "a"), "new");
  replace_file(directory_ / "a", "newer");
  EXPECT_EQ(read_text_file(directory_ / "a"), "newer");
  EXPECT_EQ(num_entries(), 1u);
  fs::create_directory(directory_ / "taken");
  EXPECT_EQ(code_of([&] { write_file_atomically(directory_ / "taken", "x"); }), ExitCode::output);
  EXPECT_EQ(code_of([&] { replace_file(directory_ / "taken", "x"); }), ExitCode::output);
  EXPECT_EQ(code_of([&] { write_file_atomically(directory_ / "none" / "a", "x"); }), ExitCode::output);
  EXPECT_EQ(num_entries(), 2u);
}

TEST_F(FileTest, AReaderSeesTheOldContentOrTheNewWheneverTheWriterIsKilled) {
  const fs::path path = directory_ / "a";
  write_file_atomically(path, std::string(50000, 'a'));
  for (int round = 0; round < 25; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (char c = 'a';; c = c == 'z' ? 'a' : static_cast<char>(c + 1))
        write_file_atomically(path, std::string(50000, c));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500 + 700 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string text = read_text_file(path);
    ASSERT_EQ(text.size(), 50000u);
    ASSERT_EQ(text.find_first_not_of(text[0]), std::string::npos);
  }
  remove_temporaries(directory_);
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(FileTest, PublishRenames) {
  publish_file(put("from", "x"), directory_ / "to");
  EXPECT_EQ(read_text_file(directory_ / "to"), "x");
  EXPECT_EQ(num_entries(), 1u);
  EXPECT_EQ(code_of([&] { publish_file(directory_ / "from", directory_ / "to"); }), ExitCode::output);
}

TEST_F(FileTest, UnpublishedTemporariesAreRemoved) {
  {
    const TemporaryFile file(directory_ / "a");
    std::ofstream(file.path()) << "x";
    EXPECT_EQ(num_entries(), 1u);
  }
  EXPECT_EQ(num_entries(), 0u);
  EXPECT_NE(temporary_path("a"), temporary_path("a"));
}

TEST_F(FileTest, ANewFileIsWrittenOnce) {
  OutputFile file(directory_ / "a");
  file.write("one ");
  file.write("two");
  file.sync();
  file.close();
  EXPECT_EQ(read_text_file(directory_ / "a"), "one two");
  EXPECT_EQ(code_of([&] { OutputFile(directory_ / "a"); }), ExitCode::output);
  EXPECT_EQ(code_of([&] { OutputFile(directory_ / "none" / "a"); }), ExitCode::output);
}

/// A directory of two files of so many equal bytes.
void publish_pair(const fs::path& target, char c) {
  const TemporaryFolder folder(target);
  for (const char* name : {"one", "two"}) std::ofstream(folder.path() / name) << std::string(5000, c);
  folder.publish();
}

TEST_F(FileTest, PublishedDirectoriesReplaceOldOnes) {
  const fs::path target = directory_ / "model";
  publish_pair(target, 'a');
  std::ofstream(target / "three") << "of the old one";
  publish_pair(target, 'b');
  EXPECT_EQ(read_text_file(target / "two"), std::string(5000, 'b'));
  EXPECT_FALSE(fs::exists(target / "three"));
  { const TemporaryFolder unpublished(target); }
  EXPECT_EQ(num_entries(), 1u);
  EXPECT_EQ(code_of([&] { publish_directory(directory_ / "none", target); }), ExitCode::output);
  EXPECT_EQ(code_of([&] { TemporaryFolder(put("file", "") / "model"); }), ExitCode::output);
  EXPECT_EQ(read_text_file(target / "one"), std::string(5000, 'b'));
}

TEST_F(FileTest, APublishedDirectoryIsCompleteWheneverTheWriterIsKilled) {
  const fs::path target = directory_ / "model";
  publish_pair(target, 'a');
  for (int round = 0; round < 15; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (char c = 'a';; c = c == 'z' ? 'a' : static_cast<char>(c + 1)) publish_pair(target, c);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(500 + 900 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string one = read_text_file(target / "one");
    ASSERT_EQ(one, std::string(5000, one[0]));
    ASSERT_EQ(read_text_file(target / "two"), one);
  }
  remove_temporaries(directory_);
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(FileTest, AppendsLines) {
  append_line(directory_ / "log", "one");
  append_line(directory_ / "log", "two");
  EXPECT_EQ(read_text_file(directory_ / "log"), "one\ntwo\n");
  EXPECT_EQ(code_of([] { append_line("/dev/full", "x"); }), ExitCode::output);
}

TEST_F(FileTest, DirectoriesAndFreeSpace) {
  make_directories(directory_ / "x" / "y");
  make_directories(directory_ / "x" / "y");
  EXPECT_TRUE(fs::is_directory(directory_ / "x" / "y"));
  EXPECT_EQ(code_of([&] { make_directories(put("f", "") / "y"); }), ExitCode::output);
  EXPECT_EQ(code_of([&] { make_directories(directory_ / "f"); }), ExitCode::output);
  EXPECT_GT(free_disk_bytes(directory_), 0u);
  EXPECT_EQ(code_of([&] { free_disk_bytes(directory_ / "none"); }), ExitCode::output);
}

}  // namespace
}  // namespace switchyard
