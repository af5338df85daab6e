#include "train/selection/selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

#include "base/rng.h"
#include "tests/support/expect_error.h"
#include "tests/train/training_case.h"
#include "train/selection/places.h"

namespace switchyard::test {
namespace {

/// Scores of every parameter, as files have them.
class MadeUpScores {
 public:
  /// value(i): of element i in canonical order.
  template <class Value>
  MadeUpScores(const ModelConfig& config, const Value& value) : space_(config) {
    for (int64_t i = 0; i < space_.num_elements(); ++i) values_.push_back(value(i));
  }
  FisherSource source() const {
    return {"--fisher-new FILE", [this](const Parameter& p, int64_t first, std::span<float> out) {
              const auto [block, offset] = space_.place_of(p);
              const int64_t begin = space_.blocks()[block].first + offset + first;
              std::copy_n(values_.begin() + begin, out.size(), out.begin());
            }};
  }
  std::vector<float>& values() { return values_; }

 private:
  const ParameterSpace space_;
  std::vector<float> values_;
};

float smooth(int64_t i) {
  return std::abs(random_normal(4, static_cast<uint64_t>(i)));
}
float tied(int64_t i) {
  return static_cast<float>(random_bits(5, static_cast<uint64_t>(i)) % 3);
}

/// A selection on ranks that are threads: in canonical order, as rank 0 hears of it.
struct Chosen {
  std::vector<bool> trains;
  int64_t eligible = 0, chosen = 0, trained = 0;
  Hash128 hash;

