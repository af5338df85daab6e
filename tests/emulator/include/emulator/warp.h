// Operations of a warp's lanes. A mask that names a lane that has ended, or never was, is an error (CUDA leaves some of
// that undefined), and so is a value taken from a lane outside the mask. Only __syncwarp orders memory.
#pragma once

#include <bit>
#include <cstring>

#include "emulator/block.h"

namespace switchyard::emulator {

struct Shuffle {
  uint64_t value;
  int source;  ///< lane
  uint64_t result = 0;
};
void complete_shuffle(void* const* lanes, unsigned mask);

/// Fails unless it is a power of two up to 32.
void check_width(int width);

template <class T>
T shuffle(Wait kind, unsigned mask, T value, int source, Place place) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  Shuffle arguments{0, source};
  std::memcpy(&arguments.value, &value, sizeof(T));
  warp_operation(kind, mask, &arguments, complete_shuffle, place);
  std::memcpy(&value, &arguments.result, sizeof(T));
  return value;
}

struct Vote {
  bool predicate;
  unsigned result = 0;  ///< lanes whose predicate is true
};
void complete_vote(void* const* lanes, unsigned mask);

inline unsigned vote(unsigned mask, bool predicate, Place place) {
  Vote arguments{predicate};
  warp_operation(Wait::vote, mask, &arguments, complete_vote, place);
  return arguments.result;
}

struct Match {
  uint64_t value;
  unsigned result = 0;
};
void complete_match(void* const* lanes, unsigned mask);

template <class T>
struct Reduction {
  T value;
  T result{};
};

template <class T, class Combine>
T reduce(unsigned mask, T value, Combine, Place place) {
  Reduction<T> arguments{value};
  warp_operation(
      Wait::reduce, mask, &arguments,
      [](void* const* lanes, unsigned members) {
        const auto of = [&](unsigned rest) { return static_cast<Reduction<T>*>(lanes[std::countr_zero(rest)]); };
        T result = of(members)->value;
        for (unsigned rest = members & (members - 1); rest != 0; rest &= rest - 1)
          result = Combine()(result, of(rest)->value);
        for (unsigned rest = members; rest != 0; rest &= rest - 1) of(rest)->result = result;
      },
      place);
  return arguments.result;
}

struct Sum {
  template <class T>
  T operator()(T a, T b) const {
    return static_cast<T>(static_cast<unsigned>(a) + static_cast<unsigned>(b));
  }
};
struct Max {
  template <class T>
  T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};
struct Min {
  template <class T>
  T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

}  // namespace switchyard::emulator

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  switchyard::emulator::warp_operation(switchyard::emulator::Wait::sync_warp, mask, nullptr, nullptr, place);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  switchyard::emulator::check_width(width);
  const int lane = switchyard::emulator::lane();
  return switchyard::emulator::shuffle(switchyard::emulator::Wait::shuffle, mask, value,
                                       (lane & ~(width - 1)) | (source & (width - 1)), place);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  switchyard::emulator::check_width(width);
  const int lane = switchyard::emulator::lane(), by = static_cast<int>(delta);
  return switchyard::emulator::shuffle(switchyard::emulator::Wait::shuffle_up, mask, value,
                                       (lane & (width - 1)) < by ? lane : lane - by, place);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  switchyard::emulator::check_width(width);
  const int lane = switchyard::emulator::lane(), by = static_cast<int>(delta);
  return switchyard::emulator::shuffle(switchyard::emulator::Wait::shuffle_down, mask, value,
                                       (lane & (width - 1)) + by >= width ? lane : lane + by, place);
}
/// A lane beyond the own segment gives the own value; one of an earlier segment is allowed.
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  switchyard::emulator::check_width(width);
  const int lane = switchyard::emulator::lane(), source = lane ^ lane_mask;
  return switchyard::emulator::shuffle(switchyard::emulator::Wait::shuffle_xor, mask, value,
                                       source > (lane | (width - 1)) ? lane : source, place);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  return switchyard::emulator::vote(mask, predicate != 0, place);
}
inline int __any_sync(unsigned mask, int predicate,
                      switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  return switchyard::emulator::vote(mask, predicate != 0, place) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  return switchyard::emulator::vote(mask, predicate != 0, place) == mask;
}

template <class T>
unsigned __match_any_sync(unsigned mask, T value,
                          switchyard::emulator::Place place = switchyard::emulator::Place::current()) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  switchyard::emulator::Match arguments{0};
  std::memcpy(&arguments.value, &value, sizeof(T));
  switchyard::emulator::warp_operation(switchyard::emulator::Wait::match, mask, &arguments,
                                       switchyard::emulator::complete_match, place);
  return arguments.result;
}

#define SWITCHYARD_EMULATED_REDUCE(name, Combine, T)                                                                  \
  inline T name(unsigned mask, T value, switchyard::emulator::Place place = switchyard::emulator::Place::current()) { \
    return switchyard::emulator::reduce(mask, value, switchyard::emulator::Combine(), place);                         \
  }
SWITCHYARD_EMULATED_REDUCE(__reduce_add_sync, Sum, int)
SWITCHYARD_EMULATED_REDUCE(__reduce_add_sync, Sum, unsigned)
SWITCHYARD_EMULATED_REDUCE(__reduce_max_sync, Max, int)
SWITCHYARD_EMULATED_REDUCE(__reduce_max_sync, Max, unsigned)
SWITCHYARD_EMULATED_REDUCE(__reduce_min_sync, Min, int)
SWITCHYARD_EMULATED_REDUCE(__reduce_min_sync, Min, unsigned)
#undef SWITCHYARD_EMULATED_REDUCE
