#include "jobs/train/phases.h"

#include <array>
#include <string_view>

namespace switchyard {
namespace {

struct Phase {
  std::string_view name;
  double TrainPhases::*seconds;
  bool within = false;
};
constexpr std::array<Phase, 12> kPhases = {{{"read the data", &TrainPhases::read},
                                            {"load", &TrainPhases::load},
                                            {"forward", &TrainPhases::forward},
                                            {"vocabulary", &TrainPhases::head},
                                            {"backward", &TrainPhases::backward},
                                            {"exchange", &TrainPhases::exchange, true},
                                            {"update", &TrainPhases::update},
                                            {"evaluate", &TrainPhases::evaluation},
                                            {"write checkpoints", &TrainPhases::checkpoint},
                                            {"export", &TrainPhases::finish},
                                            {"wait for the others", &TrainPhases::wait},
                                            {"total", &TrainPhases::total}}};
static_assert(sizeof(TrainPhases) == kPhases.size() * sizeof(double), "every phase has a row");

}  // namespace

std::vector<PhaseRow> gather_phases(Communicator& world, const TrainPhases& mine) {
  constexpr auto kFields = static_cast<int64_t>(kPhases.size());
  std::vector<TrainPhases> ranks(static_cast<size_t>(world.size()));
  world.all_gather({&mine, {1, kFields}, DType::f64}, {ranks.data(), {world.size(), kFields}, DType::f64});
  const auto of_ranks = [&](double TrainPhases::*phase) {
    std::vector<double> seconds;
    for (const TrainPhases& rank : ranks) seconds.push_back(rank.*phase);
    return seconds;
  };
  const std::vector<double> totals = of_ranks(&TrainPhases::total);
  std::vector<PhaseRow> rows;
  for (const Phase& phase : kPhases)
    rows.push_back({std::string(phase.name), phase.within, spread_over_ranks(of_ranks(phase.seconds), totals)});
  return rows;
}

}  // namespace switchyard
