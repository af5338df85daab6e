// What a machine can do, as `switchyard calibrate` has found it: how long every kind of work takes, for as many ranks
// on a host, and threads of each, as it was told to try.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/layout.h"
#include "plan/rates.h"

namespace switchyard {

struct ProfiledMachine {
  std::string cpu;                  ///< model
  std::string cpu_isa;              ///< of products
  std::string device;               ///< "cpu", or a GPU's name
  int cores = 0;                    ///< that a host's ranks may use, the most that has been seen
  int64_t memory_bytes = 0;         ///< likewise
  int64_t device_memory_bytes = 0;  ///< that a rank may use of a GPU
  /// Whether what one does the other would. How many cores ranks are bound to, and how much memory is free, is nothing
  /// of it.
  bool is_like(const ProfiledMachine& other) const {
    return cpu == other.cpu && cpu_isa == other.cpu_isa && device == other.device;
  }
};
/// This rank's host.
ProfiledMachine this_machine(const MachineShare& share);

std::string describe(const ProfiledMachine& machine);

/// What ranks of one kind of layout take, all of them at work at once.
struct LayoutRates {
  int hosts = 1;  ///< that share experts; of more than one only the exchange between them has been seen
  int ranks_on_host = 1, threads = 1;
  Rates rates = {};
};

struct Profile {
  ProfiledMachine machine;
  std::string made_by;       ///< version and revision
  std::string assumed = {};  ///< empty: all of it was measured; else what it was written from
  std::vector<LayoutRates> layouts = {};

  /// In place of what was known of the layout, or beside it.
  void put(LayoutRates layout);
};

Json to_json(const Profile& profile);
/// Fails (input) naming the file and the field.
Profile read_profile(const std::filesystem::path& path);

}  // namespace switchyard
