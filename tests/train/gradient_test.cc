// The losses and gradients of whole models against their formulas in double precision, differentiated exactly.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/rng.h"
#include "reference/transformer.h"
#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

constexpr size_t kLanes = 16;
using Sloped = reference::Dual<kLanes>;

/// So many experts that some have no tokens; a balancing loss that is felt.
TrainingCase case_of(ModelConfig config) {
  for (LayerConfig& layer : config.layers)
    if (auto* moe = std::get_if<MoeConfig>(&layer.feed_forward)) moe->router.num_experts = 16;
  return {.config = std::move(config), .balance = 0.5};
}

reference::Parameters<double> by_name(const ModelConfig& config, const std::vector<float>& parameters) {
  reference::Parameters<double> values;
  for (const ParameterPlace& place : places_of(ParameterSpace(config))) {
    const auto mine = place.of(parameters);
    values[place.parameter.name()].assign(mine.begin(), mine.end());
  }
  return values;
}

/// The first made-up step with a record of one token that is read, experts without tokens, and choices of experts so
/// clear that bf16's roundings change none.
struct ClearStep {
  std::vector<Record> records;
  reference::Losses<double> losses;
};
ClearStep clear_step(const TrainingCase& c, const reference::Parameters<double>& parameters) {
  // Scores and their biases lie closer together than logits.
  const double margin = c.config.moe().router.selection_bias ? 0.004 : 0.02;
  for (int64_t step = 1;; ++step) {
    std::vector<Record> records;
    for (int64_t i = 0; i < 3; ++i) records.push_back(made_up_record(c.config, step, i));
    if (std::ranges::none_of(records, [](const Record& r) { return r.tokens.size() == 2; })) continue;
    const auto losses = reference::Transformer<double>(c.config, parameters).losses(records);
    const auto first = losses.tokens.begin() + c.config.first_moe_layer() * c.config.num_experts();
    if (std::count(first, first + c.config.num_experts(), 0) > 0 && losses.margin > margin)
      return {std::move(records), losses};
  }
}

/// In the space of one parameter: one of its elements, or all of them by random signs.
struct Direction {
  const ParameterPlace* place;
  int64_t element;  ///< −1: all
  uint64_t seed = 0;

  double along(int64_t i) const {
    if (element >= 0) return i == element ? 1 : 0;
    return random_bits(seed, static_cast<uint64_t>(i)) % 2 == 0 ? 1 : -1;
  }
  double slope(const std::vector<float>& gradient) const {
    double sum = 0;
    const auto mine = place->of(gradient);
    for (size_t i = 0; i < mine.size(); ++i) sum += along(static_cast<int64_t>(i)) * static_cast<double>(mine[i]);
    return sum;
  }
};

constexpr auto kSize = [](float x) { return std::abs(x); };
constexpr int64_t kSmall = 16, kElements = 3, kSigns = 4;

/// Every element of a small tensor, some of a large one, among these the largest; then kSigns of all.
std::vector<Direction> directions_of(const ParameterPlace& place, const std::vector<float>& gradient) {
  std::vector<Direction> directions;
  if (place.count <= kSmall) {
    for (int64_t i = 0; i < place.count; ++i) directions.push_back({&place, i});
  } else {
    const auto mine = place.of(gradient);
    const auto largest = std::ranges::max_element(mine, {}, kSize);
    directions.push_back({&place, largest - mine.begin()});
    for (int64_t i = 0; i < kElements; ++i)
      directions.push_back({&place, static_cast<int64_t>(random_bits(static_cast<uint64_t>(place.first + i), 0) %
                                                         static_cast<uint64_t>(place.count))});
  }
  for (int64_t i = 0; i < kSigns; ++i) directions.push_back({&place, -1, static_cast<uint64_t>(place.first + i)});
  return directions;
}

/// What the formulas have for the slopes of what is minimised.
std::vector<double> slopes(const TrainingCase& c, const reference::Parameters<double>& parameters,
                           const std::vector<Record>& records, std::span<const Direction> directions) {
  reference::Parameters<Sloped> w;
  for (const auto& [name, values] : parameters) w[name].assign(values.begin(), values.end());
  std::vector<double> result;
  for (size_t first = 0; first < directions.size(); first += kLanes) {
    const auto some = directions.subspan(first, std::min(kLanes, directions.size() - first));
    const auto set = [&](bool along) {
      for (size_t lane = 0; lane < some.size(); ++lane) {
        std::vector<Sloped>& values = w.at(some[lane].place->parameter.name());
        for (size_t i = 0; i < values.size(); ++i)
          values[i].slope[lane] = along ? some[lane].along(static_cast<int64_t>(i)) : 0;
      }
    };
    set(true);
    const auto losses = reference::Transformer<Sloped>(c.config, w).losses(records);
    const Sloped minimised = losses.cross_entropy + Sloped(c.balance) * losses.balance;
    result.insert(result.end(), minimised.slope.begin(), minimised.slope.begin() + static_cast<int64_t>(some.size()));
    set(false);
  }
  return result;
}

