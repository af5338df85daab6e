// Steps of AdamW over whole models, each rank what it owns, against a loop over all of them in double precision.
#include "train/optimiser.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "tests/support/expect_error.h"
#include "tests/train/training_case.h"

namespace switchyard::test {
namespace {

/// A model on ranks that are threads, with gradients as a test wants them.
class Ranks {
 public:
  Ranks(Communicator& world, int ep, const ModelConfig& config, const OptimiserOptions& options)
      : space_(config),
        ranks_(world, ep, config, 8),
        model_(stream_, config, DType::f32, space_, ranks_, selection_),
        optimiser_(stream_, model_, options) {
    set_parameters(model_, made_up_parameters(config));
  }

  /// gradient(element): by place in the canonical order.
  template <class Gradient>
  double step(int64_t number, double learning_rate, const std::vector<int64_t>& tokens, const Gradient& gradient) {
    for (const Shard& shard : model_.shards())
      for (int64_t i = 0; i < shard.owned.count(); ++i)
        shard.gradient.as<float>()[i] = gradient(space_.blocks()[shard.block].first + shard.owned.first + i);
    return optimiser_.step(stream_, number, learning_rate, tokens);
  }
  const TrainedModel& model() const { return model_; }

 private:
  ThreadPool pool_{2};
  Stream stream_{Device::cpu, &pool_, {}};
  const ParameterSpace space_;
  const TrainRanks ranks_;
  const Selection selection_{space_};
  TrainedModel model_;
  Optimiser optimiser_;
};

/// As many tokens to each expert, but none to a few.
std::vector<int64_t> tokens_of(const ModelConfig& config) {
  std::vector<int64_t> tokens(static_cast<size_t>(config.num_layers() * config.num_experts()), 5);
  for (size_t i = 0; i < tokens.size(); i += 4) tokens[i] = 0;
  return tokens;
}
bool is_idle(const ModelConfig& config, const Parameter& p) {
  return p.expert >= 0 && tokens_of(config)[static_cast<size_t>(p.layer * config.num_experts() + p.expert)] == 0;
}

/// NaN where no token went. Every other step's is small.
float gradient_at(const ModelConfig& config, const std::vector<ParameterPlace>& places, int64_t step, int64_t element) {
  const auto after = std::ranges::upper_bound(places, element, {}, &ParameterPlace::first);
  if (is_idle(config, std::prev(after)->parameter)) return NAN;
  return (step % 2 == 0 ? 1e-4f : 0.1f) * random_normal(static_cast<uint64_t>(step), static_cast<uint64_t>(element));
}

struct Layout {
  int ranks, ep;
};
const Layout kLayouts[] = {{1, 1}, {3, 3}, {4, 2}};

constexpr double kRate = 1e-2;

/// The same in double precision.
class Expected {
 public:
  Expected(const ModelConfig& config, const OptimiserOptions& options) : config_(config), o_(options) {
    const std::vector<float> start = made_up_parameters(config);
    w_.assign(start.begin(), start.end());
    m_.resize(w_.size());
    v_.resize(w_.size());
  }

  /// The norm before clipping.
  double step(int64_t number) {
    const std::vector<ParameterPlace> places = places_of(ParameterSpace(config_));
    std::vector<double> g(w_.size());
    double squares = 0;
    for (size_t i = 0; i < g.size(); ++i) {
      const double value = gradient_at(config_, places, number, static_cast<int64_t>(i));
      g[i] = std::isnan(value) ? 0 : value;
      squares += g[i] * g[i];
    }
    const double norm = std::sqrt(squares),
                 scale = o_.max_grad_norm > 0 ? std::min(1.0, o_.max_grad_norm / (norm + 1e-6)) : 1;
    for (const ParameterPlace& place : places)
      for (auto i = static_cast<size_t>(place.first); i < static_cast<size_t>(place.first + place.count); ++i) {
        if (place.parameter.shape.rank() > 1) w_[i] -= kRate * o_.weight_decay * w_[i];
        m_[i] = o_.beta1 * m_[i] + (1 - o_.beta1) * scale * g[i];
        v_[i] = o_.beta2 * v_[i] + (1 - o_.beta2) * scale * g[i] * scale * g[i];
        const auto t = static_cast<double>(number);
        w_[i] -=
            kRate * m_[i] / (1 - std::pow(o_.beta1, t)) / (std::sqrt(v_[i] / (1 - std::pow(o_.beta2, t))) + o_.epsilon);
      }
    return norm;
  }
  const std::vector<double>& parameters() const { return w_; }

