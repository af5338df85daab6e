#include "races.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace switchyard::emulator {
namespace {

constexpr size_t kCellBytes = 2;
constexpr uint16_t kThread = 0x3ff, kAtomic = 0x4000, kCopy = 0x8000;
constexpr uint16_t kManyWarps = 0xffff;

}  // namespace

void Races::begin_block(unsigned num_threads, size_t bytes) {
  if (last_ > 0x80000000u) {  // tickets would run out: start again
    last_ = 0;
    cells_.clear();
    warps_.clear();
  }
  begin_ = barrier_ = ++last_;
  if (const size_t cells = (bytes + kCellBytes - 1) / kCellBytes; cells_.size() < cells) cells_.resize(cells);
  if (const size_t warps = (num_threads + 31) / 32; warps_.size() < warps) warps_.resize(warps);
}

void Races::sync_warp(unsigned warp, unsigned mask, bool whole) {
  const Ticket ticket = ++last_;
  WarpOrder& order = warps_[warp];
  if (whole) {
    order.whole = ticket;
    return;
  }
  if (order.knows == nullptr) order.knows = std::make_unique<std::array<std::array<Ticket, 32>, 32>>();
  std::array<Ticket, 32> joined{};
  for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
    const auto& known = (*order.knows)[static_cast<size_t>(std::countr_zero(rest))];
    for (size_t b = 0; b < 32; ++b) joined[b] = std::max(joined[b], known[b]);
  }
  for (size_t b = 0; b < 32; ++b)
    if (mask >> b & 1u) joined[b] = ticket;
  for (unsigned rest = mask; rest != 0; rest &= rest - 1)
    (*order.knows)[static_cast<size_t>(std::countr_zero(rest))] = joined;
}

Races::Actor Races::actor(unsigned thread) const {
  const WarpOrder& order = warps_[thread / 32];
  Ticket now = std::max(barrier_, order.whole);
  // knows[a][a] is the last partial __syncwarp of lane a.
  if (order.knows != nullptr) now = std::max(now, (*order.knows)[thread % 32][thread % 32]);
  return {thread, static_cast<uint16_t>(thread / 32), 1u << thread % 32, now};
}

bool Races::ordered(unsigned thread, unsigned other, Ticket when) const {
  if (thread == other || when < barrier_) return true;
  if (thread / 32 != other / 32) return false;
  const WarpOrder& order = warps_[thread / 32];
  return when < order.whole || (order.knows != nullptr && when < (*order.knows)[thread % 32][other % 32]);
}

bool Races::writer_races(const Cell& cell, const Actor& actor, Access access) {
  const unsigned writer = cell.writer & kThread;
  const char* verb = access == Access::read ? "reads" : "writes";
  if ((cell.writer & kCopy) != 0 && cell.written >= begin_) {
    report_ = fmt::format("{} where an asynchronous copy of thread {} that was not waited for writes", verb, writer);
    return true;
  }
  if (access == Access::atomic && (cell.writer & kAtomic) != 0) return false;
  if (ordered(actor.thread, writer, cell.written)) return false;
  report_ = fmt::format("{} what thread {} writes, with no barrier between", verb, writer);
  return true;
}

bool Races::readers_race(const Cell& cell, const Actor& actor) {
  if (cell.warp == kManyWarps) {
    report_ = "writes what threads of several warps read, with no barrier between";
    return true;
  }
  for (unsigned rest = cell.readers; rest != 0; rest &= rest - 1) {
    const unsigned reader = cell.warp * 32u + static_cast<unsigned>(std::countr_zero(rest));
    if (ordered(actor.thread, reader, cell.read)) continue;
    report_ = fmt::format("writes what thread {} reads, with no barrier between", reader);
    return true;
  }
  return false;
}

/// Others read the cell since the barrier.
void Races::add_reader(Cell& cell, const Actor& actor) {
  if (cell.warp != actor.warp) {
    cell.warp = kManyWarps;
  } else if (cell.read < actor.now) {
    cell.read = actor.now;
    cell.readers = actor.lane_bit;
  } else if (cell.read == actor.now) {
    cell.readers |= actor.lane_bit;
  }
}

bool Races::races(unsigned thread, size_t offset, size_t bytes, Access access) {
  const Actor who = actor(thread);
  const Ticket barrier = barrier_;
  Cell* const end = cells_.data() + (offset + bytes + kCellBytes - 1) / kCellBytes;
  for (Cell* cell = cells_.data() + offset / kCellBytes; cell != end; ++cell) {
    // Nearly always: nobody else wrote here since the barrier, and nobody else read what is written now.
    const bool alone = (cell->writer & kCopy) == 0 && (cell->written < barrier || (cell->writer & kThread) == thread);
    const bool unread = cell->read < barrier || (cell->warp == who.warp && cell->readers == who.lane_bit);
    if (access == Access::read) {
      if (!alone && writer_races(*cell, who, access)) return true;
      if (unread) {
        cell->read = who.now;
        cell->warp = who.warp;
        cell->readers = who.lane_bit;
      } else {
        add_reader(*cell, who);
      }
    } else {
      if (!alone && writer_races(*cell, who, access)) return true;
      if (!unread && readers_race(*cell, who)) return true;
      cell->written = who.now;
      cell->writer = static_cast<uint16_t>(thread | (access == Access::atomic ? kAtomic : 0u));
    }
  }
  return false;
}

bool Races::begin_copy_races(unsigned thread, size_t offset, size_t bytes) {
  if (races(thread, offset, bytes, Access::write)) return true;
  for (size_t i = offset / kCellBytes; i < (offset + bytes) / kCellBytes; ++i)
    cells_[i].writer = static_cast<uint16_t>(thread | kCopy);
  return false;
}

void Races::end_copy(unsigned thread, size_t offset, size_t bytes) {
  const Ticket now = actor(thread).now;
  for (size_t i = offset / kCellBytes; i < (offset + bytes) / kCellBytes; ++i) {
    cells_[i].written = now;
    cells_[i].writer = static_cast<uint16_t>(thread);
  }
}

}  // namespace switchyard::emulator
