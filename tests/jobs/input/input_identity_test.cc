#include "jobs/input/input_identity.h"

#include <gtest/gtest.h>

#include <numeric>

#include "comm/communicator.h"
#include "tests/support/expect_error.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

constexpr int64_t kRecords = 50, kChunk = 7, kPositions = 30;

class InputIdentity : public ::testing::Test {
 protected:
  /// Records of 0 to 49 tokens, some longer than the model's positions; `change` sees them before they are written.
  ScoringInput write(const std::function<void(int64_t record, std::vector<int32_t>& tokens, int32_t& context,
                                              std::string& id)>& change = {}) const {
    ScoringInputWriter writer(directory_ / "input.h5");
    for (int64_t r = 0; r < kRecords; ++r) {
      std::vector<int32_t> tokens(static_cast<size_t>(r * 13 % kRecords), static_cast<int32_t>(r));
      int32_t context = 1;
      std::string id = std::to_string(r);
      if (change) change(r, tokens, context, id);
      writer.add(tokens, context, id, "");
    }
    writer.finish();
    return ScoringInput(directory_ / "input.h5");
  }
  static std::vector<ChunkIdentity> identify(const ScoringInput& input, int64_t chunk = kChunk) {
    return identify_input(*make_self_communicator(), input, chunk, kPositions);
  }
  test::TemporaryDirectory directory_;
};

TEST_F(InputIdentity, ScoredHashesAreThoseOfTheRecordsThatAreScored) {
  const ScoringInput input = write();
  const auto chunks = identify(input);
  std::vector<int64_t> tokens;
  for (int64_t chunk = 0; chunk < std::ssize(chunks); ++chunk) {
    const int64_t first = chunk * kChunk;
    Hasher hasher;
    for (const auto& record : input.records(first, std::min(kChunk, kRecords - first))) {
      if (!reject_reason(record, kPositions).empty()) continue;
      input.tokens(record, tokens);
      const Hash128 hash = hash_record(record, tokens);
      hasher.update(&hash, sizeof hash);
    }
    EXPECT_EQ(chunks[static_cast<size_t>(chunk)].scored, hasher.digest()) << chunk;
  }
}

TEST_F(InputIdentity, EveryTokenContextLengthAndIdCounts) {
  const Hash128 base = content_hash(identify(write()));
  const auto changed = [&](const std::function<void(std::vector<int32_t>&, int32_t&, std::string&)>& at_record_20) {
    return content_hash(identify(write([&](int64_t r, auto& tokens, auto& context, auto& id) {
             if (r == 20) at_record_20(tokens, context, id);  // 10 tokens
           }))) != base;
  };
  EXPECT_FALSE(changed([](auto&, auto&, auto&) {}));
  EXPECT_TRUE(changed([](auto& tokens, auto&, auto&) { tokens.back() += 1; }));
  EXPECT_TRUE(changed([](auto& tokens, auto&, auto&) { tokens.push_back(1); }));
  EXPECT_TRUE(changed([](auto&, auto& context, auto&) { context = 2; }));
  EXPECT_TRUE(changed([](auto&, auto&, auto& id) { id = "2O"; }));
  // Where records end, and where ids do.
  EXPECT_TRUE(content_hash(identify(write([](int64_t r, auto& tokens, auto&, auto&) {
                tokens.assign(r < 2 ? static_cast<size_t>(2 + r) : 0, 7);
              }))) != content_hash(identify(write([](int64_t r, auto& tokens, auto&, auto&) {
                tokens.assign(r < 2 ? static_cast<size_t>(3 - r) : 0, 7);
              }))));
  EXPECT_TRUE(content_hash(identify(write([](int64_t r, auto&, auto&, auto& id) { id = r == 0 ? "ab" : ""; }))) !=
              content_hash(identify(write([](int64_t r, auto&, auto&, auto& id) {
                id = r == 0 ? "a" : r == 1 ? "b" : "";
              }))));
}

