#include "jobs/score/document_ids.h"

#include <gtest/gtest.h>

#include "jobs/score/results.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

constexpr int64_t kRecords = 150'000, kChunk = 70'000;  // of more than a block

class DocumentIdsTest : public ::testing::Test {
 protected:
  DocumentIdsTest() {
    ScoringInputWriter writer(directory_ / "input.h5");
    for (int64_t r = 0; r < kRecords; ++r) writer.add({}, 1, std::to_string(r), "");
    writer.finish();
    input_.emplace(directory_ / "input.h5");
    for (int64_t first = 0; first < kRecords; first += kChunk) {
      const int64_t end = std::min(first + kChunk, kRecords);
      IdHasher hasher;
      for (int64_t begin = first; begin < end; begin += IdHasher::kBlock)
        hasher.add(RecordIds(*input_, begin, std::min(IdHasher::kBlock, end - begin)));
      hashes_.push_back(hasher.digest());
    }
  }
  test::TemporaryDirectory directory_;
  std::optional<ScoringInput> input_;
  const WorkUnits chunks_ = chunk_units(kRecords, kChunk);
  std::vector<Hash128> hashes_;
};

TEST_F(DocumentIdsTest, AreThoseOfTheirFirstRecords) {
  int polled = 0;
  DocumentIds ids(*input_, chunks_, hashes_, [&] { ++polled; });
  EXPECT_EQ(ids.of(std::vector<int64_t>{0, 5, 69'999}).strings(), (std::vector<std::string>{"0", "5", "69999"}));
  EXPECT_TRUE(ids.of({}).strings().empty());
  EXPECT_EQ(ids.of(std::vector<int64_t>{70'000, 149'999}).strings(), (std::vector<std::string>{"70000", "149999"}));
  EXPECT_EQ(polled, 5);
  ids.finish();
  EXPECT_TRUE(test::fails(ExitCode::internal, {"record 3"}, [&] { ids.of(std::vector<int64_t>{3}); }));
}

TEST_F(DocumentIdsTest, OfEveryChunkAreCompared) {
  for (size_t chunk = 0; chunk < hashes_.size(); ++chunk) {
    std::vector<Hash128> hashes = hashes_;
    hashes[chunk].low ^= 1;
    DocumentIds ids(*input_, chunks_, hashes);
    ids.of(std::vector<int64_t>{0});
    const auto first = static_cast<int64_t>(chunk) * kChunk;
    EXPECT_TRUE(test::fails_input({fmt::format("ids of records {} to ", first)}, [&] { ids.finish(); }));
  }
  DocumentIds(*input_, chunks_).finish();
}

}  // namespace
}  // namespace switchyard
