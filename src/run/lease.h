// Who may write a run directory. One process (world rank 0) holds lease.json and renews it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "io/json.h"

namespace switchyard {

/// Identity of an attempt; job and restart from Slurm where there is one ("" and 0 otherwise).
struct LeaseHolder {
  std::string job;
  int64_t restart = 0;
  std::string host, boot_id;
  std::string pid_namespace;       ///< "pid:[4026531836]"; empty in a lease of an earlier version, and without /proc
  int64_t pid = 0, pid_start = 0;  ///< in that namespace; /proc/PID/stat field 22
  int64_t renew_ms = 0;            ///< between two renewals; 0: not known
  std::string nonce;               ///< random, 32 hex digits: this attempt and no other

  static LeaseHolder self();
  std::string describe() const;  ///< "job 17 (restart 0), host n1, pid 4711"
};

class Lease {
 public:
  /// Takes the lease, at once if it is free, of the same job with a lower restart count, or of a process that is_gone;
  /// otherwise watches it for `timeout`: unchanged, it is taken over; renewed, fails (mismatch)
  /// naming host and job. `poll` is called while waiting (it may throw to give up).
  static std::unique_ptr<Lease> acquire(const std::filesystem::path& path, std::chrono::milliseconds timeout,
                                        std::chrono::milliseconds renew_every = std::chrono::seconds(10),
                                        const std::function<void()>& poll = {});
  ~Lease();  ///< stops renewing and removes the lease if it is still ours

  const std::string& nonce() const { return holder_.nonce; }
  /// True once another attempt has taken over.
  bool lost() const { return lost_; }

 private:
  Lease(std::filesystem::path path, LeaseHolder holder, std::chrono::milliseconds renew_every);
  void renew_loop();
  std::filesystem::path path_;
  LeaseHolder holder_;
  std::chrono::milliseconds renew_every_;
  std::atomic<bool> lost_{false};
  struct Thread;
  std::unique_ptr<Thread> thread_;
};

/// Who holds the lease, or held it when killed; empty when there is none, or none that can be read.
std::optional<LeaseHolder> read_lease_holder(const std::filesystem::path& path);
/// Whether the holder can be seen to be no more: a process of this host, boot and PID namespace. A process that cannot
/// be seen from here (another container, another user's under hidepid) may well live.
bool is_gone(const LeaseHolder& holder);

/// Fails (mismatch) unless the nonce now in the file is `nonce`. Called by every writer before it publishes.
void check_lease(const std::filesystem::path& path, const std::string& nonce);

}  // namespace switchyard
