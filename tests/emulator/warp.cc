#include "emulator/warp.h"

#include <fmt/format.h>

#include "engine.h"

namespace switchyard::emulator {

void check_width(int width) {
  if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width)))
    fail_in_kernel(fmt::format("a shuffle of width {}", width).c_str());
}

void complete_shuffle(void* const* lanes, unsigned mask) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    auto* arguments = static_cast<Shuffle*>(lanes[lane]);
    if ((mask >> arguments->source & 1u) == 0)
      fail_in_kernel(fmt::format("in a shuffle with mask {:#010x} lane {} takes the value of lane {}, which is not in "
                                 "the mask",
                                 mask, lane, arguments->source)
                         .c_str());
    arguments->result = static_cast<const Shuffle*>(lanes[arguments->source])->value;
  }
}

void complete_vote(void* const* lanes, unsigned mask) {
  unsigned result = 0;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const int lane = std::countr_zero(rest);
    result |= (static_cast<const Vote*>(lanes[lane])->predicate ? 1u : 0u) << lane;
  }
  for (unsigned rest = mask; rest != 0; rest &= rest - 1)
    static_cast<Vote*>(lanes[std::countr_zero(rest)])->result = result;
}

void complete_match(void* const* lanes, unsigned mask) {
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    auto* arguments = static_cast<Match*>(lanes[std::countr_zero(rest)]);
    arguments->result = 0;
    for (unsigned others = mask; others != 0; others &= others - 1) {
      const int other = std::countr_zero(others);
      if (static_cast<const Match*>(lanes[other])->value == arguments->value) arguments->result |= 1u << other;
    }
  }
}

}  // namespace switchyard::emulator
