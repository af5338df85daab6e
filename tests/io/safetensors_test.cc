#include "io/safetensors.h"

#include <cstring>

#include "base/hash.h"
#include "io/json.h"
#include "tests/support/expect_error.h"
#include "tests/support/read_tensor.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;
using test::read_tensor;
using test::TemporaryDirectory;

std::string safetensors_bytes(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes.append(header).append(data);
}

std::vector<TensorInfo> parse(std::string_view header, uint64_t data_bytes) {
  return parse_safetensors_header(header, 8 + header.size(), 8 + header.size() + data_bytes, "m.safetensors");
}

TEST(SafetensorsHeader, ReadsTensorsInAnyOrder) {
  const auto tensors = parse(R"({"__metadata__":{"format":"pt"},
    "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},
    "a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},
    "z":{"dtype":"F16","shape":[0,7],"data_offsets":[16,16]},
    "y":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}}   )",
                             24);
  ASSERT_EQ(tensors.size(), 4u);
  EXPECT_EQ(tensors[0].name, "b");
  EXPECT_EQ(tensors[0].shape_str(), "[2, 3]");
  EXPECT_EQ(tensors[0].bytes, 12u);
  EXPECT_EQ(tensors[0].dtype_name, "BF16");
  EXPECT_EQ(tensors[1].shape_str(), "[]");
  EXPECT_EQ(tensors[0].offset, tensors[1].offset + 4);
  EXPECT_EQ(tensors[2].bytes, 0u);
  EXPECT_EQ(tensors[3].dtype_name, "I64");
  EXPECT_TRUE(parse("{}", 0).empty());
}

TEST(SafetensorsHeader, KnowsTheSizesOfAllDtypes) {
  const std::pair<const char*, int> sizes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2},    {"I64", 8},
                                               {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},      {"BOOL", 1},
                                               {"U16", 2}, {"U32", 4}, {"U64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};
  for (const auto& [name, size] : sizes) {
    const auto tensors =
        parse(fmt::format(R"({{"t":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})", name, 3 * size),
              static_cast<uint64_t>(3 * size));
    EXPECT_EQ(tensors.at(0).bytes, static_cast<uint64_t>(3 * size)) << name;
  }
}

struct BadHeader {
  const char* what;
  const char* header;
  uint64_t data_bytes;
  const char* part;  ///< of the message
};

class BadHeaders : public ::testing::TestWithParam<BadHeader> {};

TEST_P(BadHeaders, IsRefusedByName) {
  const BadHeader& bad = GetParam();
  EXPECT_TRUE(fails_input({"m.safetensors", bad.part}, [&] { parse(bad.header, bad.data_bytes); })) << bad.what;
}

