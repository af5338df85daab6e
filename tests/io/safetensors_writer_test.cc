#include "io/safetensors_writer.h"

#include <gtest/gtest.h>

#include <cstring>

#include "io/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/read_tensor.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;
using test::read_tensor;
using test::TemporaryDirectory;

TEST(SafetensorsWriter, RoundTrip) {
  const TemporaryDirectory directory;
  std::vector<float> weights{1.5f, -2.0f, 3.25f};
  const auto fill_with = [](std::string_view bytes) {
    return [bytes](std::span<std::byte> out) {
      ASSERT_EQ(out.size(), bytes.size());
      std::memcpy(out.data(), bytes.data(), bytes.size());
    };
  };
  const std::string_view f32(reinterpret_cast<const char*>(weights.data()), 12);
  const TensorSource sources[] = {{"half", DType::f16, {1}, fill_with("ab")},
                                  {"full", DType::f32, {3, 1}, fill_with(f32)},
                                  {"none", DType::bf16, {0, 4}, fill_with("")},
                                  {"brain \"x\"", DType::bf16, {2}, fill_with("cdef")},
                                  {"scalar", DType::f32, {}, fill_with(f32.substr(0, 4))}};
  write_safetensors(directory / "model.safetensors", sources);
  const Checkpoint checkpoint(directory.path());
  EXPECT_EQ(checkpoint.tensors().size(), 5u);
  EXPECT_EQ(read_tensor(checkpoint, "full"), f32);
  EXPECT_EQ(read_tensor(checkpoint, "half"), "ab");
  EXPECT_EQ(read_tensor(checkpoint, "brain \"x\""), "cdef");
  EXPECT_EQ(checkpoint.find("none")->shape_str(), "[0, 4]");
  EXPECT_EQ(checkpoint.find("scalar")->shape_str(), "[]");
  for (const auto& [name, tensor] : checkpoint.tensors())
    EXPECT_EQ(tensor.offset % (tensor.dtype_name == "F32" ? 4 : 2), 0u) << name;
  EXPECT_EQ(checkpoint.find("full")->offset % 8, 0u);
}

TEST(SafetensorsWriter, AFailureLeavesTheOldFileAlone) {
  const TemporaryDirectory directory;
  const auto path = directory.write("model.safetensors", "old");
  const TensorSource source{"t", DType::f32, {1}, [](std::span<std::byte>) { fail(ExitCode::input, "no bytes"); }};
  EXPECT_TRUE(fails_input({"no bytes"}, [&] { write_safetensors(path, std::span(&source, 1)); }));
  EXPECT_EQ(test::bytes_of_file(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
  EXPECT_TRUE(test::fails(ExitCode::output, {"gone"}, [&] { write_safetensors(directory / "gone/m", {}); }));
}

TEST(SafetensorsWriter, TakesTensorsInPieces) {
  const TemporaryDirectory directory;
  const TensorSpec tensors[] = {{"a", DType::f32, {2}}, {"b", DType::bf16, {1, 3}}};
  const std::string bytes = "aaaaAAAAbbBBbb";
  SafetensorsWriter writer(directory / "model.safetensors", tensors);
  const auto all = std::as_bytes(std::span(bytes));
  for (const auto& [first, count] : {std::pair{0, 3}, {3, 7}, {10, 4}}) writer.append(all.subspan(first, count));
  EXPECT_TRUE(test::fails(ExitCode::internal, {"1 bytes", "0 are left"}, [&] { writer.append(all.subspan(0, 1)); }));
  writer.finish();
  const Checkpoint checkpoint(directory.path());
  EXPECT_EQ(read_tensor(checkpoint, "a"), "aaaaAAAA");
  EXPECT_EQ(read_tensor(checkpoint, "b"), "bbBBbb");

  SafetensorsWriter second(directory / "second", tensors);
  second.append(all.subspan(0, 13));
  EXPECT_TRUE(test::fails(ExitCode::internal, {"1 bytes", "left"}, [&] { second.finish(); }));
  EXPECT_TRUE(test::fails(ExitCode::output, {"second"}, [&] { SafetensorsWriter(directory / "second", tensors); }));
}

}  // namespace
}  // namespace switchyard
