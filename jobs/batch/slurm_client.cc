#include "jobs/batch/slurm_client.h"

#include <cstdlib>
#include <map>
#include <regex>
#include <sstream>

#include "base/error.h"
#include "io/command.h"
#include "io/json.h"
#include "jobs/batch/array_indices.h"

namespace switchyard {
namespace {

constexpr const char* kBlanks = " \t\r\n";

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(kBlanks), end = text.find_last_not_of(kBlanks);
  return begin == std::string::npos ? std::string() : text.substr(begin, end + 1 - begin);
}

std::optional<CommandResult> scontrol(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "scontrol");
  return run_command(arguments, client_environment());
}

}  // namespace

std::string parse_job_id(const std::string& output) {
  const std::string text = trimmed(output), line = trimmed(text.substr(text.rfind('\n') + 1));
  // "17;cluster"; a wrapper of sbatch may have left --parsable out.
  static const std::regex kId("(?:Submitted batch job )?([0-9]{1,18})(?:;.*| on cluster .*)?");
  std::smatch m;
  if (line.size() > 1024 || !std::regex_match(line, m, kId))
    fail(ExitCode::environment,
         "sbatch --parsable: expected a job's id in the last line, found {}; whether a job was queued, squeue tells",
         brief(Json(line)));
  return m[1];
}

std::string sbatch(const std::vector<std::string>& arguments, const Environment& environment) {
  std::vector<std::string> argv = {"sbatch", "--parsable"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const auto result = run_command(argv, environment);
  if (!result) fail(ExitCode::environment, "sbatch: no such program in PATH; is Slurm installed on this host?");
  if (result->exit_code != 0)
    fail(ExitCode::environment, "sbatch refused the job (exit code {}): {}", result->exit_code, trimmed(result->err));
  return parse_job_id(result->out);
}

int64_t max_array_size() {
  const auto result = scontrol({"show", "config"});
  std::smatch m;
  const bool known = result && result->exit_code == 0 &&
                     std::regex_search(result->out, m, std::regex("MaxArraySize *= *([0-9]{1,18})"));
  return known ? std::stoll(m[1]) : kLargestArraySize;
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
    job.id = job.number = fields["JobId"];
    if (fields.contains("ArrayTaskId")) job.id = fields["ArrayJobId"] + "_" + fields["ArrayTaskId"];
    job.state = fields["JobState"];
    job.reason = fields["Reason"];
    job.nodes = fields["NodeList"];
    job.time_limit = fields["TimeLimit"];
    job.run_time = fields["RunTime"];
    job.start_time = fields["StartTime"];
    job.end_time = fields["EndTime"];
    job.preempt_time = fields["PreemptTime"];
    job.exit_code = fields["ExitCode"];
    job.restarts = std::atoi(fields["Restarts"].c_str());
    job.num_nodes = std::atoll(fields["NumNodes"].c_str());
    jobs.push_back(std::move(job));
  }
  return jobs;
}

bool slurm_answers() {
  const auto result = scontrol({"ping"});
  return result && result->exit_code == 0;
}

std::vector<SlurmJob> find_jobs(const std::string& id) {
  const auto result = scontrol({"show", "job", id, "--oneliner"});
  if (!result || result->exit_code != 0) return {};
  return parse_jobs(result->out);
}

}  // namespace switchyard