INSTANTIATE_TEST_SUITE_P(
    Safetensors, BadHeaders,
    ::testing::Values(
        BadHeader{"not JSON", "{\"t\":", 0, "header"}, BadHeader{"an array", "[]", 0, "array"},
        BadHeader{"a number", "1", 0, "found 1"}, BadHeader{"empty", "", 0, "header"},
        BadHeader{"a tensor that is no object", R"({"t":5})", 0, "\"t\""},
        BadHeader{"no dtype", R"({"t":{"shape":[1],"data_offsets":[0,4]}})", 4, "\"dtype\""},
        BadHeader{"no shape", R"({"t":{"dtype":"F32","data_offsets":[0,4]}})", 4, "\"shape\""},
        BadHeader{"no offsets", R"({"t":{"dtype":"F32","shape":[1]}})", 4, "\"data_offsets\""},
        BadHeader{"an unknown field", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4, "\"x\""},
        BadHeader{"an unknown dtype", R"({"t":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})", 4, "\"Q4\""},
        BadHeader{"a dtype in lower case", R"({"t":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", 4, "\"f32\""},
        BadHeader{"a negative extent", R"({"t":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "\"t\""},
        BadHeader{"a float extent", R"({"t":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "shape[0]"},
        BadHeader{"an extent of 2^63", R"({"t":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}})", 4,
                  "shape[0]"},
        BadHeader{"an extent of 2^64", R"({"t":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,4]}})",
                  4, "shape[0]"},
        BadHeader{"a product of 2^64", R"({"t":{"dtype":"F32","shape":[4294967296,1073741824],"data_offsets":[0,0]}})",
                  0, "2^64"},
        BadHeader{"a product of 2^126",
                  R"({"t":{"dtype":"U8","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,1]}})", 1,
                  "2^64"},
        BadHeader{"a shape that is a string", R"({"t":{"dtype":"F32","shape":"1","data_offsets":[0,4]}})", 4,
                  "\"shape\""},
        BadHeader{"one offset", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[4]}})", 4, "data_offsets"},
        BadHeader{"three offsets", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,2,4]}})", 4, "data_offsets"},
        BadHeader{"a float offset", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4.0]}})", 4,
                  "data_offsets[1]"},
        BadHeader{"a negative offset", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", 4, "[-4, 0]"},
        BadHeader{"misordered offsets", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "[4, 0]"},
        BadHeader{"an offset of 2^63",
                  R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775808,9223372036854775812]}})", 4,
                  "data_offsets[0]"},
        BadHeader{"an offset of 2^63 - 1",
                  R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[9223372036854775803,9223372036854775807]}})", 4,
                  "leave the file"},
        BadHeader{"an end beyond the file", R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 4,
                  "leave the file"},
        BadHeader{"too few bytes for the shape", R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
                  "F32 [2] has 8 bytes"},
        BadHeader{"too many bytes for the shape", R"({"t":{"dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4,
                  "F16 [1] has 2 bytes"},
        BadHeader{
            "an overlap",
            R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
            12, "tensor \"t\": expected to start at data offset 8, starts at 4 (overlaps"},
        BadHeader{
            "two tensors in one place",
            R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
            4, "overlaps"},
        BadHeader{
            "a zero-element tensor inside another",
            R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[0],"data_offsets":[4,4]}})",
            8, "\"t\""},
        BadHeader{"a hole before", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "a hole"},
        BadHeader{
            "a hole between",
            R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})",
            12, "\"t\""},
        BadHeader{"bytes after", R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 7, "3 bytes after"},
        BadHeader{"data without tensors", "{}", 1, "1 bytes after"},
        BadHeader{
            "equal names",
            R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
            2, "duplicate key \"t\""},
        BadHeader{"metadata that is no object", R"({"__metadata__":[]})", 0, "__metadata__"},
        BadHeader{"metadata that is no text", R"({"__metadata__":{"a":1}})", 0, "\"a\""}),
    [](const auto& test) {
      std::string name = test.param.what;
      for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

TEST(SafetensorsFile, ChecksTheHeaderLength) {
  const TemporaryDirectory directory;
  const auto refused = [&](const std::string& bytes, std::initializer_list<std::string_view> parts) {
    const auto path = directory.write("model.safetensors", bytes);
    return fails_input(parts, [&] { read_safetensors_header(InputFile(path)); });
  };
  EXPECT_TRUE(refused("", {"model.safetensors", "0 bytes, too short"}));
  EXPECT_TRUE(refused(std::string(7, '\0'), {"7 bytes, too short"}));
  EXPECT_TRUE(refused(std::string(8, '\0'), {"header"}));
  EXPECT_TRUE(refused(std::string(7, '\0') + "\x80", {"header of 9223372036854775808 bytes"}));
  EXPECT_TRUE(refused(std::string(8, '\xff'), {"header of 18446744073709551615 bytes"}));
  EXPECT_TRUE(refused(std::string("\x03\0\0\0\0\0\0\0{}", 10), {"header of 3 bytes", "at most 2"}));
  EXPECT_NO_THROW(read_safetensors_header(InputFile(directory.write("e", std::string("\x02\0\0\0\0\0\0\0{}", 10)))));

  // A sparse file, really as long as the header claims to be.
  const auto path = directory.write("model.safetensors", std::string("\x01\xe1\xf5\x05\0\0\0\0", 8));  // 100,000,001
  std::filesystem::resize_file(path, 100'000'009);
  EXPECT_TRUE(fails_input({"header of 100000001 bytes", "at most 100000000"},
                          [&] { read_safetensors_header(InputFile(path)); }));
}

TEST(SafetensorsFile, SaysWhatIsThereInstead) {
  const TemporaryDirectory directory;
  const auto refused = [&](const std::string& bytes, std::initializer_list<std::string_view> parts) {
    directory.write("model.safetensors", bytes);
    return fails_input(parts, [&] { Checkpoint checkpoint(directory.path()); });
  };
  EXPECT_TRUE(refused("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4932307584\n",
                      {"model.safetensors", "Git LFS pointer", "git lfs pull"}));
  EXPECT_TRUE(refused("<!DOCTYPE html>\n<html>", {"model.safetensors", "HTML"}));
  EXPECT_TRUE(refused("Entry not found", {"model.safetensors", "\"Entry not found\""}));
  EXPECT_TRUE(refused(R"({"error":"no"})", {"model.safetensors", "error"}));
  EXPECT_TRUE(refused(std::string("PK\x03\x04", 4) + std::string(60, '\0'), {"model.safetensors", "PyTorch"}));
  EXPECT_TRUE(refused(std::string(4096, '\0'), {"model.safetensors", "unfinished download"}));
  EXPECT_TRUE(refused(std::string(20, '\x7'), {"header of 506381209866536711 bytes"}));  // of no known kind
  // A header whose length is the first bytes of a pickle.
  std::string header = R"({"__metadata__":{"format":"pt"}})";
  EXPECT_FALSE(refused(safetensors_bytes(header + std::string(0x280 - header.size(), ' '), ""), {}));
}

TEST(SafetensorsFile, SaysThatItIsCutShort) {
  const TemporaryDirectory directory;
  const std::string whole = safetensors_bytes(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "12345678");
  for (const size_t size : {size_t{0}, size_t{5}, size_t{20}, whole.size() - 1}) {
    directory.write("model.safetensors", whole.substr(0, size));
    EXPECT_TRUE(fails_input({"model.safetensors", "unfinished download"}, [&] { Checkpoint c(directory.path()); }))
        << size;
  }
}

TEST(SafetensorsFile, EveryTruncationIsRefused) {
  const TemporaryDirectory directory;
  const std::string whole = safetensors_bytes(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "12345678");
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto path = directory.write("model.safetensors", whole.substr(0, size));
    EXPECT_TRUE(fails_input({path.string()}, [&] { Checkpoint checkpoint(directory.path()); })) << size;
  }
  directory.write("model.safetensors", whole);
  EXPECT_EQ(read_tensor(Checkpoint(directory.path()), "t"), "12345678");
}

