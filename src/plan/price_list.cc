#include "plan/price_list.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>

namespace switchyard {
namespace {

constexpr double kFar = 2;  // beyond what was tried by so much counts as extrapolated

/// What ranks do together: among the sizes of such work, how many they are; and whether it is an exchange, whose first
/// size is what travels, or something that the whole world does.
struct SharedKind {
  std::string_view name;
  size_t place;
  bool is_exchange;
};
constexpr SharedKind kSharedKinds[] = {{"exchange", 1, true},
                                       {"windows", 2, true},
                                       {"windows_backward", 2, true},
                                       {"sums_of_gradients", 1, false},
                                       {"update", 2, false}};

const SharedKind* shared_kind(const Work& work) {
  const auto found = std::ranges::find(kSharedKinds, work.name, &SharedKind::name);
  return found == std::end(kSharedKinds) ? nullptr : found;
}

/// A stream of bytes: no faster for more threads, or for being longer.
bool is_stream(const Work& work) {
  constexpr std::string_view kStreams[] = {"load", "load_to_train", "commit", "checkpoint"};
  return std::ranges::find(kStreams, work.name) != std::end(kStreams);
}

double most_ranks(const RateTable& table, size_t place) {
  return std::ranges::max(table.samples(), {}, [&](const RateSample& sample) { return sample.size[place]; })
      .size[place];
}

/// Of the smallest messages of the largest group.
double least_seconds(const RateTable& table, size_t place) {
  const double ranks = most_ranks(table, place);
  double least = INFINITY;
  for (const RateSample& sample : table.samples())
    if (sample.size[place] == ranks) least = std::min(least, sample.seconds / static_cast<double>(sample.count));
  return least;
}

/// Of a group's bytes: those that leave a host.
double crossing_share(int hosts) {
  return 1 - 1.0 / hosts;
}

}  // namespace

bool is_exchange(const Work& work) {
  const SharedKind* kind = shared_kind(work);
  return kind != nullptr && kind->is_exchange;
}

StepSeconds& StepSeconds::operator+=(const StepSeconds& other) {
  all += other.all;
  exchange += other.exchange;
  useful += other.useful;
  return *this;
}

PriceList::PriceList(const Profile& profile, const PlannedLayout& layout) : profile_(profile), layout_(layout) {
  const auto distance = [&](const LayoutRates& l) {
    return std::abs(std::log2(static_cast<double>(l.threads) / layout.threads)) +
           std::abs(std::log2(static_cast<double>(l.ranks_on_host) / layout.ranks_on_host)) + (l.hosts > 1 ? 100 : 0);
  };
  nearest_ = &*std::ranges::min_element(profile.layouts, {}, distance);
  if (profile.machine.device == "cpu") scale_ = static_cast<double>(nearest_->threads) / layout.threads;
}

void PriceList::note_beyond(const Work& work, double beyond) {
  if (is_stream(work) || std::string_view(work.name) == "between_ops") return;
  double& most = beyond_[work.name];
  if (beyond > kFar) most = std::max(most, beyond);
}

double PriceList::price(const Work& work) {
  const RateTable* table = nearest_->rates.find(work);
  if (table == nullptr) {
    unknown_.insert(fmt::format("{} in {}", work.name, name_of(work.dtype)));
    return 0;
  }
  const RateTable::Price price = table->price(work);
  note_beyond(work, price.beyond);
  return price.seconds * (is_stream(work) ? 1 : scale_);
}

PriceList::Shared PriceList::find_shared(const Work& work, size_t place, int hosts) const {
  Shared best;
  double most = 0;
  for (const LayoutRates& layout : profile_.layouts) {
    const RateTable* table = layout.rates.find(work);
    if (table == nullptr || (layout.hosts > 1) != (hosts > 1)) continue;
    const double ranks = most_ranks(*table, place);
    if (ranks < 2) continue;
    // As many ranks as are wanted; of such the layout most like this one.
    const double value =
        std::min(ranks, work.size[place]) * 1e3 - std::abs(layout.ranks_on_host - layout_.ranks_on_host);
    if (best.table == nullptr || value > most) {
      best = {table, layout.hosts, ranks};
      most = value;
    }
  }
  return best;
}

/// From a group as large as any that was tried. What lies between hosts goes by the bytes that cross; every rank more
/// is a message more, and takes as long as one did.
double PriceList::price_of_shared(const Work& work) {
  const SharedKind& kind = *shared_kind(work);
  const double ranks = work.size[kind.place];
  const int hosts = kind.is_exchange ? layout_.hosts_of_group : layout_.hosts_of_world;
  const Shared tried = find_shared(work, kind.place, hosts);
  if (tried.table == nullptr) {
    unknown_.insert(fmt::format("{} between {} ranks on {} host{}", work.name, ranks, hosts, hosts > 1 ? "s" : ""));
    return 0;
  }
  Work like = work;
  like.size[kind.place] = std::min(ranks, tried.ranks);
  if (kind.is_exchange && tried.hosts > 1) {
    const double crossing = crossing_share(hosts) / crossing_share(tried.hosts);
    like.amount *= crossing;
    like.size[0] *= crossing;
  }
  const RateTable::Price price = tried.table->price(like);
  note_beyond(work, std::max(price.beyond, ranks / tried.ranks));
  if (!kind.is_exchange || ranks <= tried.ranks) return price.seconds;
  return price.seconds +
         least_seconds(*tried.table, kind.place) * (ranks - tried.ranks) / std::max(1.0, tried.ranks - 1);
}

double PriceList::seconds_of(const Work& work) {
  if (work.amount == 0) return 0;
  const auto [place, is_new] = known_.try_emplace({work.name, work.dtype, work.amount, work.size}, 0);
  if (is_new) {
    const SharedKind* kind = shared_kind(work);
    place->second = kind != nullptr && work.size[kind->place] > 1 ? price_of_shared(work) : price(work);
  }
  return place->second;
}

StepSeconds PriceList::seconds_of_step(std::span<const WorkLog> of_ranks) {
  StepSeconds step;
  std::vector<size_t> next(of_ranks.size());
  for (bool any = true; any;) {
    any = false;
    double slowest = 0, exchange = 0;
    for (size_t r = 0; r < of_ranks.size(); ++r) {
      double computed = 0;
      while (next[r] < of_ranks[r].size() && !is_exchange(of_ranks[r][next[r]].work))
        computed += seconds_of(of_ranks[r][next[r]++].work);
      slowest = std::max(slowest, computed);
      step.useful += computed / static_cast<double>(of_ranks.size());
      if (next[r] == of_ranks[r].size()) continue;
      exchange = std::max(exchange, seconds_of(of_ranks[r][next[r]++].work));
      any = true;
    }
    step.all += slowest + exchange;
    step.exchange += exchange;
  }
  return step;
}

std::vector<std::string> PriceList::notes() const {
  std::vector<std::string> notes;
  if (!profile_.assumed.empty()) notes.push_back("the profile is assumed, not measured: " + profile_.assumed);
  if (nearest_->ranks_on_host != layout_.ranks_on_host || nearest_->threads != layout_.threads)
    notes.push_back(fmt::format("extrapolated: {} ranks a node × {} threads, from {} × {}", layout_.ranks_on_host,
                                layout_.threads, nearest_->ranks_on_host, nearest_->threads));
  std::vector<std::string> far;
  for (const auto& [name, beyond] : beyond_)
    if (beyond > kFar) far.push_back(fmt::format("{} ({:.0f} times beyond what was tried)", name, beyond));
  if (!far.empty()) notes.push_back(fmt::format("extrapolated: {}", fmt::join(far, ", ")));
  if (!unknown_.empty())
    notes.push_back(fmt::format("not measured, and taken to cost nothing: {}", fmt::join(unknown_, ", ")));
  return notes;
}

}  // namespace switchyard
