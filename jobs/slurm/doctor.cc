#include "jobs/slurm/doctor.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <set>
#include <sstream>

#include "base/available_memory.h"
#include "base/device.h"
#include "base/hash.h"
#include "base/text.h"
#include "base/thread_pool.h"
#include "comm/collectively.h"
#include "comm/launcher.h"
#include "io/command.h"
#include "io/file.h"
#include "io/seal.h"
#include "jobs/job.h"
#include "jobs/options/limits.h"
#include "jobs/slurm/file_system.h"
#include "jobs/slurm/slurm_environment.h"
#include "jobs/version_info.h"
#include "run/lease.h"

namespace switchyard {
namespace {

constexpr double kMaxClockSkew = 2;  // seconds

int64_t variable_as_int(const char* name) {
  return std::strtoll(variable(name).c_str(), nullptr, 10);
}

int64_t count_gpus() {
  int64_t count = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/dev", error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().native();
    count += name.starts_with("nvidia") && name.size() > 6 && std::isdigit(static_cast<unsigned char>(name[6])) != 0;
  }
  if (error) fail(ExitCode::environment, "cannot list /dev: {}", error.message());
  return count;
}

/// The libraries that scores depend on, without the instruction set: that is a finding of its own.
Json library_versions() {
  Json versions = Json::object();
  for (const auto& [name, value] : version_facts())
    if (name != "cpu_isa") versions[name] = value;
  return versions;
}

std::string cpu_isa() {
  const auto facts = version_facts();
  return std::ranges::find(facts, "cpu_isa", &std::pair<std::string, std::string>::first)->second;
}

/// Takes a fact into `facts`; one that cannot be had is told as a failure, and `unknown` stands for it.
template <class Probe>
void take(Json& facts, const char* name, Json unknown, const Probe& probe) {
  try {
    facts[name] = probe();
  } catch (const std::exception& error) {
    facts[name] = std::move(unknown);
    facts["failures"].push_back(fmt::format("{}: {}", name, error.what()));
  }
}

/// Ranks write a file each and look for the others': how many of them this rank sees, and why it cannot write.
Json probe_directory(Communicator& world, const std::string& directory) {
  const std::string nonce = world.broadcast_string(LeaseHolder::self().nonce, 0);
  const auto path_of = [&](int rank) {
    return std::filesystem::path(directory) / fmt::format(".doctor-{}-{}", nonce, rank);
  };
  std::string error;
  try {
    write_file_atomically(path_of(world.rank()), "here\n");
  } catch (const Error& e) {
    error = e.what();
  }
  world.barrier();
  int64_t seen = 0;
  std::error_code ignored;
  for (int rank = 0; rank < world.size(); ++rank) seen += std::filesystem::exists(path_of(rank), ignored) ? 1 : 0;
  world.barrier();
  std::filesystem::remove(path_of(world.rank()), ignored);
  const FileSystem where = file_system_of(directory);
  return {{"path", directory},
          {"seen", seen},
          {"error", error},
          {"file_system", where.type},
          {"mount_point", where.mount_point}};
}

std::string text_of(const Json& rank, const char* field) {
  return rank.at(field).get<std::string>();
}

std::string hosts_where(const std::vector<Json>& ranks, const std::function<bool(const Json&)>& matches) {
  std::set<std::string> hosts;
  for (const Json& rank : ranks)
    if (matches(rank)) hosts.insert(text_of(rank, "host"));
  return fmt::format("{}", fmt::join(hosts, ", "));
}

/// Ranks by the value of a field.
std::map<std::string, std::vector<Json>> by_value(const std::vector<Json>& ranks, const char* field) {
  std::map<std::string, std::vector<Json>> groups;
  for (const Json& rank : ranks) groups[to_text(rank.at(field))].push_back(rank);
  return groups;
}

/// "n1, n2 have a; n3 has b"
std::string by_host(const std::vector<Json>& ranks, const char* field) {
  std::vector<std::string> parts;
  for (const auto& [value, group] : by_value(ranks, field))
    parts.push_back(fmt::format("{}: {}", hosts_where(group, [](const Json&) { return true; }), value));
  return fmt::format("{}", fmt::join(parts, "; "));
}

/// How srun, mpirun or another launcher is told to start ranks.
std::string launched_with(const Json& rank) {
  const std::string variable = text_of(rank, "launcher"), type = text_of(rank, "mpi_type");
  const LauncherClaim claim{variable};
  if (claim.by_srun()) return fmt::format("srun --mpi={}", type.empty() ? "(default)" : type);
  if (claim.by_mpirun()) return "mpirun";
  return variable.empty() ? "no launcher" : fmt::format("a launcher that sets {}", variable);
}

Finding check_world(const std::vector<Json>& ranks) {
  const Json& r = ranks.front();
  const auto world = r.at("world_size").get<int64_t>(), launched = r.at("launcher_ranks").get<int64_t>();
  std::set<std::string> hosts;
  for (const Json& rank : ranks) hosts.insert(text_of(rank, "host"));
  if (launched > world)
    return {
        Finding::fault, "world size",
        fmt::format("{} started {} tasks, but MPI finds {} of them", launched_with(r), launched, world),
        "every task would do the whole work: start it with srun --mpi=pmix (srun --mpi=list shows what there is), or "
        "with the mpirun of its own MPI (switchyard --version names it)"};
  return {Finding::ok, "world size", fmt::format("{} ranks on {} hosts, {}", world, hosts.size(), launched_with(r)),
          ""};
}

/// What a rank could not find out.
std::vector<Finding> check_failures(const std::vector<Json>& ranks) {
  std::vector<Finding> findings;
  for (const Json& rank : ranks)
    for (const Json& failure : rank.value("failures", Json::array()))
      findings.push_back({Finding::fault, "examination",
                          fmt::format("{} cannot tell its {}", text_of(rank, "host"), failure.get<std::string>()),
                          "whatever follows about it counts for nothing"});
  return findings;
}

Finding check_same(const std::vector<Json>& ranks, const char* field, const std::string& subject,
                   const std::string& advice, Finding::Level level) {
  if (by_value(ranks, field).size() == 1) return {Finding::ok, subject, "the same on every rank", ""};
  return {level, subject, "differs: " + by_host(ranks, field), advice};
}

Finding check_cores(const std::vector<Json>& ranks) {
  std::map<std::pair<std::string, std::string>, int64_t> sharing;  // ranks by (host, cores)
  for (const Json& rank : ranks) ++sharing[{text_of(rank, "host"), text_of(rank, "affinity")}];
  for (const Json& rank : ranks) {
    const int64_t ranks_here = sharing[{text_of(rank, "host"), text_of(rank, "affinity")}];
    const auto cores = rank.at("cores").get<int64_t>();
    const int64_t threads = std::max<int64_t>(1, rank.at("threads").get<int64_t>());
    if (threads * ranks_here > cores)
      return {Finding::fault, "cores",
              fmt::format("on {} {} rank(s) of {} threads share {} core(s) ({})", text_of(rank, "host"), ranks_here,
                          threads, cores, text_of(rank, "affinity")),
              "ask for as many cores as threads (sbatch --cpus-per-task), and pass them on: srun before 23.11 takes "
              "them from SRUN_CPUS_PER_TASK only; mpirun needs --bind-to none or --map-by slot:PE=N"};
  }
  return {Finding::ok, "cores", "enough for the threads of every rank", ""};
}

constexpr const char* kShareIt = "put run directory, model and input on a file system that all nodes mount (not /tmp)";

/// Of a directory that only one host has looked at, which proves nothing about others: by the kind of file system.
Finding guess_sharing(const Json& rank) {
  const Json& run = rank.at("run");
  const FileSystem where{run.value("file_system", ""), run.value("mount_point", "")};
  const std::string subject = "run directory", path = run.at("path").get<std::string>();
  const std::string ask = "ask on several nodes: srun -N2 --mpi=pmix switchyard doctor --run " + path;
  switch (where.sharing()) {
    case Sharing::shared:
      return {
          Finding::ok, subject,
          fmt::format("{} is writable, and on {} ({}), which nodes share; that others mount it, only a run on several "
                      "proves",
                      path, where.type, where.mount_point),
          ""};
    case Sharing::node_local:
      return {rank.value("has_slurm", false) ? Finding::warning : Finding::unknown, subject,
              fmt::format("{} is writable; whether other nodes see it is unknown, and unlikely: {} ({}) is, as a rule, "
                          "one host's own",
                          path, where.type, where.mount_point),
              fmt::format("for jobs of several nodes {}; {}", kShareIt, ask)};
    case Sharing::unknown:
      break;
  }
  return {Finding::unknown, subject,
          fmt::format("{} is writable; whether other nodes see it is unknown ({})", path,
                      where.type.empty() ? "its file system cannot be told" : where.type + " may be either"),
          ask};
}

Finding check_run_directory(const std::vector<Json>& ranks) {
  const Json& first = ranks.front().at("run");
  const std::string path = first.at("path").get<std::string>();
  for (const Json& rank : ranks)
    if (const auto error = rank.at("run").at("error").get<std::string>(); !error.empty())
      return {Finding::fault, "run directory", fmt::format("{}: {}", text_of(rank, "host"), error),
              "choose a directory that exists and is writable on every node"};
  const auto blind = [&](const Json& rank) {
    return rank.at("run").at("seen").get<int64_t>() < static_cast<int64_t>(ranks.size());
  };
  if (std::any_of(ranks.begin(), ranks.end(), blind))
    return {Finding::fault, "run directory",
            fmt::format("{} is not shared: files of other ranks are missing on {}", path, hosts_where(ranks, blind)),
            kShareIt};
  if (by_value(ranks, "host").size() == 1) return guess_sharing(ranks.front());
  return {Finding::ok, "run directory", path + " is shared and writable", ""};
}

Finding check_clocks(const std::vector<Json>& ranks) {
  const auto time_of = [](const Json& rank) { return rank.at("clock").get<double>(); };
  const auto [low, high] = std::ranges::minmax(ranks, {}, time_of);
  const double skew = time_of(high) - time_of(low);
  if (skew <= kMaxClockSkew) return {Finding::ok, "clocks", fmt::format("within {:.1f} s", skew), ""};
  return {Finding::warning, "clocks",
          fmt::format("{} is {:.1f} s ahead of {}", text_of(high, "host"), skew, text_of(low, "host")),
          "nothing: results do not depend on it, but logs of different nodes will not line up. Operators can mend it "
          "(NTP)"};
}

Finding check_gpus(const std::vector<Json>& ranks, bool cuda_build) {
  if (by_value(ranks, "gpus").size() > 1)
    return {Finding::fault, "GPUs", "hosts differ: " + by_host(ranks, "gpus"),
            "ask for the same number on every node (sbatch --gpus-per-node)"};
  const auto gpus = ranks.front().at("gpus").get<int64_t>();
  for (const Json& rank : ranks)
    if (const auto allotted = rank.at("allotted_gpus").get<int64_t>(); allotted > gpus)
      return {Finding::fault, "GPUs",
              fmt::format("Slurm allotted {} on {}, but the system shows {} (/dev/nvidia*)", allotted,
                          text_of(rank, "host"), gpus),
              "is the driver loaded there? (nvidia-smi)"};
  if (gpus > 0 && !cuda_build)
    return {Finding::warning, "GPUs", fmt::format("{} per host, but this build has no CUDA", gpus),
            "build with -DSWITCHYARD_CUDA=ON to use them"};
  std::map<std::string, int64_t> ranks_on;
  for (const Json& rank : ranks) ++ranks_on[text_of(rank, "host")];
  for (const Json& rank : ranks) {
    const std::string host = text_of(rank, "host");
    const auto usable = rank.at("usable_gpus").get<int64_t>();
    if (gpus > 0 && usable == 0)
      return {rank.at("allotted_gpus").get<int64_t>() > 0 ? Finding::fault : Finding::warning, "GPUs",
              fmt::format("{} has {}, but: {}", host, gpus, text_of(rank, "why_no_gpus")),
              "nvidia-smi on that node; CUDA_VISIBLE_DEVICES must not hide them; was the job given any "
              "(sbatch --gpus-per-node)?"};
    if (gpus > 0 && usable < ranks_on[host])
      return {Finding::warning, "GPUs",
              fmt::format("{} ranks on {} see {} of its {}, and a rank needs one of its own", ranks_on[host], host,
                          usable, gpus),
              "ask for --gpus-per-node = --ntasks-per-node, without --gpus-per-task or --gpu-bind, which hide GPUs; "
              "score --share-gpu lets ranks share; --device cpu does without"};
  }
  return {Finding::ok, "GPUs", gpus == 0 ? "none" : fmt::format("{} per host", gpus), ""};
}

Finding check_deadline(const Json& rank) {
  const bool in_job = !text_of(rank, "job").empty();
  if (!in_job || rank.at("knows_end").get<bool>())
    return {Finding::ok, "time limit", in_job ? "known" : "not in a Slurm job", ""};
  return {Finding::ok, "time limit",
          "SLURM_JOB_END_TIME is not set (Slurm before 23.02); the scripts of submit and slurm/score.sbatch set it",
          ""};
}

}  // namespace