double norm_of(std::span<const float> values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

/// `relative` to a tensor's norm, and to a hundredth of the largest one's.
void check_slopes(const std::vector<ParameterPlace>& places, const std::vector<float>& gradient,
                  std::span<const Direction> directions, std::span<const double> want, double relative) {
  double largest = 0;
  for (const ParameterPlace& place : places) largest = std::max(largest, norm_of(place.of(gradient)));
  size_t next = 0;
  for (const ParameterPlace& place : places) {
    const auto mine = place.of(gradient);
    const double greatest = std::abs(static_cast<double>(*std::ranges::max_element(mine, {}, kSize)));
    double squares = 0;  // over random signs the mean is that of all elements
    for (; next < directions.size() && directions[next].place == &place; ++next) {
      const double got = directions[next].slope(gradient), off = got - want[next];
      if (directions[next].element < 0)
        squares += off * off / static_cast<double>(kSigns);
      else
        EXPECT_LE(std::abs(off), relative * (greatest + 1e-2 * largest))
            << place.parameter.name() << ", element " << directions[next].element << ": " << got << ", expected "
            << want[next];
    }
    EXPECT_LE(std::sqrt(squares), relative * (norm_of(mine) + 1e-2 * largest)) << place.parameter.name();
  }
  EXPECT_EQ(next, directions.size());
}

/// Of experts that no token went to it must be as it was; then it is 0 there.
void check_idle_experts(const TrainingCase& c, const StepLosses& losses, const std::vector<ParameterPlace>& places,
                        std::vector<float>& gradient) {
  for (const ParameterPlace& place : places) {
    const Parameter& p = place.parameter;
    const auto i = static_cast<size_t>(p.layer * c.config.num_experts() + p.expert);
    const bool idle = p.expert >= 0 && losses.tokens_per_expert[i] == 0;
    for (float& g : place.of(gradient)) {
      ASSERT_EQ(std::isnan(g), idle) << p.name();
      if (idle) g = 0;
    }
  }
}

struct Case {
  std::string name;
  ModelConfig config;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (auto& [name, config] : trainable_configs()) all.push_back({name, config});
  for (const char* family : {"qwen3_moe", "switchyard"})  // tied, and not
    all.push_back({fmt::format("{}_of_a_long_vocabulary", family), with_long_vocabulary(family)});
  return all;
}

class Gradient : public testing::TestWithParam<Case> {};

TEST_P(Gradient, IsThatOfTheFormulas) {
  TrainingCase c = case_of(GetParam().config);
  const std::vector<ParameterPlace> places = places_of(ParameterSpace(c.config));
  const std::vector<float> start = made_up_parameters(c.config);
  const reference::Parameters<double> parameters = by_name(c.config, start);
  const auto [records, losses] = clear_step(c, parameters);
  std::vector<Direction> directions;
  std::vector<double> want;
  // Of bf16, some ten operands a layer and way are each off by half a unit in their last place.
  const double of_bf16 = 2 * 10 * static_cast<double>(c.config.num_layers()) * 0x1p-8;
  for (const auto& [operand, of_loss, of_gradient] :
       {std::tuple{DType::f32, 1e-6, 1e-4}, {DType::bf16, 0x1p-8, of_bf16}}) {
    SCOPED_TRACE(name_of(operand));
    c.operand = operand;
    StepGradient got = gradient_of(c, records, [&](Trainer& trainer) { set_parameters(trainer.model(), start); });
    EXPECT_NEAR(got.step.losses.cross_entropy, losses.cross_entropy, of_loss * losses.cross_entropy);
    EXPECT_NEAR(got.step.losses.balance, losses.balance, of_loss * losses.balance);
    EXPECT_EQ(got.step.losses.tokens_per_expert, losses.tokens);
    check_idle_experts(c, got.step.losses, places, got.gradient);
    if (HasFatalFailure()) return;
    EXPECT_NEAR(got.step.gradient_norm, norm_of(got.gradient), 1e-9 * got.step.gradient_norm);
    if (directions.empty()) {
      for (const ParameterPlace& place : places)
        std::ranges::copy(directions_of(place, got.gradient), std::back_inserter(directions));
      want = slopes(c, parameters, records, directions);
    }
    check_slopes(places, got.gradient, directions, want, of_gradient);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Gradient, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace switchyard::test