 private:
  const ModelConfig config_;
  const OptimiserOptions o_;
  std::vector<double> w_, m_, v_;
};

TEST(Optimiser, StepsAsInDoublePrecision) {
  const ModelConfig config = trainable_config("qwen3_moe");
  const std::vector<ParameterPlace> places = places_of(ParameterSpace(config));
  constexpr int64_t kSteps = 4;
  for (const double max_norm : {1.0, 0.0})
    for (const Layout& layout : kLayouts)
      run_thread_ranks(layout.ranks, [&](Communicator& world) {
        SCOPED_TRACE(testing::Message() << "norm " << max_norm << ", rank " << world.rank() << " of " << layout.ranks);
        const OptimiserOptions options{.weight_decay = 0.2, .max_grad_norm = max_norm};
        Ranks ranks(world, layout.ep, config, options);
        Expected expected(config, options);
        for (int64_t step = 1; step <= kSteps; ++step) {
          const double norm = ranks.step(step, kRate, tokens_of(config),
                                         [&](int64_t i) { return gradient_at(config, places, step, i); }),
                       want = expected.step(step);
          EXPECT_NEAR(norm, want, 1e-12 * want);
          EXPECT_EQ(norm > 1, step % 2 == 1) << "a norm on either side of what is clipped";
        }
        const std::vector<float> got = gather_all(ranks.model(), &Shard::master);
        // A step's roundings: of the weight, and of what it moves by, which is of the rate's size.
        constexpr double kEpsilon = 0x1p-24;
        for (size_t i = 0; i < got.size() && !testing::Test::HasFailure(); ++i)
          EXPECT_NEAR(got[i], expected.parameters()[i],
                      kSteps * kEpsilon * (3 * std::abs(expected.parameters()[i]) + 32 * kRate))
              << ranks.model().space().element_name(static_cast<int64_t>(i));
      });
}

// What the next step multiplies with, on the way forward and back, is what the masters have become.
TEST(Optimiser, WeightsAreThoseOfTheMasters) {
  for (const auto& [name, config] : trainable_configs())
    for (const DType operand : {DType::f32, DType::bf16}) {
      SCOPED_TRACE(testing::Message() << name << " " << name_of(operand));
      const TrainingCase c{.config = config, .operand = operand};
      std::vector<Record> records;
      for (int64_t i = 0; i < 12; ++i) records.push_back(made_up_record(config, 2, i));
      std::vector<float> masters;
      const StepGradient trained = gradient_of(c, records, [&](Trainer& trainer) {
        set_parameters(trainer.model(), made_up_parameters(config));
        trainer.step(made_up_step(c, trainer.ranks(), 1), kRate);
        masters = gather_all(trainer.model(), &Shard::master);
      });
      EXPECT_TRUE(masters != made_up_parameters(config));
      const StepGradient anew =
          gradient_of(c, records, [&](Trainer& trainer) { set_parameters(trainer.model(), masters); });
      EXPECT_EQ(trained.step.losses.cross_entropy, anew.step.losses.cross_entropy);
      ASSERT_EQ(trained.gradient.size(), anew.gradient.size());
      EXPECT_EQ(std::memcmp(trained.gradient.data(), anew.gradient.data(), anew.gradient.size() * sizeof(float)), 0);
    }
}

TEST(Optimiser, AFrozenRouterKeepsItsBytes) {
  const ModelConfig config = trainable_config("switchyard");
  for (const Layout& layout : kLayouts)
    run_thread_ranks(layout.ranks, [&](Communicator& world) {
      Ranks ranks(world, layout.ep, config, {.weight_decay = 0.2, .train_router = false});
      const std::vector<ParameterPlace> places = places_of(ParameterSpace(config));
      double squares = 0;
      const double norm =
          ranks.step(1, kRate, tokens_of(config), [&](int64_t i) { return gradient_at(config, places, 1, i); });
      const std::vector<float> before = made_up_parameters(config), after = gather_all(ranks.model(), &Shard::master),
                               first = gather_all(ranks.model(), &Shard::first_moment);
      for (const ParameterPlace& place : places) {
        const bool router = place.parameter.module == "gate";
        for (size_t i = 0; i < static_cast<size_t>(place.count); ++i) {
          const float g = gradient_at(config, places, 1, place.first + static_cast<int64_t>(i));
          if (!router && !std::isnan(g)) squares += std::pow(static_cast<double>(g), 2);
          if (router) {
            EXPECT_EQ(place.of(first)[i], 0);
          }
          const bool moves = !router && (!std::isnan(g) || place.parameter.shape.rank() > 1);
          ASSERT_EQ(place.of(after)[i] != place.of(before)[i], moves) << place.parameter.name();
        }
      }
      EXPECT_NEAR(norm, std::sqrt(squares), 1e-12 * norm);
    });
}

TEST(Optimiser, ABiasForTheChoiceOfExpertsFollowsTheirLoad) {
  const ModelConfig config = trainable_config("glm4_moe");
  // 7 experts: a mean of 4, above it, below it.
  const std::vector<int64_t> tokens{4, 9, 0, 4, 3, 5, 3, 4, 4, 4, 4, 4, 4, 4};
  const float signs[] = {0, -1, 1, 0, 1, -1, 1, 0, 0, 0, 0, 0, 0, 0};
  for (const Layout& layout : kLayouts)
    for (const bool train_router : {true, false})
      run_thread_ranks(layout.ranks, [&](Communicator& world) {
        Ranks ranks(world, layout.ep, config, {.train_router = train_router, .router_bias_update_rate = 0.25});
        // Its gradient is 0, as the pass leaves it.
        const std::vector<ParameterPlace> places = places_of(ParameterSpace(config));
        const auto is_bias = [](const ParameterPlace& p) { return p.parameter.kind == Parameter::kSelectionBias; };
        ranks.step(1, kRate, tokens, [&](int64_t i) {
          return is_bias(*std::prev(std::ranges::upper_bound(places, i, {}, &ParameterPlace::first))) ? 0 : 0.1f;
        });
        const std::vector<float> before = made_up_parameters(config), after = gather_all(ranks.model(), &Shard::master);
        size_t next = 0;
        for (const ParameterPlace& place : places)
          for (size_t i = 0; is_bias(place) && i < static_cast<size_t>(place.count); ++i, ++next)
            EXPECT_EQ(place.of(after)[i], place.of(before)[i] + (train_router ? 0.25f * signs[next] : 0))
                << place.parameter.name() << "[" << i << "]";
        EXPECT_EQ(next, std::size(signs));
      });
}

/// Where element [row, column] of a parameter is in the canonical order.
int64_t element_of(const ModelConfig& config, std::string_view name, int64_t row, int64_t column) {
  for (const ParameterPlace& place : places_of(ParameterSpace(config)))
    if (place.parameter.name() == name) return place.first + row * place.parameter.row_elements() + column;
  ADD_FAILURE() << name;
  return 0;
}

TEST(Optimiser, ABrokenGradientIsNamed) {
  const ModelConfig config = trainable_config("qwen3_moe");
  const int64_t up = element_of(config, "model.layers.2.mlp.experts.3.up_proj.weight", 3, 5),
                norm = element_of(config, "model.layers.1.self_attn.q_norm.weight", 7, 0);
  for (const Layout& layout : kLayouts)
    run_thread_ranks(layout.ranks, [&](Communicator& world) {
      Ranks ranks(world, layout.ep, config, {});
      const auto step = [&](float at_up, float at_norm) {
        ranks.step(17, kRate, tokens_of(config), [&](int64_t i) {
          return i == up ? at_up : i == norm ? at_norm : 0.1f;
        });
      };
      EXPECT_TRUE(fails(ExitCode::internal,
                        {"step 17", "gradient of model.layers.2.mlp.experts.3.up_proj.weight[3, 5]", "not a number"},
                        [&] { step(NAN, 1); }));
      // The first of two.
      EXPECT_TRUE(fails(ExitCode::internal, {"gradient of model.layers.1.self_attn.q_norm.weight[7]", "infinite"},
                        [&] { step(NAN, INFINITY); }));
      EXPECT_TRUE(gather_all(ranks.model(), &Shard::master) == made_up_parameters(config));
    });
}

TEST(Optimiser, ABrokenWeightIsNamed) {
  const ModelConfig config = trainable_config("mixtral");
  const int64_t down = element_of(config, "model.layers.1.mlp.experts.4.down_proj.weight", 2, 1);
  for (const Layout& layout : kLayouts)
    run_thread_ranks(layout.ranks, [&](Communicator& world) {
      Ranks ranks(world, layout.ep, config, {});
      for (const Shard& shard : ranks.model().shards()) {
        const int64_t i = down - ranks.model().space().blocks()[shard.block].first - shard.owned.first;
        if (i >= 0 && i < shard.owned.count()) shard.master.as<float>()[i] = -INFINITY;
      }
      EXPECT_TRUE(fails(ExitCode::internal,
                        {"step 3", "weight of model.layers.1.mlp.experts.4.down_proj.weight[2, 1]", "infinite"},
                        [&] { ranks.step(3, kRate, tokens_of(config), [](int64_t) { return 0.1f; }); }));
    });
}

}  // namespace
}  // namespace switchyard::test