TEST(Checkpoint, ReadsRangesAndCountsBytes) {
  const TemporaryDirectory directory;
  directory.write("model.safetensors", safetensors_bytes(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},
                                                             "b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})",
                                                         "abcdefgh"));
  const Checkpoint checkpoint(directory.path());
  EXPECT_EQ(read_tensor(checkpoint, "a"), "abc");
  std::string middle(3, '\0');
  checkpoint.read(*checkpoint.find("b"), 1, std::as_writable_bytes(std::span(middle)));
  EXPECT_EQ(middle, "efg");
  EXPECT_EQ(checkpoint.bytes_read(), 6u);
  EXPECT_EQ(checkpoint.find("c"), nullptr);
  EXPECT_EQ(checkpoint.file_of(*checkpoint.find("a")), directory / "model.safetensors");
  EXPECT_TRUE(test::fails(ExitCode::internal, {"b"}, [&] {
    checkpoint.read(*checkpoint.find("b"), 3, std::as_writable_bytes(std::span(middle)));
  }));
}

TEST(Checkpoint, AFileThatShrinksLaterIsAnError) {
  const TemporaryDirectory directory;
  const auto path = directory.write(
      "model.safetensors", safetensors_bytes(R"({"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "abcd"));
  const Checkpoint checkpoint(directory.path());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  EXPECT_TRUE(fails_input({path.string()}, [&] { read_tensor(checkpoint, "t"); }));
}

