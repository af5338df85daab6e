// Options that several jobs have, each described once. A job's options struct inherits the groups that it has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/options/options.h"
#include "model/layout.h"
#include "run/attempt.h"

namespace switchyard {

struct ModelOptions {
  std::string model;
  std::vector<std::string> delta;
  std::vector<std::string> allow_config_field;

  std::vector<std::filesystem::path> deltas() const { return {delta.begin(), delta.end()}; }

  std::set<std::string> allowed_fields() const { return {allow_config_field.begin(), allow_config_field.end()}; }
  void describe(OptionSet& o);
};
void describe_delta(OptionSet& o, std::vector<std::string>* files);
void describe_allow_config_field(OptionSet& o, std::vector<std::string>* names);

/// How ranks share the model and the machine.
struct MachineOptions {
  std::string dtype = "auto", cpu_isa = "auto", device = "auto";
  int64_t ep = 0, threads = 0, exchange_bytes = int64_t{256} << 20;
  double memory_gib = 0;

  LayoutWishes wishes() const;
  void describe(OptionSet& o);
};

/// Also GPUs.
struct LayoutOptions : MachineOptions {
  bool share_gpu = false;
  int64_t micro_batches = 0;

  LayoutWishes wishes() const;
  void describe(OptionSet& o);
};
/// --profile, which predictions are made from.
void describe_profile(OptionSet& o, std::string* file);
void describe_exchange_bytes(OptionSet& o, int64_t* bytes);

/// Of a --dtype that is not "auto".
DType operand_of(std::string_view dtype);

struct BatchOptions {
  int64_t batch_tokens = 8192;

  void describe(OptionSet& o);
};

/// Of a job that can be resumed.
struct RunOptions {
  std::string run;
  int64_t lease_timeout = 60, comm_timeout = 300, term_grace = 20, limit_grace = 120;
  bool dry_run = false, quiet = false;

  Attempt::Options attempt() const;
  std::vector<std::string> timeouts() const;  ///< as words, for a run that this one starts
  void describe_directory(OptionSet& o);      ///< among what the job works on
  void describe(OptionSet& o);                ///< the others
};

}  // namespace switchyard
