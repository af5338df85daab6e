#include "tokens/bins.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/support/expect_error.h"

namespace switchyard {
namespace {

using test::fails;
using test::fails_input;

TEST(Bins, ReadsWhatItWrites) {
  for (const Bins& bins : {Bins{256, -7, -2}, Bins{2, 0.1, 0.30000000000000004}, Bins{1 << 20, -1e300, 1e-300}}) {
    const std::optional<Bins> read = Bins::parse(bins.name());
    ASSERT_TRUE(read.has_value()) << bins.name();
    EXPECT_EQ(read->count, bins.count);
    EXPECT_EQ(read->low, bins.low);
    EXPECT_EQ(read->high, bins.high);
  }
  EXPECT_EQ(Bins::parse("bins:8:-0.5:2e1")->name(), "bins:8:-0.5:20");
  EXPECT_FALSE(Bins::parse("bytes").has_value());
}

TEST(Bins, RefusesWhatIsNone) {
  for (const char* text :
       {"bins:", "bins:8", "bins:8:1", "bins:8:1:2:3", "bins:1:0:1", "bins:2.5:0:1", "bins:8:1:1", "bins:8:2:1",
        "bins:8:nan:1", "bins:8:0:inf", "bins:8:0:1 ", "bins:2000000:0:1", "bins:8:-1.7e308:1.7e308"})
    EXPECT_TRUE(fails(ExitCode::usage, {text, "bins:COUNT:LOW:HIGH"}, [&] { Bins::parse(text); })) << text;
}

TEST(Bins, CoverTheirRange) {
  const Bins bins{4, 0, 2};
  EXPECT_EQ(bins.of(0), 0);
  EXPECT_EQ(bins.of(0.49), 0);
  EXPECT_EQ(bins.of(0.5), 1);
  EXPECT_EQ(bins.of(1.99), 3);
  EXPECT_EQ(bins.of(2), 3);
  EXPECT_EQ(bins.of(-1e308), 0);
  EXPECT_EQ(bins.of(1e308), 3);
  EXPECT_TRUE(bins.holds(0) && bins.holds(1.99) && !bins.holds(2) && !bins.holds(-0.01));
  for (int32_t i = 0; i < 4; ++i) EXPECT_EQ(bins.of(bins.middle(i)), i);
}

TEST(Bins, QuantilesOfMassesSpreadOverTheirBins) {
  const Bins bins{4, 10, 14};
  const std::vector<double> even{1, 1, 1, 1}, one{0, 3, 0, 0}, apart{0.5, 0, 0, 0.5};
  for (const double level : {0.01, 0.25, 0.5, 0.99}) EXPECT_NEAR(bins.quantile(even, level), 10 + 4 * level, 1e-14);
  EXPECT_NEAR(bins.quantile(one, 0.5), 11.5, 1e-14);
  EXPECT_NEAR(bins.quantile(apart, 0.25), 10.5, 1e-14);
  EXPECT_NEAR(bins.quantile(apart, 0.5), 11, 1e-14);
  EXPECT_NEAR(bins.quantile(apart, 0.75), 13.5, 1e-14);
}

// The distribution function, summed up independently, is the level at the quantile.
TEST(Bins, QuantilesInvertTheDistribution) {
  const Bins bins{64, -3, 5};
  std::vector<double> mass(64);
  for (size_t i = 0; i < mass.size(); ++i)
    mass[i] = std::exp(-0.01 * (static_cast<double>(i) - 20) * (static_cast<double>(i) - 20));
  const double total = std::accumulate(mass.begin(), mass.end(), 0.0);
  for (double level = 0.001; level < 1; level += 0.037) {
    const double place = (bins.quantile(mass, level) - bins.low) / bins.width();
    double below = 0;
    for (size_t i = 0; i < mass.size(); ++i) below += mass[i] * std::clamp(place - static_cast<double>(i), 0.0, 1.0);
    EXPECT_NEAR(below / total, level, 1e-12);
  }
}

TEST(BinsTokenizer, NumbersAreTokens) {
  const auto tokenizer = open_tokenizer("bins:10:0:1");
  std::vector<int32_t> ids;
  tokenizer->encode(" 0.05, 0.95\n-3\t7e-1", ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 9, 0, 7}));
  EXPECT_EQ(tokenizer->decode(ids), "0.05 0.95 0.05 0.75");
  EXPECT_EQ(tokenizer->piece(3), " 0.35");
  EXPECT_EQ(tokenizer->piece(10), std::nullopt);
  EXPECT_EQ(tokenizer->id_of("0.35"), 3);
  EXPECT_EQ(tokenizer->vocabulary_size(), 10);
  EXPECT_NE(tokenizer->hash(), open_tokenizer("bins:10:0:2")->hash());
  EXPECT_EQ(tokenizer->hash(), open_tokenizer("bins:10:0.0:1e0")->hash());
  for (const char* text : {"0.1 n/a", "nan", "1e999", "0x10", "0.1.2"})
    EXPECT_TRUE(fails_input({"expected numbers"}, [&] { tokenizer->encode(text, ids); })) << text;
}

}  // namespace
}  // namespace switchyard