TEST(Checkpoint, NeedsAModel) {
  const TemporaryDirectory directory;
  EXPECT_TRUE(fails_input({directory.path().string(), "model.safetensors"}, [&] { Checkpoint c(directory.path()); }));
  EXPECT_TRUE(fails_input({"gone"}, [&] { Checkpoint c(directory / "gone"); }));
  std::filesystem::create_directory(directory / "model.safetensors");
  EXPECT_TRUE(fails_input({"regular file"}, [&] { Checkpoint c(directory.path()); }));
}

TEST(Checkpoint, SaysWhatIsThereInstead) {
  const std::pair<const char*, const char*> cases[] = {
      {"pytorch_model.bin", "convert"},
      {"pytorch_model.bin.index.json", "convert"},
      {"consolidated.00.pth", "convert"},
      {"model-Q4.gguf", "convert"},
      {"model-00001-of-00002.safetensors", "download the index"},
  };
  for (const auto& [name, advice] : cases) {
    const TemporaryDirectory directory;
    EXPECT_FALSE(holds_weights(directory.path()));
    directory.write(name, "x");
    EXPECT_TRUE(fails_input({"expected model.safetensors", name, advice}, [&] { Checkpoint c(directory.path()); }));
    EXPECT_TRUE(holds_weights(directory.path()));
  }
}

TEST(Checkpoint, ALinkToNothingIsSeen) {
  const TemporaryDirectory directory;
  std::filesystem::create_symlink("../blobs/0a1b", directory / "model.safetensors");
  EXPECT_TRUE(holds_weights(directory.path()));
  EXPECT_TRUE(fails_input({"model.safetensors: a link to", "blobs/0a1b, which does not exist", "download"},
                          [&] { Checkpoint c(directory.path()); }));
  std::filesystem::remove(directory / "model.safetensors");
  directory.write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors"}})");
  std::filesystem::create_symlink("../blobs/0a1b", directory / "one.safetensors");
  EXPECT_TRUE(fails_input({"one.safetensors: a link to", "blobs"}, [&] { Checkpoint c(directory.path()); }));
}

class IndexedCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_.write("one.safetensors", safetensors_bytes(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                                                              "b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                                          "AB"));
    directory_.write("two.safetensors",
                     safetensors_bytes(R"({"c":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "C"));
  }
  ::testing::AssertionResult refused(std::string_view weight_map, std::initializer_list<std::string_view> parts) {
    directory_.write("model.safetensors.index.json", fmt::format(R"({{"metadata":{{}},"weight_map":{}}})", weight_map));
    return fails_input(parts, [&] { Checkpoint checkpoint(directory_.path()); });
  }
  TemporaryDirectory directory_;
};

constexpr std::string_view kGoodMap = R"({"a":"one.safetensors","c":"two.safetensors","b":"one.safetensors"})";

TEST_F(IndexedCheckpoint, ReadsAllFiles) {
  directory_.write("model.safetensors.index.json", fmt::format(R"({{"weight_map":{}}})", kGoodMap));
  directory_.write("other.safetensors", "not named, not read");
  const Checkpoint checkpoint(directory_.path());
  EXPECT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(read_tensor(checkpoint, "a") + read_tensor(checkpoint, "b") + read_tensor(checkpoint, "c"), "ABC");
  EXPECT_EQ(checkpoint.file_of(*checkpoint.find("c")).filename(), "two.safetensors");
}

TEST_F(IndexedCheckpoint, TheSingleFileWins) {
  directory_.write("model.safetensors.index.json", fmt::format(R"({{"weight_map":{}}})", kGoodMap));
  directory_.write("model.safetensors",
                   safetensors_bytes(R"({"s":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "S"));
  const Checkpoint checkpoint(directory_.path());
  EXPECT_EQ(checkpoint.tensors().size(), 1u);
  EXPECT_EQ(read_tensor(checkpoint, "s"), "S");
}

TEST_F(IndexedCheckpoint, TheIndexMustBeTrue) {
  EXPECT_TRUE(refused(R"({"a":"one.safetensors","b":"one.safetensors"})", {}) == false);
  EXPECT_TRUE(
      refused(R"({"a":"one.safetensors","c":"two.safetensors"})", {"\"b\"", "one.safetensors", "not in the index"}));
  EXPECT_TRUE(refused(R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors","d":"two.safetensors"})",
                      {"index.json", "\"d\"", "two.safetensors", "no file"}));
  EXPECT_TRUE(refused(R"({"a":"two.safetensors","b":"one.safetensors","c":"two.safetensors"})",
                      {"\"a\"", "expected in \"two.safetensors\", found in one.safetensors"}));
  EXPECT_TRUE(refused(R"({"a":"gone.safetensors"})", {"index.json", "gone.safetensors", "does not exist"}));
  EXPECT_TRUE(refused(R"({"a":"gone.safetensors","b":"lost.safetensors","c":"two.safetensors"})",
                      {"index.json", "\"gone.safetensors\", \"lost.safetensors\", which do not exist"}));
}

TEST_F(IndexedCheckpoint, TheIndexMustStayInItsDirectory) {
  for (const char* name :
       {"../one.safetensors", "/etc/passwd", "..", ".", "", "sub/one.safetensors", "a\\\\b", "a\\u0000b"})
    EXPECT_TRUE(refused(fmt::format(R"({{"a":"{}"}})", name), {"\"a\"", "same directory"})) << name;
  EXPECT_TRUE(refused(R"({"a":1})", {"\"a\"", "found 1"}));
  EXPECT_TRUE(refused("[]", {"weight_map"}));
  EXPECT_TRUE(refused("null", {"weight_map"}));
  directory_.write("model.safetensors.index.json", "{");
  EXPECT_TRUE(fails_input({"index.json"}, [&] { Checkpoint c(directory_.path()); }));
}

TEST_F(IndexedCheckpoint, ATensorIsInOneFile) {
  directory_.write("two.safetensors", safetensors_bytes(R"({"c":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                                                            "a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                                        "CA"));
  EXPECT_TRUE(refused(kGoodMap, {"\"a\"", "one.safetensors", "two.safetensors"}));
}

// Made by the format's own library: tests/data/safetensors/make.py.
TEST(SafetensorsOracle, ReadsWhatTheReferenceLibraryWrote) {
  const std::filesystem::path data = std::filesystem::path(SWITCHYARD_TEST_DATA) / "safetensors";
  const Checkpoint checkpoint(data);
  const Json expected = parse_json(test::bytes_of_file(data / "expected.json"), "expected.json");
  ASSERT_EQ(checkpoint.tensors().size(), expected.size());
  ASSERT_GT(expected.size(), 5u);
  for (const auto& [name, tensor] : expected.items()) {
    const TensorInfo* found = checkpoint.find(name);
    ASSERT_NE(found, nullptr) << name;
    EXPECT_EQ(found->dtype_name, require_string(tensor, "dtype", name));
    EXPECT_EQ(found->shape, require_int_array(tensor, "shape", name));
    std::string hex;
    for (const char c : read_tensor(checkpoint, name)) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    EXPECT_EQ(hex, require_string(tensor, "hex", name)) << name;
  }
}

}  // namespace
}  // namespace switchyard
