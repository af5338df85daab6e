// Reading deltas: what is refused, and patching against a plain loop.
#include "io/delta_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "io/delta_writer.h"
#include "tests/support/delta_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {
namespace {

TensorInfo model_tensor(std::string_view dtype, uint64_t elements) {
  return {.name = "t",
          .dtype_name = std::string(dtype),
          .shape = {static_cast<int64_t>(elements)},
          .bytes = elements * bytes_of_dtype(dtype)};
}

class DeltaFileTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::vector<RawTensor>& tensors,
                              const SafetensorsMetadata& fields = delta_fields()) const {
    write_raw_delta(path_, tensors, fields);
    return path_;
  }
  ::testing::AssertionResult refused(std::initializer_list<std::string_view> parts,
                                     const std::vector<RawTensor>& tensors,
                                     const SafetensorsMetadata& fields = delta_fields()) const {
    write(tensors, fields);
    return fails_input(parts, [&] { DeltaFile(path_).check(); });
  }

  const TemporaryDirectory directory_;
  const std::filesystem::path path_ = directory_ / "d.delta";
};

TEST_F(DeltaFileTest, SaysWhatItHas) {
  SafetensorsMetadata fields = delta_fields();
  fields["vanished"] = "17";
  fields["note"] = "anything";
  const DeltaFile delta(write(indexed(), fields));
  delta.check();
  EXPECT_EQ(delta.base(), std::string(32, 'a'));
  EXPECT_EQ(delta.result(), std::string(32, 'b'));
  EXPECT_EQ(delta.master(), nullptr);
  EXPECT_EQ(delta.number("vanished"), 17u);
  EXPECT_EQ(delta.number("trained"), std::nullopt);
  EXPECT_EQ(delta.num_changed(), 3u);
  EXPECT_EQ(delta.find("t")->changed->end(), 20u);
  EXPECT_EQ(delta.find("u"), nullptr);
}

TEST_F(DeltaFileTest, ListsOfElementsAreChecked) {
  EXPECT_TRUE(refused({"t:index", "[2] is 7", "more than 7"}, indexed({0, 7, 7})));
  EXPECT_TRUE(refused({"t:index", "[1] is 7", "more than 9"}, indexed({9, 7, 19})));
  EXPECT_TRUE(refused({"t:index", "U32 [2]", "3 values"}, indexed({0, 7})));
  EXPECT_TRUE(refused({"t:bitmap", "2 bits", "3 values"}, mapped(std::string("\x01\x00\x08", 3))));
  EXPECT_TRUE(refused({"t:bitmap", "4 bits", "3 values"}, mapped(std::string("\x83\x00\x08", 3))));
  std::vector<RawTensor> zero = indexed();
  zero[0].bytes = raw_bytes(std::vector<int32_t>{1, 0, 3});
  EXPECT_TRUE(refused({"t", "element 7", "bits that change"}, zero));
}

TEST_F(DeltaFileTest, TensorsThatDoNotFitTogetherAreNamed) {
  const std::vector<RawTensor> good = indexed(), bits = mapped();
  EXPECT_TRUE(refused({"tensor t", "t:index", "t:bitmap", "found it"}, {good[0]}));
  EXPECT_TRUE(refused({"tensor t", "not it"}, {good[1]}));
  EXPECT_TRUE(refused({"tensor t", "an index", "a bitmap"}, {good[0], good[1], bits[1]}));
  EXPECT_TRUE(refused({"t:foo", "no part of a delta"}, {good[0], good[1], {"t:foo", "U8", {1}, "x"}}));
  EXPECT_TRUE(refused({"tensor t", "I32 or I16", "F32"}, {{"t", "F32", {3}, good[0].bytes}, good[1]}));
  EXPECT_TRUE(refused({"t:index", "U32", "I32"}, {good[0], {"t:index", "I32", {3}, good[1].bytes}}));
  EXPECT_TRUE(refused({"tensor t", "one axis"}, {{"t", "I32", {3, 1}, good[0].bytes}, good[1]}));
  EXPECT_TRUE(refused({"tensor t", "at least one"}, {{"t", "I32", {0}, ""}, {"t:index", "U32", {0}, ""}}));
  std::vector<RawTensor> masters = good;
  masters.push_back({"t:master", "F32", {1}, raw_bytes(std::vector<float>{1})});
  masters.push_back({"t:master:index", "U32", {1}, raw_bytes(std::vector<uint32_t>{5})});
  EXPECT_TRUE(refused({"t:master", "field master"}, masters));
  SafetensorsMetadata fields = delta_fields();
  fields["master"] = std::string(32, 'c');
  EXPECT_NO_THROW(DeltaFile(write(masters, fields)).check());
  masters[2].bytes = raw_bytes(std::vector<float>{std::numeric_limits<float>::infinity()});
  EXPECT_TRUE(refused({"t", "element 5", "finite"}, masters, fields));
}

