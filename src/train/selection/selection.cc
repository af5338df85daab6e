#include "train/selection/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "comm/collectively.h"
#include "train/selection/choices.h"

namespace switchyard {
namespace {

/// Inserts what is chosen of `eligible`; how much that is.
int64_t choose(const std::vector<Place>& eligible, int64_t num_eligible, const ParameterSpace& space,
               const TrainRanks& ranks, const SelectionOptions& o, const SelectionScores& scores, ChosenBits& bits) {
  if (o.rule == SelectionRule::esft_gate) return choose_by_routing(eligible, space, ranks, o.top_p, scores.gates, bits);
  if (o.rule == SelectionRule::esft_token)
    return choose_by_routing(eligible, space, ranks, o.top_p, scores.choices, bits);
  const int64_t most = o.frozen.rest_of(num_eligible);
  ElementScores of_elements(space, o, scores);
  if (o.granularity == Granularity::expert) return choose_experts(eligible, space, ranks, most, of_elements, bits);
  return choose_units(eligible, space, ranks, o.granularity, most, of_elements, bits);
}

/// Each block's set by the first of those that hold it.
Hash128 hash_of(const std::vector<ElementSet>& sets, const ParameterSpace& space, const TrainRanks& ranks) {
  std::vector<int64_t> words(2 * sets.size());  // of others' blocks 0
  for (size_t b = 0; b < sets.size(); ++b) {
    const ParameterBlock& block = space.blocks()[b];
    if (ranks.world_rank_of_holder(block, 0) != ranks.rank()) continue;
    Hasher hasher;
    const int64_t count = sets[b].count();
    hasher.update(&count, sizeof count);
    hasher.update(sets[b].words());
    const Hash128 hash = hasher.digest();
    words[2 * b] = static_cast<int64_t>(hash.high);
    words[2 * b + 1] = static_cast<int64_t>(hash.low);
  }
  ranks.world().all_reduce({words.data(), {std::ssize(words)}, DType::i64}, ReduceOp::sum);
  Hasher all;
  all.update(std::span<const int64_t>(words));
  return all.digest();
}

}  // namespace

Selection::Selection(const ParameterSpace& space) : is_everything_(true) {
  for (const ParameterBlock& block : space.blocks()) sets_.push_back(ElementSet::all(block.elements));
  num_trained_ = space.num_elements();
}

Selection Selection::of_shape(const ParameterSpace& space, double share) {
  Selection selection(space);
  if (share == 1) return selection;
  selection.is_everything_ = false;
  selection.num_trained_ = 0;
  for (ElementSet& set : selection.sets_) {
    const auto count = static_cast<int64_t>(std::ceil(share * static_cast<double>(set.size())));
    set = ElementSet::of_shape(set.size(), std::min(count, set.size()));
    selection.num_trained_ += set.count();
  }
  return selection;
}

Selection::Selection(const ParameterSpace& space, const TrainRanks& ranks, const SelectionOptions& o,
                     const SelectionScores& scores) {
  const std::vector<Place> places = places_in(space);
  std::vector<Place> eligible;
  for (const Place& place : places) {
    if (trains_whole(o, place)) num_trained_ += place.elements();
    if (!is_eligible(o, place)) continue;
    eligible.push_back(place);
    num_eligible_ += place.elements();
  }
  ChosenBits bits(space);
  if (!eligible.empty()) num_chosen_ = choose(eligible, num_eligible_, space, ranks, o, scores, bits);
  if (o.choose && num_chosen_ == 0)
    fail_together(ExitCode::usage, "nothing would train: of {} parameters that there is a choice of {} may",
                  num_eligible_,
                  is_by_routing(o.rule) ? fmt::format("experts with {:g} of the routing", o.top_p)
                                        : fmt::format("at most {}", o.frozen.rest_of(num_eligible_)));
  num_trained_ += num_chosen_;
  bits.share(ranks);
  for (const Place& place : places)
    if (trains_whole(o, place) && ranks.holds(space.blocks()[place.block]))
      bits.insert(place.block, {place.first, place.first + place.elements()});
  for (size_t block = 0; block < space.blocks().size(); ++block) sets_.push_back(bits.take(block));
  hash_ = hash_of(sets_, space, ranks);
}

}  // namespace switchyard
