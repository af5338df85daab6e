#include "train/selection/choices.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <utility>

#include "comm/collectively.h"
#include "train/selection/exact_choice.h"

namespace switchyard {
namespace {

/// Units of a parameter, elements or rows, that one of the ranks that hold it looks at.
struct PlaceRun {
  const Place* place;
  int64_t first_row = 0, rows = 0;
  int64_t unit_elements = 1;
  bool mine = false;

  int64_t units() const { return rows * place->parameter.row_elements() / unit_elements; }
  ElementRange elements(int64_t unit) const {
    const int64_t first = place->first + first_row * place->parameter.row_elements() + unit * unit_elements;
    return {first, first + unit_elements};
  }
};

/// By canonical name, then in their order. A vector's rows are its elements.
std::vector<PlaceRun> runs_of(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks,
                              Granularity granularity) {
  std::vector<std::pair<std::string, const Place*>> by_name;
  for (const Place& place : eligible) by_name.emplace_back(place.parameter.name(), &place);
  std::ranges::sort(by_name, {}, &std::pair<std::string, const Place*>::first);
  std::vector<PlaceRun> runs;
  for (const auto& [name, place] : by_name) {
    const ParameterBlock& block = space.blocks()[place->block];
    const int64_t rows = place->parameter.shape[0],
                  each = granularity == Granularity::row ? place->parameter.row_elements() : 1;
    const int64_t holders = block.expert < 0 ? ranks.world().size() : ranks.world().size() / ranks.ep();
    for (int64_t h = 0; h < holders; ++h) {
      const int64_t first = rows * h / holders, end = rows * (h + 1) / holders;
      const int holder = ranks.world_rank_of_holder(block, static_cast<int>(h));
      if (first < end) runs.push_back({place, first, end - first, each, holder == ranks.rank()});
    }
  }
  return runs;
}

/// The mean of each unit's scores.
float mean_of(std::span<const float> unit) {
  return static_cast<float>(std::accumulate(unit.begin(), unit.end(), 0.0) / static_cast<double>(unit.size()));
}

/// visit(run, keys) for this rank's runs, each run's units in order.
template <class Visit>
void visit_units(std::span<const PlaceRun> runs, ElementScores& scores, const Visit& visit) {
  std::vector<uint32_t> keys;
  for (size_t i = 0; i < runs.size(); ++i) {
    const PlaceRun& run = runs[i];
    if (!run.mine) continue;
    const int64_t at_once = rows_at_once(run.place->parameter);
    const auto each = static_cast<size_t>(run.unit_elements);
    for (int64_t row = 0; row < run.rows; row += at_once) {
      const std::span<const float> values =
          scores.of(*run.place, run.first_row + row, std::min(at_once, run.rows - row));
      keys.resize(values.size() / each);
      for (size_t k = 0; k < keys.size(); ++k)
        keys[k] = scores.key(each == 1 ? values[k] : mean_of(values.subspan(k * each, each)));
      visit(static_cast<int64_t>(i), std::span<const uint32_t>(keys));
    }
  }
}

/// An expert's parameters that are eligible.
struct Expert {
  size_t block = 0;
  int64_t layer = 0, number = 0, elements = 0;
  int first_host = 0;  ///< world rank
  std::vector<const Place*> places = {};

