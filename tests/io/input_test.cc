#include "io/input.h"

#include <gtest/gtest.h>

#include "io/record_ids.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using test::fails_input;

/// A file that h5::Writer would not write.
class RawFile {
 public:
  explicit RawFile(const std::filesystem::path& path)
      : id_(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)) {}

  template <class T>
  void add(const char* name, hid_t stored, hid_t in_memory, const std::vector<T>& values, bool compressed = false) {
    const hsize_t rows = values.size();
    const hid_t space = H5Screate_simple(1, &rows, nullptr);
    const hid_t groups = H5Pcreate(H5P_LINK_CREATE), layout = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_create_intermediate_group(groups, 1);
    if (compressed) {
      H5Pset_chunk(layout, 1, &rows);
      for (int twice = 0; twice < 2; ++twice)
        H5Pset_deflate(layout, 9);  // what is all zeros is all equal after the first
    }
    const h5::DatasetHandle id(H5Dcreate2(id_.get(), name, stored, space, groups, layout, H5P_DEFAULT));
    EXPECT_GE(H5Dwrite(id.get(), in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
    H5Pclose(layout);
    H5Pclose(groups);
    H5Sclose(space);
  }
  void close() { id_.reset(); }

 private:
  h5::FileHandle id_;
};

class ScoringInputTest : public ::testing::Test {
 protected:
  /// A valid input of three records, of which a test changes one thing.
  struct Columns {
    std::vector<int32_t> values{10, 11, 12, 13, 14, 15};
    std::vector<int64_t> offsets{0, 1, 4, 6};
    std::optional<std::vector<int32_t>> context = std::nullopt;
    std::optional<std::vector<int64_t>> ids = std::nullopt, documents = std::nullopt;
  };
  ScoringInput open(const Columns& columns) {
    h5::Writer writer(path_);
    writer.write("tokens/values", view_of(columns.values));
    writer.write("tokens/offsets", view_of(columns.offsets));
    if (columns.context) writer.write("context", view_of(*columns.context));
    if (columns.ids) writer.write("id", view_of(*columns.ids));
    if (columns.documents) writer.write("documents/offsets", view_of(*columns.documents));
    writer.close();
    return ScoringInput(path_);
  }
  ::testing::AssertionResult refused(const Columns& columns, std::initializer_list<std::string_view> parts) {
    return fails_input(parts, [&] { open(columns).records(0, 3); });
  }
  test::TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "input.h5";
};

TEST_F(ScoringInputTest, ReadsRecords) {
  const ScoringInput input = open({.context = std::vector<int32_t>{1, 2, -7}, .ids = std::vector<int64_t>{7, 8, 9}});
  EXPECT_EQ(input.num_records(), 3);
  EXPECT_EQ(input.num_tokens(), 6);
  EXPECT_TRUE(input.has_ids());
  EXPECT_FALSE(input.ids_are_strings());
  EXPECT_EQ(RecordIds(input, 1, 2).integers(), (std::vector<int64_t>{8, 9}));
  const auto records = input.records(1, 2);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].index, 1);
  EXPECT_EQ(records[0].first, 1);
  EXPECT_EQ(records[0].length, 3);
  EXPECT_EQ(records[0].context, 2);
  EXPECT_EQ(records[1].context, -7);  // for the job to reject
  std::vector<int64_t> tokens;
  input.tokens(records[0], tokens);
  EXPECT_EQ(tokens, (std::vector<int64_t>{11, 12, 13}));
  EXPECT_TRUE(input.records(3, 0).empty());
}

TEST_F(ScoringInputTest, ContextIsOneUnlessGiven) {
  const ScoringInput input = open({});
  for (const auto& record : input.records(0, 3)) EXPECT_EQ(record.context, 1);
  EXPECT_FALSE(input.has_ids());
}

