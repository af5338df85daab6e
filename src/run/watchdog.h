// Names the rank that does not arrive. A thread in each rank that calls no MPI looks at the rank's Pulse; ranks tell
// each other of a stall by small files in the attempt's hang/ directory:
//   rankR.json   rank R makes no progress: where it is, and which ranks it waits for
//   rankR.alive  written while any rankX.json is there, by those that do not stall themselves
//   verdict.json who is to blame; written once, and every rank that sees it ends
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/pulse.h"

namespace switchyard {

/// What the hang/ directory tells about one rank that others wait for.
struct RankSign {
  enum Kind : uint8_t { silent, stalled, alive };  ///< silent: its files have not changed, or there are none
  int rank = 0;
  Kind kind = silent;
  int64_t sequence = 0;  ///< of a stalled one: operations it has come to, in the communicator in question
};

/// The ranks to blame: the silent ones; if there are none, those that have come least far. Empty while any is alive.
std::vector<int> blame(const std::vector<RankSign>& signs);

class Watchdog {
 public:
  struct Options {
    std::filesystem::path directory;  ///< hang/ of the attempt; made on the first stall
    int rank = 0;
    std::vector<std::string> hosts;  ///< by rank
    /// From the last progress to the verdict. The others are asked after three quarters of it.
    std::chrono::milliseconds timeout = std::chrono::seconds(120);
    /// A step that is known to last (Pulse::Unhurried) may take that many timeouts more.
    int patience = 10;
    /// Called once, from the watchdog's thread, on every rank that learns of the verdict; `reporter`: this rank found
    /// it. Ends the process.
    std::function<void(const std::string& verdict, bool reporter)> end;
  };

  Watchdog(const Pulse& pulse, Options options);
  ~Watchdog();  ///< stops the thread; leaves no files of this rank

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

/// The message of an attempt's verdict; empty when there is none.
std::string read_verdict(const std::filesystem::path& hang_directory);

}  // namespace switchyard