TEST_F(InputIdentity, WhichRecordsAreADocumentCounts) {
  const auto joined = [&](const std::vector<int64_t>& offsets) {
    h5::Writer writer(directory_ / "joined.h5");
    const std::vector<int32_t> values(20);
    std::vector<int64_t> records(21);
    std::iota(records.begin(), records.end(), 0);
    writer.write("tokens/values", view_of(std::span(values)));
    writer.write("tokens/offsets", view_of(std::span<const int64_t>(records)));
    if (!offsets.empty()) writer.write("documents/offsets", view_of(std::span(offsets)));
    writer.close();
    return identify(ScoringInput(directory_ / "joined.h5"));
  };
  const auto plain = joined({}), base = joined({0, 3, 11, 20});
  const std::vector<int64_t> others[] = {{0, 4, 11, 20}, {0, 3, 12, 20}, {0, 3, 20}, {0, 20}, {0, 3, 11, 19, 20}, {}};
  for (const auto& other : others) EXPECT_NE(content_hash(joined(other)), content_hash(base));
  EXPECT_EQ(content_hash(joined({0, 3, 11, 20})), content_hash(base));
  EXPECT_EQ(hashes_of(plain, &ChunkIdentity::scored), hashes_of(base, &ChunkIdentity::scored)) << "shards know none";

  // All of the list is looked at, wherever it is wrong.
  std::vector<int64_t> offsets(21);
  std::iota(offsets.begin(), offsets.end(), 0);
  for (size_t i = 1; i < 20; ++i) {
    std::vector<int64_t> wrong = offsets;
    wrong[i] = wrong[i + 1];
    EXPECT_TRUE(test::fails_input({"documents/offsets", fmt::format("document {}", i)}, [&] { joined(wrong); }));
  }
}

TEST_F(InputIdentity, ARecordLongerThanABlockIsReadInParts) {
  ScoringInputWriter writer(directory_ / "long.h5");
  std::vector<int32_t> tokens(700'000);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 2654435761u >> 8);
  for (int r = 0; r < 3; ++r) writer.add(tokens, 1, "", "");
  writer.finish();
  const ScoringInput input(directory_ / "long.h5");
  const auto chunks = identify_input(*make_self_communicator(), input, 1, 1 << 20);
  std::vector<int64_t> wide(tokens.begin(), tokens.end());
  Hasher hasher;
  const Hash128 hash = hash_record(input.records(2, 1).front(), wide);
  hasher.update(&hash, sizeof hash);
  for (const ChunkIdentity& chunk : chunks) EXPECT_EQ(chunk.scored, hasher.digest());
}

TEST_F(InputIdentity, EveryTokenIsShownOnceInOrder) {
  ScoringInputWriter writer(directory_ / "input.h5");
  std::vector<std::vector<int64_t>> expected;
  for (const int64_t length : {0, 3, 400'000, 1, 0, 0, 300'000, 2}) {  // a block's end within records
    std::vector<int32_t> tokens(static_cast<size_t>(length));
    for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 2654435761u >> 8);
    writer.add(tokens, 1, "", "");
    expected.emplace_back(tokens.begin(), tokens.end());
  }
  writer.finish();
  std::vector<std::vector<int64_t>> seen;
  identify_input(*make_self_communicator(), ScoringInput(directory_ / "input.h5"), 3, 10, {},
                 [&](const ScoringInput::Record& record, int64_t at, std::span<const int64_t> tokens) {
                   if (at == 0) seen.emplace_back();
                   ASSERT_EQ(record.index + 1, std::ssize(seen));
                   ASSERT_EQ(at, std::ssize(seen.back()));
                   seen.back().insert(seen.back().end(), tokens.begin(), tokens.end());
                 });
  EXPECT_EQ(seen, expected);
}

TEST_F(InputIdentity, ABadTokenIsNamedByItsPlace) {
  const std::vector<int64_t> tokens = {0, 99, 5, 100, -3};
  EXPECT_EQ(reject_reason(tokens, 101, 0), "token 4 is -3, but the vocabulary has 101");
  EXPECT_EQ(reject_reason(tokens, 100, 50), "token 53 is 100, but the vocabulary has 100");
  EXPECT_EQ(reject_reason(std::span(tokens).first(3), 100), "");
}

TEST_F(InputIdentity, NoRecordsAreAnInputToo) {
  ScoringInputWriter(directory_ / "none.h5").finish();
  EXPECT_TRUE(identify(ScoringInput(directory_ / "none.h5")).empty());
}

}  // namespace
}  // namespace switchyard
