#include "plan/rates.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/expect_error.h"

namespace switchyard::test {
namespace {

Work product(double rows, double n, double k) {
  return {.name = "gemm", .amount = 2 * rows * n * k, .size = {rows, n, k}};
}

/// Few rows are slower, by a power of how many there are.
double seconds_of(const Work& work) {
  return work.amount / 1e10 * std::pow(work.size[0], -0.3) * std::pow(work.size[2], -0.1);
}

RateTable measured() {
  RateTable table;
  for (const double rows : {1.0, 16.0, 256.0, 4096.0})
    for (const double n : {256.0, 2048.0})
      for (const double k : {512.0, 4096.0})
        for (int i = 0; i < 3; ++i) table.add(product(rows, n, k), seconds_of(product(rows, n, k)));
  return table;
}

TEST(RateTable, GivesBackWhatWasSeenAndPowersInBetween) {
  const RateTable table = measured();
  for (const auto& work : {product(16, 2048, 512), product(64, 1000, 1500), product(700, 300, 4096)}) {
    const RateTable::Price price = table.price(work);
    EXPECT_NEAR(price.seconds / seconds_of(work), 1, 0.02) << work.size[0];
    EXPECT_EQ(price.beyond, 1);
  }
}

TEST(RateTable, BeyondWhatWasSeenTheRateStays) {
  const RateTable table = measured();
  const RateTable::Price price = table.price(product(16384, 256, 512));
  const double at_the_edge = seconds_of(product(4096, 256, 512)) * 4;
  EXPECT_NEAR(price.seconds / at_the_edge, 1, 0.02);
  EXPECT_NEAR(price.beyond, 4, 0.01);
}

TEST(RateTable, MeasurementsOfASizeAreOneSample) {
  RateTable table;
  table.add(product(8, 8, 8), 1);
  table.add(product(8, 8, 8), 3);
  ASSERT_EQ(table.samples().size(), 1U);
  EXPECT_EQ(table.samples()[0].count, 2);
  EXPECT_NEAR(table.price(product(8, 8, 8)).seconds, 2, 1e-6);
  EXPECT_EQ(table.price({.name = "gemm"}).seconds, 0);
}

TEST(Rates, KindsAreApartAndComeBackFromJson) {
  Rates rates;
  Work work = product(4, 64, 32);
  rates.add(work, 0.5);
  work.dtype = DType::bf16;
  rates.add(work, 0.25);
  rates.add({.name = "cast", .amount = 100, .size = {100}}, 1e-3);
  const Rates again = rates_from_json(to_json(rates), "profile.json");
  ASSERT_EQ(again.tables().size(), 3U);
  EXPECT_NEAR(again.find(work)->price(work).seconds, 0.25, 1e-6);
  work.dtype = DType::f32;
  EXPECT_NEAR(again.find(work)->price(work).seconds, 0.5, 1e-6);
  EXPECT_EQ(again.find({.name = "gather", .amount = 1}), nullptr);
}

TEST(Rates, BrokenSamplesAreRefusedByName) {
  Rates rates;
  rates.add(product(4, 64, 32), 0.5);
  const auto with = [&](const char* field, const Json& value) {
    Json json = to_json(rates);
    json[0]["samples"][0][field] = value;
    return json;
  };
  EXPECT_TRUE(fails_input({"profile.json", "gemm"}, [&] { rates_from_json(with("seconds", -1.0), "profile.json"); }));
  EXPECT_TRUE(fails_input({"4 sizes"}, [&] { rates_from_json(with("size", {1, 2, 3, 4, 5}), "profile.json"); }));
  EXPECT_TRUE(fails_input({"amount", "much"}, [&] { rates_from_json(with("amount", "much"), "profile.json"); }));
  Json json = to_json(rates);
  json[0]["dtype"] = "f8";
  EXPECT_TRUE(fails_input({"dtype", "f8"}, [&] { rates_from_json(json, "profile.json"); }));
}

}  // namespace
}  // namespace switchyard::test
