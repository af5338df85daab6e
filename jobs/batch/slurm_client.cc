#include "jobs/batch/slurm_client.h"

#include <cstdlib>
#include <map>
#include <sstream>

#include "base/error.h"
#include "io/command.h"

namespace switchyard {
namespace {

std::string trimmed(const std::string& text) {
  const size_t end = text.find_last_not_of(" \n");
  return end == std::string::npos ? std::string() : text.substr(0, end + 1);
}

}  // namespace

std::string sbatch(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {"sbatch", "--parsable"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  // What a surrounding job left there is not meant for this one; where Slurm's configuration is, is.
  auto environment = environment_without({"SLURM_", "SBATCH_", "SRUN_", "PMIX_", "PMI_", "OMPI_"});
  if (const char* configuration = std::getenv("SLURM_CONF")) environment["SLURM_CONF"] = configuration;
  const auto result = run_command(argv, environment);
  if (!result) fail(ExitCode::environment, "sbatch: no such program in PATH; is Slurm installed on this host?");
  if (result->exit_code != 0)
    fail(ExitCode::environment, "sbatch refused the job (exit code {}): {}", result->exit_code, trimmed(result->err));
  const std::string id = trimmed(result->out.substr(0, result->out.find(';')));  // "17;cluster"
  if (id.empty()) fail(ExitCode::environment, "sbatch --parsable: expected a job id, got nothing");
  return id;
}

std::vector<SlurmJob> parse_jobs(const std::string& text) {
  std::vector<SlurmJob> jobs;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::map<std::string, std::string> fields;
    std::istringstream words(line);
    for (std::string word; words >> word;)
      if (const size_t equals = word.find('='); equals != std::string::npos)
        fields.emplace(word.substr(0, equals), word.substr(equals + 1));
    if (!fields.contains("JobId") || !fields.contains("JobState")) continue;
    SlurmJob job;
    job.id = fields["JobId"];
    if (fields.contains("ArrayTaskId")) job.id = fields["ArrayJobId"] + "_" + fields["ArrayTaskId"];
    job.state = fields["JobState"];
    job.reason = fields["Reason"];
    job.nodes = fields["NodeList"];
    job.time_limit = fields["TimeLimit"];
    job.run_time = fields["RunTime"];
    job.start_time = fields["StartTime"];
    job.restarts = std::atoi(fields["Restarts"].c_str());
    jobs.push_back(std::move(job));
  }
  return jobs;
}

bool slurm_answers() {
  const auto result = run_command({"scontrol", "ping"});
  return result && result->exit_code == 0;
}

std::vector<SlurmJob> find_jobs(const std::string& id) {
  const auto result = run_command({"scontrol", "show", "job", id, "--oneliner"});
  if (!result || result->exit_code != 0) return {};
  return parse_jobs(result->out);
}

}  // namespace switchyard