Json examine_rank(Communicator& world, const DoctorOptions& options) {
  const LauncherClaim launcher = launcher_claim();
  Json facts = {{"rank", world.rank()},
                {"world_size", world.size()},
                {"launcher", launcher.variable},
                {"launcher_ranks", launcher.num_ranks},
                {"mpi_type", variable("SLURM_MPI_TYPE")},
                {"affinity", affinity_text()},
                {"threads", options.threads > 0 ? options.threads : variable_as_int("SLURM_CPUS_PER_TASK")},
                {"allotted_gpus", variable_as_int("SLURM_GPUS_ON_NODE")},
                {"job", variable("SLURM_JOB_ID")},
                {"knows_end", !variable("SLURM_JOB_END_TIME").empty()},
                {"has_slurm", !variable("SLURM_JOB_ID").empty() || !folder_of_program("sinfo").empty()},
                {"failures", Json::array()}};
  take(facts, "host", "unknown", [] { return LeaseHolder::self().host; });
  take(facts, "binary", "", [] { return hash_of_file("/proc/self/exe").hex(); });
  take(facts, "versions", Json::object(), library_versions);
  take(facts, "cpu_isa", "", cpu_isa);
  take(facts, "cores", 0, available_cores);
  take(facts, "memory", 0, [] { return available_memory(); });
  take(facts, "gpus", 0, count_gpus);
  take(facts, "usable_gpus", 0, num_devices);
  take(facts, "why_no_gpus", "", [] { return num_devices() > 0 ? std::string() : why_no_devices(); });
  if (!options.run.empty() && !options.dry_run) facts["run"] = probe_directory(world, options.run);
  world.barrier();
  facts["clock"] = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  return facts;
}

