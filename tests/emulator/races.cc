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

Races::Ticket Races::now(unsigned thread) const {
  const WarpOrder& order = warps_[thread / 32];
  const Ticket ticket = std::max(barrier_, order.whole);
  // knows[a][a] is the last partial __syncwarp of lane a.
  return order.knows == nullptr ? ticket : std::max(ticket, (*order.knows)[thread % 32][thread % 32]);
}

bool Races::ordered(unsigned thread, unsigned other, Ticket when) const {
  if (thread == other || when < barrier_) return true;
  if (thread / 32 != other / 32) return false;
  const WarpOrder& order = warps_[thread / 32];
  return when < order.whole || (order.knows != nullptr && when < (*order.knows)[thread % 32][other % 32]);
}

std::string Races::conflict_with_readers(const Cell& cell, unsigned thread) const {
  if (cell.read < barrier_) return {};
  if (cell.warp == kManyWarps) return "threads of several warps read";
  for (unsigned rest = cell.readers; rest != 0; rest &= rest - 1) {
    const unsigned reader = cell.warp * 32u + static_cast<unsigned>(std::countr_zero(rest));
    if (!ordered(thread, reader, cell.read)) return fmt::format("thread {} reads", reader);
  }
  return {};
}

std::string Races::read(Cell& cell, unsigned thread) {
  const unsigned writer = cell.writer & kThread;
  if ((cell.writer & kCopy) != 0 && cell.written >= begin_)
    return fmt::format("reads what an asynchronous copy of thread {} that was not waited for writes", writer);
  if (!ordered(thread, writer, cell.written))
    return fmt::format("reads what thread {} writes, with no barrier between", writer);
  const auto warp = static_cast<uint16_t>(thread / 32);
  const uint32_t lane = 1u << thread % 32;
  const Ticket ticket = now(thread);
  if (cell.read < barrier_ || (cell.warp == warp && cell.read < ticket)) {
    cell.read = ticket;
    cell.warp = warp;
    cell.readers = lane;
  } else if (cell.warp == warp) {
    if (cell.read == ticket) cell.readers |= lane;
  } else {
    cell.read = std::max(cell.read, ticket);
    cell.warp = kManyWarps;
  }
  return {};
}

std::string Races::write(Cell& cell, unsigned thread, Access access) {
  const unsigned writer = cell.writer & kThread;
  if ((cell.writer & kCopy) != 0 && cell.written >= begin_)
    return fmt::format("writes where an asynchronous copy of thread {} that was not waited for writes", writer);
  const bool both_atomic = access == Access::atomic && (cell.writer & kAtomic) != 0;
  if (!both_atomic && !ordered(thread, writer, cell.written))
    return fmt::format("writes what thread {} writes, with no barrier between", writer);
  if (const std::string readers = conflict_with_readers(cell, thread); !readers.empty())
    return fmt::format("writes what {}, with no barrier between", readers);
  cell.written = now(thread);
  cell.writer = static_cast<uint16_t>(thread | (access == Access::atomic ? kAtomic : 0u));
  return {};
}

std::string Races::access(unsigned thread, size_t offset, size_t bytes, Access access) {
  for (size_t i = offset / kCellBytes; i < (offset + bytes + kCellBytes - 1) / kCellBytes; ++i) {
    std::string race = access == Access::read ? read(cells_[i], thread) : write(cells_[i], thread, access);
    if (!race.empty()) return race;
  }
  return {};
}

std::string Races::begin_copy(unsigned thread, size_t offset, size_t bytes) {
  if (std::string race = access(thread, offset, bytes, Access::write); !race.empty()) return race;
  for (size_t i = offset / kCellBytes; i < (offset + bytes) / kCellBytes; ++i)
    cells_[i].writer = static_cast<uint16_t>(thread | kCopy);
  return {};
}

void Races::end_copy(unsigned thread, size_t offset, size_t bytes) {
  for (size_t i = offset / kCellBytes; i < (offset + bytes) / kCellBytes; ++i) {
    cells_[i].written = now(thread);
    cells_[i].writer = static_cast<uint16_t>(thread);
  }
}

}  // namespace switchyard::emulator
