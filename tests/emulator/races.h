// Which accesses to shared memory are ordered, and which race.
//
// Every barrier and every __syncwarp draws a ticket, in rising order over all blocks. An access carries its thread and
// the ticket of the last of these that the thread had come through. It is ordered before what a thread does now if
// - it was the same thread, or
// - its ticket is older than the block's last barrier, or
// - it was a lane of the same warp and its ticket is older than the last __syncwarp that took both to this point.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "emulator/shared.h"

namespace switchyard::emulator {

class Races {
 public:
  using Ticket = uint32_t;

  /// A block of new threads and `bytes` of shared memory begins.
  void begin_block(unsigned num_threads, size_t bytes);
  void barrier() { barrier_ = ++last_; }
  /// `whole`: the mask is all lanes that the warp ever had.
  void sync_warp(unsigned warp, unsigned mask, bool whole);

  /// Whether the access races with another; report() then says how.
  bool races(unsigned thread, size_t offset, size_t bytes, Access access);
  /// An asynchronous copy of `thread` to here is under way: nobody may touch it before it is complete.
  bool begin_copy_races(unsigned thread, size_t offset, size_t bytes);
  void end_copy(unsigned thread, size_t offset, size_t bytes);
  const std::string& report() const { return report_; }

 private:
  /// Two bytes of shared memory.
  struct Cell {
    Ticket written = 0, read = 0;
    uint32_t readers = 0;  ///< lanes of the warp that read at ticket `read`
    uint16_t writer = 0;   ///< thread, and how it wrote
    uint16_t warp = 0;     ///< of the readers
  };
  struct WarpOrder {
    Ticket whole = 0;  ///< the last __syncwarp of all lanes
    /// knows[a][b]: what lane b did before this ticket is ordered before what lane a does now. Once there was a
    /// __syncwarp of some lanes only.
    std::unique_ptr<std::array<std::array<Ticket, 32>, 32>> knows;
  };

  /// Who accesses, and since which ticket.
  struct Actor {
    unsigned thread;
    uint16_t warp;
    uint32_t lane_bit;
    Ticket now;
  };
  Actor actor(unsigned thread) const;
  bool ordered(unsigned thread, unsigned other, Ticket when) const;
  bool writer_races(const Cell& cell, const Actor& actor, Access access);
  bool readers_race(const Cell& cell, const Actor& actor);
  static void add_reader(Cell& cell, const Actor& actor);

  Ticket last_ = 0, begin_ = 0, barrier_ = 0;
  std::vector<Cell> cells_;
  std::vector<WarpOrder> warps_;
  std::string report_;
};

}  // namespace switchyard::emulator