std::vector<Finding> diagnose(const std::vector<Json>& ranks) {
  const Json& first = ranks.front();
  std::vector<Finding> findings = check_failures(ranks);
  findings.push_back(check_world(ranks));
  findings.push_back(check_same(ranks, "binary", "program", "install one build on a file system that all nodes mount",
                                Finding::fault));
  findings.push_back(check_same(ranks, "versions", "libraries",
                                "load the same modules on every node: scores depend on the oneDNN version",
                                Finding::fault));
  findings.push_back(check_same(ranks, "cpu_isa", "instruction sets",
                                "pin the least of them with score --cpu-isa, or ask for nodes of one kind "
                                "(sbatch --constraint)",
                                Finding::fault));
  if (first.contains("run")) findings.push_back(check_run_directory(ranks));
  findings.push_back(check_cores(ranks));
  findings.push_back(check_gpus(ranks, first.at("versions").value("cuda", "not in this build") != "not in this build"));
  findings.push_back(check_clocks(ranks));
  findings.push_back(check_deadline(first));
  const auto memory = [](const Json& rank) { return rank.at("memory").get<uint64_t>(); };
  findings.push_back(
      {Finding::ok, "memory",
       fmt::format("{} available on the poorest host", bytes_text(memory(std::ranges::min(ranks, {}, memory)))), ""});
  return findings;
}

