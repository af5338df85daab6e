#include "tests/slurm/cluster.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace switchyard::test {
namespace {

// Tests that run side by side have a cluster each.
std::map<std::string, std::string> environment() {
  return {{"TESTCLUSTER_STATE", SWITCHYARD_TESTCLUSTER_STATE "-" + test_part()}};
}

/// VARIABLE=value of another process; empty if it has none, or is gone.
std::string variable_of(int pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/environ", std::ios::binary);
  for (std::string entry; std::getline(file, entry, '\0');)
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
  return {};
}

std::string program_of(int pid) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", error).filename();
}

}  // namespace

Cluster::Cluster() {
  const ProcessResult up = control({"up", "--nodes", "4", "--cpus", "4"});
  if (up.exit_code != 0) {
    problem_ = up.err;
    if (up.exit_code != 69) throw std::runtime_error("testcluster up: " + up.err);
    return;
  }
  has_namespaces_ = control({"exec", "--node", "n1", "--", "hostname"}).out == "n1\n";
}

Cluster::~Cluster() {
  control({"down"});
}

ProcessResult Cluster::control(const Words& command) const {
  Words argv = {SWITCHYARD_TESTCLUSTER_PROGRAM};
  argv.insert(argv.end(), command.begin(), command.end());
  return run(argv, environment());
}

ProcessResult Cluster::exec(const Words& command, const std::string& node) const {
  Words argv = {"exec"};
  if (!node.empty()) argv.insert(argv.end(), {"--node", node});
  argv.push_back("--");
  argv.insert(argv.end(), command.begin(), command.end());
  return control(argv);
}

std::string Cluster::output_of(const Words& command) const {
  ProcessResult result = exec(command);
  if (result.exit_code != 0)
    throw std::runtime_error(command.front() + " ended with " + std::to_string(result.exit_code) + ": " + result.err);
  while (result.out.ends_with('\n')) result.out.pop_back();
  return result.out;
}

std::string Cluster::job_field(const std::string& job, const std::string& field) const {
  std::istringstream words(exec({"scontrol", "show", "job", job, "--oneliner"}).out);
  for (std::string word; words >> word;)
    if (word.starts_with(field + "=")) return word.substr(field.size() + 1);
  return {};
}

std::vector<int> Cluster::rank_pids(const std::string& job, int ranks) const {
  std::vector<int> pids(static_cast<size_t>(ranks), 0);
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const int pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0 || program_of(pid) != "switchyard" || variable_of(pid, "SLURM_JOB_ID") != job) continue;
    // Another test's cluster counts its jobs from 1 as well.
    if (variable_of(pid, "TESTCLUSTER_MEMBER") != environment().at("TESTCLUSTER_STATE")) continue;
    const std::string rank = variable_of(pid, "PMIX_RANK");
    if (!rank.empty()) pids.at(static_cast<size_t>(std::stoi(rank))) = pid;
  }
  return pids;
}

std::string ClusterRun::submit(const Words& score_options, const Words& sbatch_options) const {
  Words words = {"score", "--model", SWITCHYARD_DEMO_MODEL};
  words.insert(words.end(), score_options.begin(), score_options.end());
  return submit_job(words, sbatch_options);
}

std::string ClusterRun::submit_job(const Words& job_and_options, const Words& sbatch_options) const {
  Words command = {SWITCHYARD_PROGRAM, "submit"};
  command.insert(command.end(), job_and_options.begin(), job_and_options.end());
  command.insert(command.end(), {"--run", path_.native(), "--"});
  command.insert(command.end(), sbatch_options.begin(), sbatch_options.end());
  const std::string ids = cluster_.output_of(command);
  return ids.substr(0, ids.find('\n'));
}

Json ClusterRun::status() const {
  const std::string text = cluster_.output_of({SWITCHYARD_PROGRAM, "status", "--json", path_.native()});
  return parse_json(text, "status").at(0);
}

int ClusterRun::shards() const {
  std::error_code error;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path_ / "shards", error))
    count += entry.path().extension() == ".h5" ? 1 : 0;
  return count;
}

std::string ClusterRun::file(const std::string& name) const {
  std::ostringstream text;
  text << std::ifstream(path_ / name).rdbuf();
  return text.str();
}

std::string test_part() {
  std::string part = GTEST_FLAG_GET(filter);
  std::erase_if(part, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return part.substr(part.size() - std::min<size_t>(part.size(), 24));  // Slurm's sockets want short paths
}

bool within(std::chrono::seconds timeout, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return true;
}

}  // namespace switchyard::test
