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

/// Among an exchange's sizes: how many ranks share it. The first one is what travels.
constexpr size_t place_of_ranks(const Work& work) {
  return std::string_view(work.name) == "exchange" ? 1 : 2;
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

/// An exchange of more ranks than one.
bool is_shared(const Work& work) {
  return is_exchange(work) && work.size[place_of_ranks(work)] > 1;
}

/// Of a group's bytes: those that leave a host.
double crossing_share(int hosts) {
  return 1 - 1.0 / hosts;
}

}  // namespace

bool is_exchange(const Work& work) {
  const std::string_view name = work.name;
  return name == "exchange" || name == "windows" || name == "windows_backward";
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
  scale_ = static_cast<double>(nearest_->threads) / layout.threads;
}

/// A stream of bytes is no faster for being longer.
void PriceList::note_beyond(const Work& work, double beyond) {
  constexpr std::string_view kStreams[] = {"load", "load_to_train", "commit", "checkpoint", "between_ops"};
  if (std::ranges::find(kStreams, work.name) != std::end(kStreams)) return;
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
  return price.seconds * scale_;
}

PriceList::Exchange PriceList::find_exchange(const Work& work) const {
  const size_t place = place_of_ranks(work);
  Exchange best;
  double most = 0;
  for (const LayoutRates& layout : profile_.layouts) {
    const RateTable* table = layout.rates.find(work);
    if (table == nullptr || (layout.hosts > 1) != (layout_.hosts_of_group > 1)) continue;
    const double ranks = most_ranks(*table, place);
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
double PriceList::price_of_exchange(const Work& work) {
  const size_t place = place_of_ranks(work);
  const double ranks = work.size[place];
  const Exchange tried = find_exchange(work);
  if (tried.table == nullptr) {
    unknown_.insert(fmt::format("{} between {} ranks on {} host{}", work.name, ranks, layout_.hosts_of_group,
                                layout_.hosts_of_group > 1 ? "s" : ""));
    return 0;
  }
  Work like = work;
  like.size[place] = std::min(ranks, tried.ranks);
  if (tried.hosts > 1) {
    const double crossing = crossing_share(layout_.hosts_of_group) / crossing_share(tried.hosts);
    like.amount *= crossing;
    like.size[0] *= crossing;
  }
  const RateTable::Price price = tried.table->price(like);
  note_beyond(work, std::max(price.beyond, ranks / tried.ranks));
  if (ranks <= tried.ranks) return price.seconds;
  return price.seconds + least_seconds(*tried.table, place) * (ranks - tried.ranks) / std::max(1.0, tried.ranks - 1);
}

double PriceList::seconds_of(const Work& work) {
  if (work.amount == 0) return 0;
  const auto [place, is_new] = known_.try_emplace({work.name, work.dtype, work.amount, work.size}, 0);
  if (is_new) place->second = is_shared(work) ? price_of_exchange(work) : price(work);
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