TEST_F(ScoringInputTest, AcceptsAnyIntegerWidthAndHostileTokenIds) {
  h5::Writer writer(path_);
  writer.write("tokens/values", view_of(std::vector<int64_t>{-5, int64_t{1} << 40}));
  writer.write("tokens/offsets", view_of(std::vector<int32_t>{0, 2}));
  writer.write("context", view_of(std::vector<uint8_t>{1}));
  writer.close();
  const ScoringInput input(path_);
  std::vector<int64_t> tokens;
  input.tokens(input.records(0, 1).at(0), tokens);
  EXPECT_EQ(tokens, (std::vector<int64_t>{-5, int64_t{1} << 40}));
}

TEST_F(ScoringInputTest, NoRecordsIsLegal) {
  const ScoringInput input = open({.values = {}, .offsets = {0}});
  EXPECT_EQ(input.num_records(), 0);
  EXPECT_TRUE(input.records(0, 0).empty());
}

TEST_F(ScoringInputTest, RefusesBadStructure) {
  EXPECT_TRUE(refused({.offsets = {}}, {"input.h5", "tokens/offsets", "found none"}));
  EXPECT_TRUE(refused({.offsets = {1, 1, 4, 6}}, {"tokens/offsets", "expected 0 first, found 1"}));
  EXPECT_TRUE(refused({.offsets = {0, 1, 4, 5}}, {"tokens/offsets", "expected 6 last", "found 5"}));
  EXPECT_TRUE(refused({.offsets = {0, 1, 4, 7}}, {"tokens/offsets", "expected 6 last", "found 7"}));
  EXPECT_TRUE(refused({.offsets = {0, 4, 1, 6}}, {"tokens/offsets", "record 1", "[4, 1]"}));
  EXPECT_TRUE(refused({.offsets = {0, 7, 6, 6}}, {"tokens/offsets", "record 0", "[0, 7]"}));
  EXPECT_TRUE(refused({.offsets = {0, -1, 4, 6}}, {"tokens/offsets", "record 0", "[0, -1]"}));
  EXPECT_TRUE(refused({.offsets = {0, INT64_MAX, 4, 6}}, {"record 0", "9223372036854775807"}));
  EXPECT_TRUE(refused({.offsets = {0, INT64_MIN, 4, 6}}, {"record 0", "-9223372036854775808"}));
  EXPECT_TRUE(refused({.context = std::vector<int32_t>{1, 1}}, {"context", "expected 3 rows", "found 2"}));
  EXPECT_TRUE(refused({.ids = std::vector<int64_t>{1, 2, 3, 4}}, {"id", "expected 3 rows", "found 4"}));
}

TEST_F(ScoringInputTest, ReadsWhichRecordsAreADocument) {
  {
    const ScoringInput input = open({.documents = std::vector<int64_t>{0, 2, 3}});
    EXPECT_TRUE(input.joined());
    EXPECT_EQ(input.num_documents(), 2);
    EXPECT_EQ(input.document_offsets(0, 2), (std::vector<int64_t>{0, 2, 3}));
    EXPECT_EQ(input.document_offsets(1, 1), (std::vector<int64_t>{2, 3}));
    EXPECT_EQ(input.document_offsets(2, 0), (std::vector<int64_t>{3}));
  }
  const ScoringInput plain = open({});
  EXPECT_FALSE(plain.joined());
  EXPECT_EQ(plain.num_documents(), 3);
  EXPECT_EQ(plain.document_offsets(1, 2), (std::vector<int64_t>{1, 2, 3})) << "every record is one";
}