  int64_t count() const { return std::ranges::count(trains, true); }
};
Chosen choose(const ModelConfig& config, const SelectionOptions& o, const SelectionScores& scores, int ranks = 1,
              int ep = 1) {
  Chosen result;
  run_thread_ranks(ranks, [&](Communicator& world) {
    const ParameterSpace space(config);
    const TrainRanks of(world, ep, config, 8);
    const Selection selection(space, of, o, scores);
    std::vector<int32_t> trains(static_cast<size_t>(space.num_elements())), least(trains.size(), 1);
    for (size_t b = 0; b < space.blocks().size(); ++b) {
      if (!of.holds(space.blocks()[b])) continue;
      for (int64_t i = 0; i < space.blocks()[b].elements; ++i)
        trains[static_cast<size_t>(space.blocks()[b].first + i)] = selection.of_block(b).has(i) ? 1 : 0;
      const auto first = static_cast<size_t>(space.blocks()[b].first);
      std::copy_n(&trains[first], space.blocks()[b].elements, &least[first]);
    }
    // Those who hold a block say the same.
    world.all_reduce({trains.data(), {std::ssize(trains)}, DType::i32}, ReduceOp::max);
    world.all_reduce({least.data(), {std::ssize(least)}, DType::i32}, ReduceOp::min);
    EXPECT_EQ(trains, least);
    if (world.rank() != 0) return;
    result = {{}, selection.num_eligible(), selection.num_chosen(), selection.num_trained(), selection.hash()};
    for (const int32_t t : trains) result.trains.push_back(t != 0);
  });
  return result;
}

/// Eligible elements by (score, name, offset), sorted as a whole.
std::vector<bool> sorted_elements(const ModelConfig& config, const std::vector<float>& scores,
                                  const SelectionOptions& o, int64_t most, bool smallest) {
  const ParameterSpace space(config);
  struct Element {
    float score;
    std::string name;
    int64_t offset, index;
  };
  std::vector<Element> all;
  for (const Place& place : places_in(space)) {
    if (!is_eligible(o, place)) continue;
    const int64_t first = space.blocks()[place.block].first + place.first;
    for (int64_t i = 0; i < place.elements(); ++i)
      all.push_back({scores[static_cast<size_t>(first + i)], place.parameter.name(), i, first + i});
  }
  std::ranges::sort(all, {}, [&](const Element& e) {
    return std::tuple(smallest ? e.score : -e.score, std::string_view(e.name), e.offset);
  });
  std::vector<bool> trains(static_cast<size_t>(space.num_elements()));
  for (int64_t i = 0; i < most; ++i) trains[static_cast<size_t>(all[static_cast<size_t>(i)].index)] = true;
  return trains;
}

SelectionOptions freezing(std::string_view share, SelectionRule rule = SelectionRule::fisher_new,
                          Granularity granularity = Granularity::element) {
  SelectionOptions o;
  o.rule = rule;
  o.granularity = granularity;
  o.frozen = Decimal::parse(share, "--freeze");
  return o;
}

TEST(Selection, OfElementsIsThatOfAFullSort) {
  for (const auto& [family, config] : trainable_configs()) {
    for (const auto value : {smooth, tied}) {
      const MadeUpScores scores(config, value);
      for (const bool smallest : {false, true}) {
        SelectionOptions o = freezing("0.9", smallest ? SelectionRule::fisher_old : SelectionRule::fisher_new);
        const SelectionScores s{.of_new = scores.source(), .of_old = scores.source()};
        const Chosen one = choose(config, o, s);
        EXPECT_EQ(one.chosen, one.eligible / 10) << family;
        EXPECT_EQ(one.count(), one.trained) << family;
        ASSERT_EQ(one.trains, sorted_elements(config, MadeUpScores(config, value).values(), o, one.chosen, smallest))
            << family;
        for (const auto& [ranks, ep] : {std::pair{2, 2}, {3, 1}, {4, 2}}) {
          const Chosen several = choose(config, o, s, ranks, ep);
          ASSERT_EQ(several.trains, one.trains) << family << " on " << ranks;
          EXPECT_EQ(several.hash, one.hash) << family << " on " << ranks;
        }
      }
    }
  }
}

TEST(Selection, RatioIsNewOverOldWithALittleOfItsMean) {
  const ModelConfig config = trainable_config("mixtral");
  const MadeUpScores of_new(config, smooth),
      of_old(config, [](int64_t i) { return i % 5 == 0 ? 0.0f : smooth(i + 7); });
  constexpr double kMean = 0.64;
  MadeUpScores ratio(config, [&](int64_t i) {
    const double old = i % 5 == 0 ? 0.0 : static_cast<double>(smooth(i + 7));
    return static_cast<float>(static_cast<double>(smooth(i)) / (old + 1e-8 * kMean));
  });
  const SelectionOptions o = freezing("0.95", SelectionRule::ratio);
  const Chosen got = choose(config, o, {.of_new = of_new.source(), .of_old = of_old.source(), .mean_old = kMean}, 2, 1);
  EXPECT_EQ(got.trains, sorted_elements(config, ratio.values(), o, got.chosen, false));
}

TEST(Selection, RandomIsAnotherOfEachSeed) {
  const ModelConfig config = trainable_config("mixtral");
  SelectionOptions o = freezing("0.9", SelectionRule::random);
  const Chosen one = choose(config, o, {});
  EXPECT_EQ(one.count(), one.eligible / 10);
  EXPECT_EQ(choose(config, o, {}, 3, 3).trains, one.trains);
  o.seed = 1;
  const Chosen other = choose(config, o, {});
  int64_t both = 0;
  for (size_t i = 0; i < one.trains.size(); ++i) both += one.trains[i] && other.trains[i] ? 1 : 0;
  EXPECT_LT(both, one.count() / 5);
}

/// Sums of what trains and of all, of units that unit_of(place, element) names.
template <class UnitOf>
std::map<std::string, std::array<int64_t, 2>> by_unit(const ModelConfig& config, const Chosen& chosen,
                                                      const UnitOf& unit_of) {
  const ParameterSpace space(config);
  std::map<std::string, std::array<int64_t, 2>> units;
  for (const Place& place : places_in(space))
    for (int64_t i = 0; i < place.elements(); ++i) {
      auto& [trained, all] = units[unit_of(place, i)];
      trained += chosen.trains[static_cast<size_t>(space.blocks()[place.block].first + place.first + i)] ? 1 : 0;
      ++all;
    }
  return units;
}

// Whole rows, the largest means first, until one would go above.
TEST(Selection, RowsAreTheLongestRunByMeanThatDoesNotGoAbove) {
  const ModelConfig config = trainable_config("deepseek_v3");
  MadeUpScores scores(config, smooth);
  const SelectionOptions o = freezing("0.8", SelectionRule::fisher_new, Granularity::row);
  const SelectionScores s{.of_new = scores.source()};
  const Chosen got = choose(config, o, s);
  const ParameterSpace space(config);
  struct Row {
    double mean;
    std::string name;
    int64_t row, first, count;
  };
  std::vector<Row> rows;
  for (const Place& place : places_in(space)) {
    if (!is_eligible(o, place)) continue;
    const int64_t columns = place.parameter.row_elements();
    for (int64_t r = 0; r < place.parameter.shape[0]; ++r) {
      const int64_t first = space.blocks()[place.block].first + place.first + r * columns;
      double sum = 0;
      for (int64_t i = 0; i < columns; ++i) sum += static_cast<double>(scores.values()[static_cast<size_t>(first + i)]);
      rows.push_back({sum / static_cast<double>(columns), place.parameter.name(), r, first, columns});
    }
  }
  std::ranges::sort(rows, {}, [](const Row& r) { return std::tuple(-static_cast<float>(r.mean), r.name, r.row); });
  std::vector<bool> want(got.trains.size());
  int64_t left = o.frozen.rest_of(got.eligible);
  for (const Row& row : rows) {
    left -= row.count;
    if (left < 0) break;
    for (int64_t i = 0; i < row.count; ++i) want[static_cast<size_t>(row.first + i)] = true;
  }
  EXPECT_EQ(got.trains, want);
  EXPECT_LE(got.chosen, o.frozen.rest_of(got.eligible));
  for (const auto& [ranks, ep] : {std::pair{2, 1}, {4, 4}}) EXPECT_EQ(choose(config, o, s, ranks, ep).trains, want);
}

TEST(Selection, ExpertsTrainAsAWholeOrNotAtAll) {
  const ModelConfig config = trainable_config("gpt_oss");
  // Of each layer's expert 2 the largest scores, of 5 the next.
  const ParameterSpace space(config);
  MadeUpScores scores(config, smooth);
  for (const Place& place : places_in(space))
    if (place.parameter.expert == 2 || place.parameter.expert == 5)
      for (int64_t i = 0; i < place.elements(); ++i)
        scores.values()[static_cast<size_t>(space.blocks()[place.block].first + place.first + i)] +=
            place.parameter.expert == 2 ? 100.0f : 10.0f;
  const SelectionOptions o = freezing("0.7", SelectionRule::fisher_new, Granularity::expert);
  const SelectionScores s{.of_new = scores.source()};
  const Chosen got = choose(config, o, s);  // two of seven
  for (const auto& [unit, counts] : by_unit(config, got, [](const Place&place, int64_t) {
         return place.special ? "special" : std::to_string(place.parameter.expert);
       })) {
    const auto& [trained, all] = counts;
    EXPECT_EQ(trained, unit == "2" || unit == "5" ? all : 0) << unit;
  }
  for (const auto& [ranks, ep] : {std::pair{2, 1}, {3, 3}, {4, 2}}) {
    const Chosen several = choose(config, o, s, ranks, ep);
    EXPECT_EQ(several.trains, got.trains);
    EXPECT_EQ(several.hash, got.hash);
  }
}

// Normalised over a layer's experts: twice the weights choose the same.
TEST(Selection, EsftTakesExpertsUntilTheirPartsReachTheShare) {
  const ModelConfig config = trainable_config("mixtral");  // seven experts in two layers
  SelectionOptions o;
  o.granularity = Granularity::expert;
  o.top_p = 0.5;
  SelectionScores s;
  s.gates = {0.1, 0.3, 0.1, 0.3, 0.1, 0.05, 0.05, 4, 1, 1, 1, 1, 1, 1};
  s.choices = {0, 0, 0, 0, 0, 0, 10, 1, 1, 1, 1, 1, 1, 1};
  const auto experts_of = [&](SelectionRule rule) {
    o.rule = rule;
    std::vector<std::string> trained;
    const Chosen chosen = choose(config, o, s, 2, 2);
    for (const auto& [unit, counts] : by_unit(config, chosen, [](const Place&place, int64_t) {
           return fmt::format("{}.{}", place.parameter.layer, place.parameter.expert);
         }))
      if (counts[0] > 0) {
        EXPECT_EQ(counts[0], counts[1]) << unit;
        trained.push_back(unit);
      }
    EXPECT_EQ(chosen.count(), chosen.chosen);
    return trained;
  };
  EXPECT_EQ(experts_of(SelectionRule::esft_gate), (std::vector<std::string>{"0.1", "0.3", "1.0", "1.1"}));
  EXPECT_EQ(experts_of(SelectionRule::esft_token), (std::vector<std::string>{"0.6", "1.0", "1.1", "1.2", "1.3"}));
}

TEST(Selection, SpecialKindsTrainWholeWhereTheyAreAskedTo) {
  const ModelConfig config = trainable_config("glm4_moe");
  const MadeUpScores scores(config, smooth);
  const auto kind_of = [](const Place& place, int64_t) -> std::string {
    return place.special ? std::string(kSpecialKinds[static_cast<size_t>(*place.special)]) : "others";
  };
  SelectionOptions o = freezing("0.9");
  for (const std::set<SpecialKind>& also :
       {std::set<SpecialKind>{}, {SpecialKind::norms}, {SpecialKind::router, SpecialKind::biases}}) {
    o.also = also;
    const Chosen got = choose(config, o, {.of_new = scores.source()}, 2, 1);
    EXPECT_EQ(got.chosen, got.eligible / 10);
    EXPECT_EQ(got.count(), got.trained);
    for (const auto& [kind, counts] : by_unit(config, got, kind_of)) {
      if (kind == "others") continue;
      const auto* const at = std::ranges::find(kSpecialKinds, kind);
      const bool asked = also.contains(static_cast<SpecialKind>(at - kSpecialKinds.begin()));
      EXPECT_EQ(counts[0], asked ? counts[1] : 0) << kind;
    }
  }
}

TEST(Selection, LayersAreAllThatThereIsAChoiceOf) {
  const ModelConfig config = trainable_config("qwen3_moe");
  const auto layer_of = [](const Place& place, int64_t) { return std::to_string(place.parameter.layer); };
  SelectionOptions o = freezing("0.5", SelectionRule::random);
  o.layers = {1, 2};
  for (const auto& [layer, counts] : by_unit(config, choose(config, o, {}), layer_of))
    EXPECT_EQ(counts[0] > 0, layer == "1" || layer == "2") << layer;
  o.choose = false;  // all of it, and of norms, biases and routers those that are asked for
  o.also = {SpecialKind::router, SpecialKind::norms, SpecialKind::biases};
  for (const auto& [layer, counts] : by_unit(config, choose(config, o, {}, 2, 2), layer_of))
    EXPECT_EQ(counts[0], layer == "1" || layer == "2" ? counts[1] : 0) << layer;
}

TEST(Selection, AScoreThatIsNoneEndsIt) {
  const ModelConfig config = trainable_config("mixtral");
  MadeUpScores scores(config, smooth);
  const ParameterSpace space(config);
  const auto [block, offset] = space.place_of({.module = "lm_head", .shape = {config.vocab_size, config.hidden_size}});
  const auto index = static_cast<size_t>(space.blocks()[block].first + offset + 3 * config.hidden_size + 5);
  for (const float wrong : {NAN, INFINITY, -1.0f}) {
    scores.values()[index] = wrong;
    EXPECT_TRUE(fails(ExitCode::input, {"--fisher-new FILE", "lm_head.weight, row 3, column 5", "at least 0"},
                      [&] { choose(config, freezing("0.9"), {.of_new = scores.source()}, 2, 1); }));
  }
}

TEST(Selection, WhereNothingWouldTrainIsRefused) {
  const ModelConfig config = trainable_config("mixtral");
  EXPECT_TRUE(fails(ExitCode::usage, {"nothing would train"},
                    [&] { choose(config, freezing("0.9999999", SelectionRule::random), {}); }));
  EXPECT_TRUE(fails(ExitCode::usage, {"nothing would train"},
                    [&] { choose(config, freezing("1", SelectionRule::random), {}); }));
}

TEST(Decimal, IsReadExactly) {
  const auto rest = [](std::string_view text, int64_t n) { return Decimal::parse(text, "--freeze").rest_of(n); };
  EXPECT_EQ(rest("0.9", 10), 1);
  EXPECT_EQ(rest("0.9", 9), 0);
  EXPECT_EQ(rest("0.7", 10), 3);  // 1 − 0.7 is not 0.3 in binary
  EXPECT_EQ(rest(".9", 30'000'000'000), 3'000'000'000);
  EXPECT_EQ(rest("0.999999999999999", 1'000'000'000'000'000), 1);
  EXPECT_EQ(rest("0", 7), 7);
  EXPECT_EQ(rest("1.000", 7), 0);
  for (const std::string_view wrong : {"", ".", "1.1", "-0.1", "0,9", "1e-1", "0.9 ", "nan", "0.9999999999999999"})
    EXPECT_TRUE(fails(ExitCode::usage, {"--freeze", "expected a decimal number"}, [&] { rest(wrong, 1); })) << wrong;
}

}  // namespace
}  // namespace switchyard::test