  bool is_mine(const TrainRanks& ranks) const { return first_host == ranks.rank(); }
  void insert(ChosenBits& bits) const {
    for (const Place* place : places) bits.insert(block, {place->first, place->first + place->elements()});
  }
};

/// By name, as text.
std::vector<Expert> experts_of(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks) {
  std::map<std::string, Expert> experts;
  for (const Place& place : eligible) {
    const ParameterBlock& block = space.blocks()[place.block];
    Expert& expert = experts[block.name()];
    expert.block = place.block;
    expert.layer = block.layer;
    expert.number = block.expert;
    expert.elements += place.elements();
    expert.first_host = ranks.world_rank_of_holder(block, 0);
    expert.places.push_back(&place);
  }
  std::vector<Expert> all;
  for (auto& [name, expert] : experts) all.push_back(std::move(expert));
  return all;
}

}  // namespace

int64_t choose_units(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks,
                     Granularity granularity, int64_t most, ElementScores& scores, ChosenBits& bits) {
  const std::vector<PlaceRun> runs = runs_of(eligible, space, ranks, granularity);
  std::vector<UnitRun> units;
  for (const PlaceRun& run : runs) units.push_back({run.units(), run.unit_elements});
  const ExactChoice choice =
      choose_largest(ranks.world(), units, most, [&](const auto& visit) { visit_units(runs, scores, visit); });
  std::vector<int64_t> units_before(runs.size()), ties(runs.size());
  collectively(ranks.world(), [&] {
    visit_units(runs, scores, [&](int64_t index, std::span<const uint32_t> keys) {
      const auto i = static_cast<size_t>(index);
      for (const uint32_t key : keys) {
        const int64_t unit = units_before[i]++;
        if (key > choice.threshold || (key == choice.threshold && ties[i]++ < choice.ties[i]))
          bits.insert(runs[i].place->block, runs[i].elements(unit));
      }
    });
  });
  return choice.weight;
}

int64_t choose_experts(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks,
                       int64_t most, ElementScores& scores, ChosenBits& bits) {
  const std::vector<Expert> experts = experts_of(eligible, space, ranks);
  std::vector<UnitRun> units;
  for (const Expert& expert : experts) units.push_back({1, expert.elements});
  std::vector<uint32_t> keys(experts.size());
  collectively(ranks.world(), [&] {
    for (size_t i = 0; i < experts.size(); ++i) {
      if (!experts[i].is_mine(ranks)) continue;
      double sum = 0;
      for (const Place* place : experts[i].places) sum += scores.sum(*place);
      keys[i] = scores.key(static_cast<float>(sum / static_cast<double>(experts[i].elements)));
    }
  });
  const ExactChoice choice = choose_largest(ranks.world(), units, most, [&](const auto& visit) {
    for (size_t i = 0; i < experts.size(); ++i)
      if (experts[i].is_mine(ranks)) visit(static_cast<int64_t>(i), std::span(&keys[i], 1));
  });
  for (size_t i = 0; i < experts.size(); ++i)
    if (experts[i].is_mine(ranks) &&
        (keys[i] > choice.threshold || (keys[i] == choice.threshold && choice.ties[i] > 0)))
      experts[i].insert(bits);
  return choice.weight;
}

int64_t choose_by_routing(std::span<const Place> eligible, const ParameterSpace& space, const TrainRanks& ranks,
                          double top_p, std::span<const double> parts, ChosenBits& bits) {
  const std::vector<Expert> experts = experts_of(eligible, space, ranks);
  const int64_t num_experts = ranks.placement().num_experts();
  const auto part_of = [&](const Expert* e) { return parts[static_cast<size_t>(e->layer * num_experts + e->number)]; };
  std::map<int64_t, std::vector<const Expert*>> layers;
  for (const Expert& expert : experts) layers[expert.layer].push_back(&expert);
  int64_t chosen = 0;
  for (auto& [layer, of_layer] : layers) {
    std::ranges::sort(of_layer, {}, [&](const Expert* e) { return std::pair(-part_of(e), e->number); });
    double all = 0, sum = 0;
    for (const Expert* expert : of_layer) all += part_of(expert);
    for (const Expert* expert : of_layer) {
      if (!(sum < top_p * all)) break;
      sum += part_of(expert);
      chosen += expert->elements;
      if (expert->is_mine(ranks)) expert->insert(bits);
    }
  }
  return chosen;
}

std::vector<uint64_t>& ChosenBits::words(size_t block) {
  words_[block].resize(static_cast<size_t>((space_.blocks()[block].elements + 63) / 64));
  return words_[block];
}

void ChosenBits::insert(size_t block, const ElementRange& elements) {
  std::vector<uint64_t>& all = words(block);
  for (int64_t i = elements.first; i < elements.end; ++i) all[static_cast<size_t>(i / 64)] |= uint64_t{1} << (i % 64);
}

void ChosenBits::share(const TrainRanks& ranks) {
  for (size_t b = 0; b < words_.size(); ++b) {
    const ParameterBlock& block = space_.blocks()[b];
    if (!ranks.holds(block) || ranks.holders_of(block).size() == 1) continue;
    std::vector<uint64_t>& all = words(b);
    ranks.holders_of(block).all_reduce({all.data(), {std::ssize(all)}, DType::i64}, ReduceOp::sum);
  }
}

ElementSet ChosenBits::take(size_t block) {
  const int64_t elements = space_.blocks()[block].elements;
  return words_[block].empty() ? ElementSet::none(elements) : ElementSet(elements, std::exchange(words_[block], {}));
}

}  // namespace switchyard
