#include "io/text_stream.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "io/line_reader.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;

std::string gzip(std::string_view text) {
  z_stream stream{};
  ::deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(::deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string all_of(const std::filesystem::path& path, size_t block_bytes) {
  TextStream stream(path);
  std::string all, block;
  do {
    block.resize(block_bytes);
    stream.read(block);
    all += block;
  } while (!block.empty());
  return all;
}

std::string long_text() {
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += std::to_string(i * 2654435761u) + (i % 7 == 0 ? "\n" : " ");
  return text;
}

TEST(TextStream, PlainAndCompressedBytesAreTheSame) {
  const test::TemporaryDirectory directory;
  const std::string text = long_text();
  const auto plain = directory.write("plain", text), packed = directory.write("packed.gz", gzip(text));
  for (const size_t block : {size_t{1} << 10, (size_t{1} << 18) + 1, size_t{1} << 22}) {
    EXPECT_TRUE(all_of(plain, block) == text) << block;
    EXPECT_TRUE(all_of(packed, block) == text) << block;
  }
  EXPECT_EQ(all_of(directory.write("empty.gz", gzip("")), 100), "");
  EXPECT_EQ(all_of(directory.write("empty", ""), 100), "");
}

TEST(TextStream, MembersFollowEachOtherAndZerosPad) {
  const test::TemporaryDirectory directory;
  const std::string bytes = gzip("a\n") + gzip("") + gzip("b\n") + std::string(1000, '\0');
  EXPECT_EQ(all_of(directory.write("f.gz", bytes), 3), "a\nb\n");
}

TEST(TextStream, NothingIsLostInSilence) {
  const test::TemporaryDirectory directory;
  const std::string packed = gzip(long_text());
  const auto refuses = [&](const std::string& bytes, std::initializer_list<std::string_view> named) {
    const auto path = directory.write("f.gz", bytes);
    return fails_input(named, [&] { all_of(path, 1 << 20); });
  };
  for (const size_t cut : {size_t{5}, size_t{10}, packed.size() / 2, packed.size() - 1})
    EXPECT_TRUE(refuses(packed.substr(0, cut), {"f.gz", "cut off"})) << cut;
  std::string damaged = packed;
  damaged[packed.size() / 2] = static_cast<char>(damaged[packed.size() / 2] ^ 1);
  EXPECT_TRUE(refuses(damaged, {"f.gz", "damaged"}));
  EXPECT_TRUE(refuses(packed + "rest", {"f.gz", "behind gzip data"}));
  EXPECT_TRUE(refuses(packed + gzip("more").substr(0, 8), {"cut off"}));
}

TEST(TextStream, AFileThatChangesWhileItIsReadIsAnError) {
  const test::TemporaryDirectory directory;
  const auto path = directory.write("f.txt", std::string(100'000, 'x'));
  TextStream stream(path);
  std::string block(50'000, '\0');
  stream.read(block);
  directory.write("f.txt", std::string(200'000, 'x'));
  block.resize(100'000);
  EXPECT_TRUE(fails_input({"f.txt", "changed while it was read"}, [&] { stream.read(block); }));
}

TEST(TextStream, OtherCompressionsAreNamed) {
  const test::TemporaryDirectory directory;
  EXPECT_TRUE(fails_input({"f.zst", "Zstandard", "decompress"},
                          [&] { TextStream(directory.write("f.zst", "\x28\xb5\x2f\xfd rest")); }));
  EXPECT_TRUE(fails_input({"bzip2"}, [&] { TextStream(directory.write("f.bz2", "BZh91AY&SY rest")); }));
}

TEST(TextStream, AByteOrderMarkIsNoText) {
  const test::TemporaryDirectory directory;
  const std::string mark = "\xef\xbb\xbf";
  for (const std::string text : {"", "a", "text", "\xef\xbb\xbftwice", "\xef\xbb", "\xef"})
    for (const size_t block : {size_t{1}, size_t{3}, size_t{100}}) {
      EXPECT_EQ(all_of(directory.write("plain", mark + text), block), text) << block;
      EXPECT_EQ(all_of(directory.write("packed.gz", gzip(mark + text)), block), text) << block;
    }
  EXPECT_EQ(all_of(directory.write("short", "\xef\xbb"), 100), "\xef\xbb");
  for (const std::string other : {"\xff\xfet", "\xfe\xfft"}) {
    EXPECT_TRUE(fails_input({"f.txt", "UTF-8", "UTF-16"}, [&] { TextStream(directory.write("f.txt", other)); }));
    EXPECT_TRUE(fails_input({"f.gz", "UTF-16"}, [&] { TextStream(directory.write("f.gz", gzip(other))); }));
  }
}

TEST(TextStream, LinesOfCompressedFiles) {
  const test::TemporaryDirectory directory;
  LineReader lines(directory.write("f.jsonl.gz", gzip("one\r\ntwo\n")), 100);
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.line(), "one");
  ASSERT_TRUE(lines.next());
  EXPECT_EQ(lines.line(), "two");
  EXPECT_FALSE(lines.next());
}

}  // namespace
}  // namespace switchyard