std::vector<Finding> describe_site(const std::optional<SlurmSite>& site) {
  if (!site) return {{Finding::ok, "Slurm", "none on this host (no sinfo in PATH)", ""}};
  if (!site->problem.empty())
    return {{Finding::warning, "Slurm", site->problem, "run it where sbatch works: on a login node"}};
  std::vector<Finding> findings;
  for (const SlurmPartition& p : site->partitions)
    findings.push_back({Finding::ok, "partition",
                        fmt::format("{}{}{}: {} nodes of {} cores ({} sockets), {}{}, time limit {}", p.name,
                                    p.is_default ? " (default)" : "", p.is_up ? "" : " (not up)", p.nodes, p.cores,
                                    p.sockets, bytes_text(static_cast<uint64_t>(p.memory_mib) << 20),
                                    p.gpus > 0 ? fmt::format(", {} GPUs", p.gpus) : "", p.time_limit),
                        ""});
  const std::string types = fmt::format("srun offers {}", fmt::join(site->mpi_types, ", "));
  if (std::ranges::find(site->mpi_types, "pmix") == site->mpi_types.end())
    findings.push_back({Finding::warning, "MPI types", site->mpi_types.empty() ? "srun --mpi=list names none" : types,
                        "this program's Open MPI needs pmix: where srun has none, start it with mpirun in a script of "
                        "your own (slurm/score.sbatch)"});
  else
    findings.push_back({Finding::ok, "MPI types", types, ""});
  findings.push_back({Finding::ok, "requeueing",
                      !site->requeues ? "not known"
                      : *site->requeues
                          ? "allowed, and the default"
                          : "for jobs that ask for it, as those of submit do; if it never happens: --chain",
                      ""});
  return findings;
}

void DoctorOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("run", &run, "DIR", "a directory where runs will be: is it shared and writable?");
  o.add("threads", within(&threads, 0, kMaxThreads), "N",
        "threads per rank that a job would use (0: what Slurm allots to a task)");
  o.add("write-site", &write_site, "FILE", "a site file for submit, of what Slurm says here (new: none is replaced)");
  o.add("json", &json, "", "findings as JSON");
  o.add("dry-run", &dry_run, "", "write no files: neither into --run nor --write-site");
}

namespace {

/// Tasks that do not know of each other would all say the same.
bool is_first_task(const Communicator& world) {
  if (world.size() > 1) return world.rank() == 0;
  constexpr std::array kRanks = {"SLURM_PROCID", "PMI_RANK", "PALS_RANKID"};
  return std::ranges::all_of(kRanks, [](const char* rank) { return variable_as_int(rank) == 0; });
}

void look_at_site(const DoctorOptions& options, std::vector<Finding>& findings) {
  const std::optional<SlurmSite> site = survey_slurm();
  for (Finding& finding : describe_site(site)) findings.push_back(std::move(finding));
  if (options.write_site.empty()) return;
  if (!site || !site->problem.empty())
    fail(ExitCode::environment, "doctor: --write-site: expected Slurm to answer, found {}",
         site ? site->problem : "no sinfo in PATH");
  if (options.dry_run) return;
  if (!write_file_once(options.write_site, site_file(*site)))
    fail(ExitCode::output, "doctor: --write-site: expected a new file, found that {} exists", options.write_site);
  findings.push_back({Finding::ok, "site file", options.write_site + " is written: read it before you use it", ""});
}

void print(const std::vector<Finding>& findings, bool as_json) {
  constexpr std::array kLevels = {"ok", "unknown", "warning", "FAULT"};
  Json json = Json::array();
  for (const Finding& f : findings) {
    json.push_back({{"level", kLevels[f.level]}, {"subject", f.subject}, {"finding", f.text}, {"advice", f.advice}});
    if (as_json) continue;
    std::cout << fmt::format("{:<8} {:<17} {}\n", kLevels[f.level], f.subject, f.text);
    if (!f.advice.empty()) std::cout << fmt::format("{:<8} {:<17} -> {}\n", "", "", f.advice);
  }
  if (as_json) std::cout << to_text(json, 2) << '\n';
  std::cout << std::flush;
}

}  // namespace

int run_doctor(Runtime& runtime, std::span<const std::string> args) {
  DoctorOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "doctor", args)) return 0;
  Communicator& world = runtime.world;
  std::vector<Json> ranks;
  for (const std::string& text : world.all_gather_strings(to_text(examine_rank(world, options))))
    ranks.push_back(parse_json(text, "facts"));
  std::vector<Finding> findings = diagnose(ranks);
  const bool alone = world.size() == 1 && launcher_claim().num_ranks == 1;
  if (!alone && !options.write_site.empty())
    throw CollectiveError(ExitCode::usage, "doctor: --write-site: expected one process, on a login node");
  if (alone) look_at_site(options, findings);
  const bool faulty = std::ranges::any_of(findings, [](const Finding& f) { return f.level == Finding::fault; });
  if (is_first_task(world)) print(findings, options.json);
  return static_cast<int>(faulty ? ExitCode::environment : ExitCode::complete);
}

}  // namespace switchyard