TEST_F(DeltaFileTest, FieldsAreChecked) {
  for (const char* name : {"format", "base", "result", "base_tensors", "base_elements", "base_bytes", "changed"}) {
    SafetensorsMetadata fields = delta_fields();
    fields.erase(name);
    EXPECT_TRUE(refused({"d.delta", name}, indexed(), fields)) << name;
    fields[name] = "something";
    EXPECT_TRUE(refused({"d.delta", name, "something"}, indexed(), fields)) << name;
  }
}

/// Cut short anywhere it is refused, unless nobody looks beyond.
TEST_F(DeltaFileTest, ATornFileIsRefused) {
  const std::string whole = bytes_of_file(write(indexed()));
  for (size_t size = 0; size < whole.size(); ++size) {
    directory_.write("d.delta", whole.substr(0, size));
    EXPECT_TRUE(fails_input({"d.delta"}, [&] { DeltaFile(path_).check(); })) << size;
  }
}

TEST_F(DeltaFileTest, AnotherModelIsNamed) {
  const DeltaFile delta(write(indexed()));
  EXPECT_NO_THROW(delta.require_fits(model_tensor("F32", 20)));
  EXPECT_TRUE(fails_input({"tensor t", "BF16", "I16", "I32"}, [&] { delta.require_fits(model_tensor("BF16", 20)); }));
  EXPECT_TRUE(
      fails_input({"tensor t", "F8_E4M3", "numbers"}, [&] { delta.require_fits(model_tensor("F8_E4M3", 20)); }));
  EXPECT_TRUE(fails_input({"t:index", "[3]", "2 elements"}, [&] { delta.require_fits(model_tensor("F32", 2)); }));
  std::vector<std::byte> bytes(19 * 4);
  EXPECT_TRUE(
      fails_input({"tensor t", "element 19", "has 19"}, [&] { delta.patch(model_tensor("F32", 19), 0, bytes); }));
  const DeltaFile bits(write(mapped()));
  EXPECT_NO_THROW(bits.require_fits(model_tensor("F16", 24)));
  EXPECT_TRUE(fails_input({"t:bitmap", "25 elements"}, [&] { bits.require_fits(model_tensor("F16", 25)); }));
  std::vector<std::byte> halves(19 * 2);
  EXPECT_TRUE(
      fails_input({"tensor t", "element 19", "has 19"}, [&] { bits.patch(model_tensor("F16", 19), 0, halves); }));
}

TEST(DeltaListTest, TheSmallerOneIsTaken) {
  EXPECT_EQ(smaller_list(320, 10), ElementList::index);  // 40 bytes each
  EXPECT_EQ(smaller_list(320, 11), ElementList::bitmap);
  EXPECT_EQ(smaller_list(321, 10), ElementList::index);
  EXPECT_EQ(smaller_list(uint64_t{1} << 32, 1), ElementList::bitmap);
  EXPECT_EQ(smaller_list((uint64_t{1} << 32) - 1, 1), ElementList::index);
  EXPECT_EQ(bytes_of_list(ElementList::bitmap, 17, 3), 3u);
  EXPECT_EQ(bytes_of_list(ElementList::index, 17, 3), 12u);
}

/// A tensor, one that differs from it in some elements, and the delta from one to the other.
struct PatchCase {
  std::string dtype;
  uint64_t elements;
  double share;  ///< of elements that change, about
};

class PatchTest : public ::testing::TestWithParam<PatchCase> {};