TEST_F(ScoringInputTest, RefusesDocumentsThatAreNotAllRecordsOnce) {
  const auto refused_documents = [&](const std::vector<int64_t>& documents,
                                     std::initializer_list<std::string_view> parts) {
    return fails_input(parts, [&] {
      const ScoringInput input = open({.documents = documents});
      input.document_offsets(0, input.num_documents());
    });
  };
  EXPECT_TRUE(refused_documents({}, {"input.h5", "documents/offsets", "a row more than documents", "found none"}));
  EXPECT_TRUE(refused_documents({1, 3}, {"documents/offsets", "expected 0 first, found 1"}));
  EXPECT_TRUE(refused_documents({0, 2}, {"documents/offsets", "expected 3 last, the number of records, found 2"}));
  EXPECT_TRUE(refused_documents({0}, {"documents/offsets", "expected 3 last", "found 0"}));
  EXPECT_TRUE(refused_documents({0, 2, 1, 3}, {"documents/offsets", "document 1", "[2, 1]"}));
  EXPECT_TRUE(refused_documents({0, 2, 2, 3}, {"documents/offsets", "document 1", "[2, 2]"}));  // an empty one
  EXPECT_TRUE(refused_documents({0, 7, 3}, {"documents/offsets", "document 0", "[0, 7]"}));
  EXPECT_TRUE(refused_documents({0, -1, 3}, {"documents/offsets", "document 0", "[0, -1]"}));
  h5::Writer writer(path_);
  writer.write("tokens/values", view_of(std::vector<int32_t>{1}));
  writer.write("tokens/offsets", view_of(std::vector<int64_t>{0, 1}));
  writer.write("documents/offsets", view_of(std::vector<double>{0, 1}));
  writer.close();
  EXPECT_TRUE(fails_input({"documents/offsets", "expected integers"}, [&] { ScoringInput input(path_); }));
}

TEST_F(ScoringInputTest, RefusesOffsetsOf2To63) {
  constexpr uint64_t kHostile = uint64_t{1} << 63;
  for (const auto& offsets : {std::vector<uint64_t>{0, kHostile}, std::vector<uint64_t>{0, kHostile, 1}}) {
    RawFile file(path_);
    file.add("tokens/values", H5T_STD_I32LE, H5T_NATIVE_INT32, std::vector<int32_t>{5});
    file.add("tokens/offsets", H5T_STD_U64LE, H5T_NATIVE_UINT64, offsets);
    file.close();
    EXPECT_TRUE(fails_input({"tokens/offsets"}, [&] {
      const ScoringInput input(path_);
      input.records(0, input.num_records());
    }));
  }
}

TEST_F(ScoringInputTest, RefusesWrongTypesAndShapes) {
  const std::vector<double> reals{0, 1};
  const std::vector<int32_t> integers{0, 1};
  const auto refused_with = [&](std::initializer_list<std::pair<const char*, ConstView>> columns,
                                std::string_view named) {
    h5::Writer writer(path_);
    for (const auto& [name, data] : columns) writer.write(name, data);
    writer.close();
    return fails_input({"input.h5", named}, [&] { ScoringInput input(path_); });
  };
  const ConstView one = view_of(integers).slice(0, 1);
  EXPECT_TRUE(refused_with({}, "tokens/values"));
  EXPECT_TRUE(refused_with({{"tokens/values", one}}, "tokens/offsets"));
  EXPECT_TRUE(
      refused_with({{"tokens/values", view_of(reals)}, {"tokens/offsets", view_of(integers)}}, "tokens/values"));
  EXPECT_TRUE(refused_with({{"tokens/values", one}, {"tokens/offsets", view_of(reals)}}, "tokens/offsets"));
  EXPECT_TRUE(
      refused_with({{"tokens/values", one.reshaped({1, 1})}, {"tokens/offsets", view_of(integers)}}, "tokens/values"));
  EXPECT_TRUE(refused_with(
      {{"tokens/values", one}, {"tokens/offsets", view_of(integers)}, {"context", view_of(reals).slice(0, 1)}},
      "context"));
  EXPECT_TRUE(refused_with(
      {{"tokens/values", one}, {"tokens/offsets", view_of(integers)}, {"id", view_of(reals).slice(0, 1)}}, "id"));
}

TEST_F(ScoringInputTest, RefusesTruncatedAndForeignFiles) {
  open({});
  const std::string whole = test::bytes_of_file(path_);
  for (size_t size = 0; size < whole.size(); size += 97) {
    directory_.write("input.h5", std::string_view(whole).substr(0, size));
    EXPECT_TRUE(fails_input({"input.h5"}, [&] { ScoringInput input(path_); })) << size;
  }
  directory_.write("input.h5", "record,tokens\n1,2\n");
  EXPECT_TRUE(fails_input({"input.h5"}, [&] { ScoringInput input(path_); }));
  EXPECT_TRUE(fails_input({"gone.h5"}, [&] { ScoringInput input(directory_ / "gone.h5"); }));
}

