#include "io/hdf5.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <thread>

#include "base/rng.h"
#include "io/file.h"

// HDF5 does not give back all memory of files that it could not open or write.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libhdf5";
}

namespace switchyard {
namespace {

namespace fs = std::filesystem;

template <class Body>
std::string error_of(ExitCode code, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "";
}

class Hdf5Test : public testing::Test {
 protected:
  Hdf5Test() {
    std::string name = (fs::temp_directory_path() / "switchyard-hdf5-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    directory_ = name;
    path_ = directory_ / "a.h5";
  }
  ~Hdf5Test() override { fs::remove_all(directory_); }

  /// A file with whatever HDF5's own interface is asked to put there.
  template <class Body>
  void raw(const Body& body) const {
    const h5::FileHandle file(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT));
    ASSERT_TRUE(file);
    body(file.get());
  }
  static hid_t dataset(hid_t file, const char* name, hid_t type, std::vector<hsize_t> extent,
                       hid_t creation = H5P_DEFAULT) {
    const hid_t space = H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr);
    const hid_t id = H5Dcreate2(file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    H5Sclose(space);
    return id;
  }
  static void put(hid_t id, hid_t type, const void* data) {
    ASSERT_GE(H5Dwrite(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), 0);
    H5Dclose(id);
  }
  template <class T>
  std::vector<T> read(const std::string& name, int64_t first, size_t count) const {
    std::vector<T> out(count);
    h5::Reader(path_).open(name).read(first, std::span(out));
    return out;
  }