TEST_P(PatchTest, IsAPlainLoopOverAnyRange) {
  const auto& [dtype, elements, share] = GetParam();
  const TensorInfo tensor = model_tensor(dtype, elements);
  const size_t size = bytes_of_dtype(dtype);
  std::mt19937_64 random(elements);
  std::string base(tensor.bytes, '\0'), result;
  for (char& c : base) c = static_cast<char>(random());
  result = base;
  std::vector<uint64_t> changed;
  for (uint64_t i = 0; i < elements; ++i) {
    const bool is_end = i == 0 || i + 1 == elements;
    if (!is_end && static_cast<double>(random() % 1'000'000) >= share * 1e6) continue;
    changed.push_back(i);
    result[i * size + random() % size] ^= static_cast<char>(1u << (random() % 8));
  }
  const TemporaryDirectory directory;
  DeltaPart part{.model = tensor, .changed = changed.size(), .masters = changed.size()};
  {
    SafetensorsMetadata fields = delta_fields();
    fields["master"] = std::string(32, 'c');
    DeltaWriter writer(directory / "d.delta", {&part, 1}, fields);
    writer.begin_part();
    for (const uint64_t i : changed) {
      std::string bits = base.substr(i * size, size);
      for (size_t b = 0; b < size; ++b) bits[b] ^= result[i * size + b];
      writer.change(i, std::as_bytes(std::span(bits)));
      writer.keep_master(i, static_cast<float>(i));
    }
    writer.end_part();
    writer.finish();
  }
  const DeltaFile delta(directory / "d.delta");
  delta.check();
  delta.require_fits(tensor);
  const SparseValues& values = *delta.find("t")->changed;
  EXPECT_EQ(values.count(), changed.size());
  EXPECT_EQ(values.stored_bytes() + delta.find("t")->masters->stored_bytes(), part.bytes());
  EXPECT_EQ(values.stored_bytes(), std::min((elements + 7) / 8, 4 * changed.size()) + changed.size() * size);

  const auto check = [&](uint64_t first, uint64_t bytes) {
    std::string there = base.substr(first, bytes);
    delta.patch(tensor, first, std::as_writable_bytes(std::span(there)));
    EXPECT_EQ(there, result.substr(first, bytes)) << first << " + " << bytes;
    delta.patch(tensor, first, std::as_writable_bytes(std::span(there)));
    EXPECT_EQ(there, base.substr(first, bytes)) << first << " + " << bytes;
  };
  check(0, tensor.bytes);
  check(0, 0);
  check(tensor.bytes, 0);
  check(tensor.bytes - 1, 1);
  for (int i = 0; i < 50; ++i) {
    const uint64_t first = random() % tensor.bytes;
    check(first, random() % (std::min<uint64_t>(tensor.bytes - first, i % 2 == 0 ? 100 : tensor.bytes) + 1));
  }
  std::vector<uint64_t> kept;
  delta.masters_of(tensor)->visit(changed[0] + 1, elements, [&](auto some, std::span<const std::byte> floats) {
    for (size_t i = 0; i < some.size(); ++i) {
      float value = 0;
      std::memcpy(&value, &floats[i * sizeof value], sizeof value);
      EXPECT_EQ(value, static_cast<float>(some[i]));
      kept.push_back(some[i]);
    }
  });
  EXPECT_EQ(kept, std::vector<uint64_t>(changed.begin() + 1, changed.end()));
}

INSTANTIATE_TEST_SUITE_P(Tensors, PatchTest,
                         ::testing::Values(PatchCase{"F32", 2, 0}, PatchCase{"BF16", 9, 0.5}, PatchCase{"F16", 64, 1},
                                           PatchCase{"F32", 150'000, 0.02}, PatchCase{"F32", 150'000, 0.3},
                                           PatchCase{"BF16", 400'000, 0.02}, PatchCase{"F16", 400'000, 0.9},
                                           PatchCase{"BF16", 65'536, 0.0001}, PatchCase{"F32", 65'537, 0.5}),
                         [](const auto& each) {
                           return each.param.dtype + "_" + std::to_string(each.param.elements) + "_" +
                                  std::to_string(static_cast<int>(each.param.share * 10'000));
                         });

TEST_F(DeltaFileTest, WhatIsNotAsForeseenIsRefused) {
  const DeltaPart part{.model = model_tensor("F32", 20), .changed = 2};
  const uint32_t bits = 1;
  const auto write_some = [&](int count) {
    std::filesystem::remove(path_);
    DeltaWriter writer(path_, {&part, 1}, {});
    writer.begin_part();
    for (int i = 0; i < count; ++i) writer.change(static_cast<uint64_t>(i), std::as_bytes(std::span(&bits, 1)));
    writer.end_part();
  };
  EXPECT_NO_THROW(write_some(2));
  for (const int count : {1, 3}) EXPECT_TRUE(fails_input({"a moment ago"}, [&] { write_some(count); })) << count;
  DeltaPart named = part;
  named.model.name = "a:b";
  EXPECT_TRUE(fails_input({"a:b", "colon"}, [&] { DeltaWriter(directory_ / "e", {&named, 1}, {}); }));
}

}  // namespace
}  // namespace switchyard::test
