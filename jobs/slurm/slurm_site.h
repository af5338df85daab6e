// What Slurm says of the cluster at hand, before anything is submitted to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// A partition's nodes of one kind: a partition of several kinds comes several times.
struct SlurmPartition {
  std::string name;
  bool is_default = false, is_up = true;
  std::string time_limit;                                               ///< "1-00:00:00", "infinite"
  int64_t nodes = 0, sockets = 0, cores = 0, gpus = 0, memory_mib = 0;  ///< all but nodes: per node
};

struct SlurmSite {
  std::vector<SlurmPartition> partitions;
  std::vector<std::string> mpi_types;
  std::optional<bool> requeues;  ///< jobs that do not say; empty: not known
  std::string problem;           ///< what Slurm's commands say instead of all this
};

/// Asks sinfo, srun and scontrol. Empty without sinfo: there is no Slurm on this host.
std::optional<SlurmSite> survey_slurm();

/// Lines of `sinfo -h -e -o "%P|%a|%l|%D|%X|%c|%m|%G"`; any that are not of this form are passed over.
std::vector<SlurmPartition> parse_partitions(const std::string& text);

/// What srun offers as --mpi; empty where there is none to ask.
std::vector<std::string> mpi_types();

/// The names in what `srun --mpi=list` prints.
std::vector<std::string> parse_mpi_types(const std::string& text);

/// The kind of nodes that a job gets that does not choose: the largest of the default partition, or of the first that
/// is up. Null if there is none.
const SlurmPartition* usual_partition(const SlurmSite& site);

/// A site file for `switchyard submit`.
std::string site_file(const SlurmSite& site);

}  // namespace switchyard