  fs::path directory_, path_;
};

void write_sample(const fs::path& path) {
  h5::Writer writer(path);
  writer.write("tokens/values", view_of(std::vector<int32_t>{5, -6, 7, 8}));
  writer.create("tokens/offsets", DType::i64, 3, 0, true).append(view_of(std::vector<int64_t>{0, 2, 4}));
  writer.write("matrix", view_of(std::vector<float>{1, 2, 3, 4, 5, 6}).reshaped({2, 3}));
  writer.write("f64", view_of(std::vector<double>{0.1, -std::numeric_limits<double>::infinity(), 1e300}));
  writer.write("u8", view_of(std::vector<uint8_t>{0, 255}));
  writer.write("empty", view_of(std::vector<double>{}));
  writer.write_strings("id", std::vector<std::string>{"a", "", "\xc3\xa9t\xc3\xa9"});
  h5::Writer::Stream grows = writer.create("grows", DType::f64);
  h5::Writer::Stream words = writer.create_strings("words");
  for (int i = 0; i < 50; ++i) {
    grows.append(view_of(std::vector<double>(1000, i)));
    words.append_strings(std::vector<std::string>{"w" + std::to_string(i)});
  }
  writer.attribute("text", std::string_view("value"));
  writer.attribute("integer", int64_t{-3});
  writer.attribute("number", 0.1);
  writer.close();  // with the streams still open
}

TEST_F(Hdf5Test, WhatIsWrittenIsReadBack) {
  write_sample(path_);
  EXPECT_EQ(read<int32_t>("tokens/values", 0, 4), (std::vector<int32_t>{5, -6, 7, 8}));
  EXPECT_EQ(read<int64_t>("tokens/values", 1, 2), (std::vector<int64_t>{-6, 7}));
  EXPECT_EQ(read<uint64_t>("tokens/offsets", 0, 3), (std::vector<uint64_t>{0, 2, 4}));
  EXPECT_EQ(read<float>("matrix", 1, 3), (std::vector<float>{4, 5, 6}));
  EXPECT_EQ(read<double>("f64", 0, 3), (std::vector<double>{0.1, -std::numeric_limits<double>::infinity(), 1e300}));
  EXPECT_EQ(read<uint8_t>("u8", 0, 2), (std::vector<uint8_t>{0, 255}));
  EXPECT_EQ(read<double>("grows", 41999, 2), (std::vector<double>{41, 42}));
  const h5::Reader reader(path_);
  std::vector<float> row(3);
  reader.open("matrix").read(1, View{row.data(), {1, 3}, DType::f32});
  EXPECT_EQ(row, (std::vector<float>{4, 5, 6}));
  EXPECT_THROW(reader.open("matrix").read(1, View{row.data(), {1, 3}, DType::bf16}), Error);
  EXPECT_EQ(reader.open("id").read_strings(0, 3), (std::vector<std::string>{"a", "", "\xc3\xa9t\xc3\xa9"}));
  EXPECT_EQ(reader.open("words").read_strings(48, 2), (std::vector<std::string>{"w48", "w49"}));
  EXPECT_EQ(reader.open("empty").rows(), 0);
  EXPECT_EQ(reader.open("matrix").shape(), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(reader.attribute("text"), "value");
  EXPECT_EQ(reader.attribute("integer"), "-3");
  EXPECT_EQ(reader.attribute("number"), "0.1");
  EXPECT_EQ(reader.attribute("none"), std::nullopt);
  EXPECT_TRUE(reader.has("tokens/values"));
  EXPECT_FALSE(reader.has("tokens/none"));
  EXPECT_FALSE(reader.has("none/values"));
  EXPECT_FALSE(h5::library_version().empty());
}

TEST_F(Hdf5Test, TheSameContentIsTheSameBytes) {
  write_sample(path_);
  const std::string first = read_text_file(path_);
  std::vector<std::string> heap;  // other memory, another second
  for (size_t i = 0; i < 1000; ++i) heap.emplace_back(i, 'z');
  heap.clear();
  ::usleep(1100000);
  write_sample(path_);
  EXPECT_TRUE(read_text_file(path_) == first);
}

TEST_F(Hdf5Test, ValuesThatDoNotFitAreRefusedNotClipped) {
  raw([](hid_t file) {
    const int64_t wide[] = {0, 3000000000};
    put(dataset(file, "wide", H5T_STD_I64BE, {2}), H5T_NATIVE_INT64, wide);
    const uint64_t huge[] = {0, 0xffffffffffffffffu};
    put(dataset(file, "huge", H5T_STD_U64LE, {2}), H5T_NATIVE_UINT64, huge);
    const int8_t negative[] = {1, -1};
    put(dataset(file, "negative", H5T_STD_I8LE, {2}), H5T_NATIVE_INT8, negative);
    const double large[] = {0.5, 1e300};
    put(dataset(file, "large", H5T_IEEE_F64LE, {2}), H5T_NATIVE_DOUBLE, large);
  });
  EXPECT_EQ(read<int64_t>("wide", 0, 2), (std::vector<int64_t>{0, 3000000000}));
  EXPECT_NE(error_of(ExitCode::input, [&] { read<int32_t>("wide", 0, 2); }).find("row 1"), std::string::npos);
  EXPECT_EQ(read<int32_t>("wide", 0, 1), (std::vector<int32_t>{0}));
  EXPECT_EQ(read<uint64_t>("huge", 1, 1), (std::vector<uint64_t>{0xffffffffffffffffu}));
  EXPECT_NE(error_of(ExitCode::input, [&] { read<int64_t>("huge", 0, 2); }).find("18446744073709551615"),
            std::string::npos);
  EXPECT_NE(error_of(ExitCode::input, [&] { read<uint64_t>("negative", 0, 2); }).find("-1"), std::string::npos);
  EXPECT_NE(error_of(ExitCode::input, [&] { read<uint8_t>("negative", 0, 2); }), "");
  EXPECT_NE(error_of(ExitCode::input, [&] { read<float>("large", 0, 2); }).find("row 1"), std::string::npos);
  EXPECT_NE(error_of(ExitCode::input, [&] { read<float>("wide", 0, 2); }).find("integers"), std::string::npos);
  EXPECT_NE(error_of(ExitCode::input, [&] { read<int32_t>("large", 0, 2); }), "");
}

TEST_F(Hdf5Test, FixedLengthStringsLoseTheirPaddingOnly) {
  raw([](hid_t file) {
    for (const auto& [name, padding] :
         {std::pair{"null", H5T_STR_NULLPAD}, {"term", H5T_STR_NULLTERM}, {"space", H5T_STR_SPACEPAD}}) {
      const hid_t type = H5Tcopy(H5T_C_S1);
      H5Tset_size(type, 4);
      H5Tset_strpad(type, padding);
      put(dataset(file, name, type, {2}), type, padding == H5T_STR_SPACEPAD ? "ab  abcd" : "ab\0\0abc\0");
      if (padding == H5T_STR_NULLPAD) {
        put(dataset(file, "nul", type, {1}), type, "a\0b\0");
        put(dataset(file, "latin1", type, {1}), type, "\xe9\0\0\0");
      }
      H5Tclose(type);
    }
  });
  const h5::Reader reader(path_);
  EXPECT_EQ(reader.open("null").read_strings(0, 2), (std::vector<std::string>{"ab", "abc"}));
  EXPECT_EQ(reader.open("term").read_strings(0, 2), (std::vector<std::string>{"ab", "abc"}));
  EXPECT_EQ(reader.open("space").read_strings(0, 2), (std::vector<std::string>{"ab", "abcd"}));
  EXPECT_NE(error_of(ExitCode::input, [&] { reader.open("nul").read_strings(0, 1); }).find("NUL"), std::string::npos);
  EXPECT_NE(error_of(ExitCode::input, [&] { reader.open("latin1").read_strings(0, 1); }).find("UTF-8"),
            std::string::npos);
}

TEST_F(Hdf5Test, StringsThatHdf5WouldCutAreRefused) {
  h5::Writer writer(path_);
  const std::vector<std::string> nul{std::string("a\0b", 3)}, latin1{"\xe9"};
  EXPECT_NE(error_of(ExitCode::output, [&] { writer.write_strings("nul", nul); }), "");
  EXPECT_NE(error_of(ExitCode::output, [&] { writer.write_strings("latin1", latin1); }), "");
}

TEST_F(Hdf5Test, RowsThatAreNotInTheFileAreRefused) {
  raw([&](hid_t file) {
    H5Dclose(dataset(file, "unwritten", H5T_STD_I32LE, {10}));
    const hid_t chunked = H5Pcreate(H5P_DATASET_CREATE);
    const hsize_t chunk = 4, start = 0, count = 4;
    H5Pset_chunk(chunked, 1, &chunk);
    const hid_t part = dataset(file, "part", H5T_STD_I32LE, {10}, chunked);
    const hid_t space = H5Dget_space(part), memory = H5Screate_simple(1, &count, nullptr);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, nullptr, &count, nullptr);
    const int32_t values[4] = {1, 2, 3, 4};
    ASSERT_GE(H5Dwrite(part, H5T_NATIVE_INT32, memory, space, H5P_DEFAULT, values), 0);
    H5Sclose(memory), H5Sclose(space), H5Dclose(part);
    H5Pset_deflate(chunked, 4);
    const std::vector<int32_t> zeros(10, 0);  // shrinks to fewer bytes than rows: all there all the same
    put(dataset(file, "packed", H5T_STD_I32LE, {10}, chunked), H5T_NATIVE_INT32, zeros.data());
    const hid_t external = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_external(external, "/etc/passwd", 0, 40);
    H5Dclose(dataset(file, "external", H5T_STD_I32LE, {10}, external));
    H5Lcreate_external("/etc/passwd", "/x", file, "link", H5P_DEFAULT, H5P_DEFAULT);
    H5Dclose(dataset(file, "cube", H5T_STD_I32LE, {2, 2, 2}));
    H5Gclose(H5Gcreate2(file, "group", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Pclose(external), H5Pclose(chunked);
  });
  const h5::Reader reader(path_);
  for (const char* name : {"unwritten", "part", "external", "link", "cube", "group", "missing"})
    EXPECT_NE(error_of(ExitCode::input, [&] { reader.open(name); }), "") << name;
  EXPECT_EQ(read<int32_t>("packed", 0, 10), std::vector<int32_t>(10, 0));
}

TEST_F(Hdf5Test, WhatIsNoHdf5FileIsRefused) {
  const auto open = [&] { h5::Reader{path_}; };
  EXPECT_NE(error_of(ExitCode::input, open).find(path_.string()), std::string::npos);  // missing
  std::ofstream(path_) << "no HDF5";
  EXPECT_NE(error_of(ExitCode::input, open), "");
  std::ofstream(path_).close();
  EXPECT_NE(error_of(ExitCode::input, open), "");
  write_sample(path_);
  fs::resize_file(path_, fs::file_size(path_) / 2);
  EXPECT_NE(error_of(ExitCode::input, open).find("truncated"), std::string::npos);
}

/// Reads all it can in a child process; its exit status. 0: read, 66: an input error. Anything else is a crash.
int read_in_child(const fs::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      const h5::Reader reader(path);
      reader.attribute("text");
      for (const char* name : {"tokens/values", "tokens/offsets"}) {
        std::vector<int64_t> out(static_cast<size_t>(reader.open(name).rows()));
        reader.open(name).read(0, std::span(out));
      }
      for (const char* name : {"id", "words"}) reader.open(name).read_strings(0, reader.open(name).rows());
      std::vector<double> out(static_cast<size_t>(reader.open("grows").rows()));
      reader.open("grows").read(0, std::span(out));
      ::_exit(0);
    } catch (const Error& error) {
      ::_exit(static_cast<int>(error.code()));
    } catch (...) {
      ::_exit(99);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST_F(Hdf5Test, DamagedFilesAreErrorsNotCrashes) {
  write_sample(path_);
  const std::string whole = read_text_file(path_);
  int refused = 0;
  for (uint64_t i = 0; i < 60; ++i) {
    std::string damaged = whole;
    for (uint64_t j = 0; j < 1 + i % 3; ++j)  // where most of the structure is
      damaged[random_bits(1 + j, i) % 12000] = static_cast<char>(random_bits(11 + j, i));
    std::ofstream(path_, std::ios::binary) << damaged;
    const int status = read_in_child(path_);
    EXPECT_TRUE(status == 0 || status == static_cast<int>(ExitCode::input)) << "case " << i << ": " << status;
    refused += status != 0;
  }
  EXPECT_GT(refused, 10);
}

// A child that was forked off would wait for whatever lock another thread held at that moment: an allocator's, in
// builds with sanitizers.
TEST_F(Hdf5Test, OpensWhateverOtherThreadsDo) {
  write_sample(path_);
  std::atomic<bool> done = false;
  std::vector<std::thread> others;
  for (int i = 0; i < 2; ++i)
    others.emplace_back([&done] {
      while (!done) std::vector<std::string>(100, std::string(100, 'x'));
    });
  for (int i = 0; i < 10; ++i) EXPECT_EQ(h5::Reader(path_).attribute("text"), "value");
  done = true;
  for (std::thread& other : others) other.join();
}

/// Writes with no file larger than `bytes`, then a small file without a limit, then ends like a program does.
[[noreturn]] void write_with_limit(const fs::path& directory, uint64_t bytes) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{bytes, RLIM_INFINITY};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  int code = 0;
  try {
    write_sample(directory / "limited.h5");
  } catch (const Error& error) {
    code = static_cast<int>(error.code());
  }
  limit.rlim_cur = RLIM_INFINITY;
  ::setrlimit(RLIMIT_FSIZE, &limit);
  write_sample(directory / "after.h5");
  std::exit(code);
}

TEST_F(Hdf5Test, AFullDiskIsSeenWhereverItStrikes) {
  write_sample(path_);
  const uint64_t size = fs::file_size(path_);
  for (uint64_t step = 0; step <= 12; ++step) {
    const pid_t child = ::fork();
    if (child == 0) write_with_limit(directory_, step * (size - 1) / 12);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status)) << "limit " << step << ": signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), static_cast<int>(ExitCode::output)) << "limit " << step;
    EXPECT_EQ(h5::Reader(directory_ / "after.h5").attribute("text"), "value");
  }
}

}  // namespace
}  // namespace switchyard
