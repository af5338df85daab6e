#include "jobs/slurm/slurm_site.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <sstream>

#include "io/command.h"
#include "jobs/slurm/slurm_client.h"

namespace switchyard {
namespace {

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::vector<SlurmPartition> parse_partitions(const std::string& text) {
  std::vector<SlurmPartition> partitions;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> fields;
    std::istringstream words(line);
    for (std::string field; std::getline(words, field, '|');) fields.push_back(field);
    if (fields.size() != 8) continue;
    const auto number = [&](size_t i) { return std::atoll(fields[i].c_str()); };  // "16+": of several kinds the least
    SlurmPartition p{fields[0], false,     fields[1] == "up",     fields[2], number(3),
                     number(4), number(5), count_gpus(fields[7]), number(6)};
    p.is_default = p.name.ends_with('*');
    if (p.is_default) p.name.pop_back();
    partitions.push_back(std::move(p));
  }
  return partitions;
}

std::vector<std::string> parse_mpi_types(const std::string& text) {
  std::vector<std::string> types;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    // A type a line, behind a tab or, before 20.11, "srun: ".
    static const std::regex kType("(?:srun: |[ \t]+)([A-Za-z0-9_]+)[ \t]*");
    if (std::smatch m; std::regex_match(line, m, kType)) types.push_back(m[1]);
  }
  return types;
}

std::vector<std::string> mpi_types() {
  const auto types = run_command({"srun", "--mpi=list"}, client_environment());
  return types && types->exit_code == 0 ? parse_mpi_types(types->out + types->err) : std::vector<std::string>{};
}

std::optional<SlurmSite> survey_slurm() {
  const Environment environment = client_environment();
  const auto nodes = run_command({"sinfo", "-h", "-e", "-o", "%P|%a|%l|%D|%X|%c|%m|%G"}, environment);
  if (!nodes) return std::nullopt;
  SlurmSite site;
  if (nodes->exit_code != 0) {
    site.problem = fmt::format("sinfo ended with {}: {}", nodes->exit_code, first_line(nodes->err));
    return site;
  }
  site.partitions = parse_partitions(nodes->out);
  site.mpi_types = mpi_types();
  if (const auto requeues = slurm_setting("JobRequeue")) site.requeues = *requeues != 0;
  return site;
}

const SlurmPartition* usual_partition(const SlurmSite& site) {
  const SlurmPartition* best = nullptr;
  for (const SlurmPartition& p : site.partitions) {
    if (!p.is_up) continue;
    const bool goes_before =
        best == nullptr || (p.is_default && !best->is_default) || (p.name == best->name && p.nodes > best->nodes);
    if (goes_before) best = &p;
  }
  return best;
}

std::string site_file(const SlurmSite& site) {
  std::string text = "# What `switchyard doctor` found here; `switchyard submit` takes these as defaults.\n";
  if (const SlurmPartition* p = usual_partition(site)) {
    text += fmt::format("partition = {}\n# time = 04:00:00  # the partition's limit: {}\n", p->name, p->time_limit);
    const int64_t ranks = std::max<int64_t>(1, p->gpus > 0 ? p->gpus : p->sockets);
    text += fmt::format("# One rank per {}: its nodes have {} cores.\n", p->gpus > 0 ? "GPU" : "socket", p->cores);
    if (p->gpus > 0) text += fmt::format("gpus-per-node = {}\n", p->gpus);
    text += fmt::format("tasks-per-node = {}\ncpus-per-task = {}\n", ranks, std::max<int64_t>(1, p->cores / ranks));
  }
  const bool has_pmix = std::ranges::find(site.mpi_types, "pmix") != site.mpi_types.end();
  text += fmt::format("{}mpi = pmix  # srun offers: {}\n", has_pmix ? "" : "# ", fmt::join(site.mpi_types, ", "));
  text += "# account = my-project\n# module = openmpi/4.1\n# setup = export OMPI_MCA_btl_tcp_if_include=ib0\n";
  return text;
}

}  // namespace switchyard
