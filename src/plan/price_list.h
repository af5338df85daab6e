// What listed work costs on the machine of a profile, in one layout of ranks.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "plan/profile.h"

namespace switchyard {

/// Where work is to be done.
struct PlannedLayout {
  int ranks_on_host = 1, threads = 1;
  int hosts_of_group = 1;  ///< that ranks which share experts are on
  int hosts_of_world = 1;
};

/// Seconds of a step of some ranks that meet in every exchange: each goes on when the last one has come.
struct StepSeconds {
  double all = 0;
  double exchange = 0;  ///< of that, rows and counts under way
  double useful = 0;    ///< what a rank computes, on average: what is missing to `all` is exchange and waiting
  StepSeconds& operator+=(const StepSeconds& other);
  StepSeconds operator*(double times) const { return {all * times, exchange * times, useful * times}; }
};

class PriceList {
 public:
  /// The profile outlives this. Of layouts that it has not, the nearest one's prices, and a note.
  PriceList(const Profile& profile, const PlannedLayout& layout);

  double seconds_of(const Work& work);
  /// of_ranks: what each of them does, as many exchanges in each.
  StepSeconds seconds_of_step(std::span<const WorkLog> of_ranks);

  /// What was extrapolated, and how far; what nobody has measured, and costs nothing here; an assumed profile.
  std::vector<std::string> notes() const;

 private:
  double price(const Work& work);
  double price_of_shared(const Work& work);
  /// The measurements that are nearest to what ranks do together: none, or of so many ranks at most.
  struct Shared {
    const RateTable* table = nullptr;
    int hosts = 1;
    double ranks = 1;
  };
  Shared find_shared(const Work& work, size_t place, int hosts) const;
  void note_beyond(const Work& work, double beyond);

  const Profile& profile_;
  const PlannedLayout layout_;
  const LayoutRates* nearest_;
  double scale_ = 1;  ///< of the nearest layout's seconds of what is computed
  std::map<std::tuple<std::string, DType, double, std::array<double, 4>>, double> known_;
  std::map<std::string, double> beyond_;  ///< by work: how far
  std::set<std::string> unknown_;
};

/// Whether ranks meet in it.
bool is_exchange(const Work& work);

}  // namespace switchyard