// 8 million equal values take a few hundred bytes when compressed twice; there is no end to reading more of the kind.
TEST_F(ScoringInputTest, RefusesRowsThatTheFileCannotHold) {
  const std::vector<int32_t> zeros(size_t{1} << 23);
  RawFile file(path_);
  file.add("tokens/values", H5T_STD_I32LE, H5T_NATIVE_INT32, std::vector<int32_t>{5});
  file.add("tokens/offsets", H5T_STD_I32LE, H5T_NATIVE_INT32, zeros, true);
  file.close();
  EXPECT_TRUE(fails_input({"tokens/offsets", "8388608 rows"}, [&] { ScoringInput input(path_); }));
}

TEST_F(ScoringInputTest, WriterAndReaderAgreeOverManyRecords) {
  constexpr int64_t kRecords = 40'000;  // several flushes
  {
    ScoringInputWriter writer(path_, {.labels = true});
    for (int64_t i = 0; i < kRecords; ++i) {
      std::vector<int32_t> tokens(static_cast<size_t>(i % 50 + 1), static_cast<int32_t>(i));
      writer.add(tokens, static_cast<int32_t>(i % 7), fmt::format("récord {}", i), i % 3 == 0 ? "" : "label");
    }
    EXPECT_FALSE(std::filesystem::exists(path_));
    writer.finish();
    EXPECT_EQ(writer.num_records(), kRecords);
  }
  const ScoringInput input(path_);
  ASSERT_EQ(input.num_records(), kRecords);
  EXPECT_TRUE(input.ids_are_strings());
  const auto records = input.records(0, kRecords);
  const auto ids = input.ids()->read_strings(0, kRecords);
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < kRecords; i += 1009) {
    const auto at = static_cast<size_t>(i);
    EXPECT_EQ(ids[at], fmt::format("récord {}", i));
    EXPECT_EQ(records[at].context, i % 7);
    input.tokens(records[at], tokens);
    EXPECT_EQ(tokens, std::vector<int64_t>(static_cast<size_t>(i % 50 + 1), i));
  }
  const h5::Reader reader(path_);
  EXPECT_EQ(reader.open("label").read_strings(0, 3), (std::vector<std::string>{"", "label", "label"}));
}

TEST_F(ScoringInputTest, SaysWhatItCameFrom) {
  const std::string origin(100'000, 'x');  // more than an attribute may hold
  ScoringInputWriter(path_).finish({}, origin);
  EXPECT_EQ(ScoringInput(path_).origin(), origin);
  ScoringInputWriter(path_).finish();
  EXPECT_EQ(ScoringInput(path_).origin(), "");
}

TEST_F(ScoringInputTest, WriterKeepsDocuments) {
  {
    ScoringInputWriter writer(path_, {.documents = true});
    for (const int pieces : {2, 1, 3}) {
      for (int i = 0; i < pieces; ++i) writer.add(std::vector<int32_t>{7}, 1, "a", "");
      writer.end_document();
    }
    EXPECT_TRUE(test::fails(ExitCode::internal, {"0 records"}, [&] { writer.end_document(); }));
    writer.finish();
  }
  const ScoringInput input(path_);
  EXPECT_EQ(input.document_offsets(0, input.num_documents()), (std::vector<int64_t>{0, 2, 3, 6}));
  ScoringInputWriter open_end(directory_ / "open.h5", {.documents = true});
  open_end.add(std::vector<int32_t>{7}, 1, "a", "");
  EXPECT_TRUE(test::fails(ExitCode::internal, {"1 records"}, [&] { open_end.finish(); }));
}

TEST_F(ScoringInputTest, AnUnfinishedWriterLeavesNothingBehind) {
  directory_.write("input.h5", "old");
  {
    ScoringInputWriter writer(path_);
    writer.add(std::vector<int32_t>{1}, 1, "a", "");
  }
  EXPECT_EQ(test::bytes_of_file(path_), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(ScoringInputTest, AnEmptyOutputCanBeRead) {
  ScoringInputWriter(path_, {.labels = true}).finish();
  EXPECT_EQ(ScoringInput(path_).num_records(), 0);
}

}  // namespace
}  // namespace switchyard
