#include "jobs/slurm/slurm_client.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <regex>
#include <sstream>

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "io/command.h"
#include "io/json.h"
#include "jobs/slurm/array_indices.h"

namespace switchyard {
namespace {

std::optional<CommandResult> scontrol(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "scontrol");
  return run_command(arguments, client_environment());
}

/// What Slurm calls by rarer names, as one of the states that all know.
void simplify(SlurmJob& job) {
  constexpr std::array kWaiting = {"REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"};
  constexpr std::array kAtWork = {"SIGNALING", "STAGE_OUT", "STOPPED", "RESIZING"};
  const bool will_come_again = job.state == "COMPLETING" && job.restarts > 0 && job.end_time == "Unknown";
  if (will_come_again || std::ranges::find(kWaiting, job.state) != kWaiting.end()) job.state = "PENDING";
  if (std::ranges::find(kAtWork, job.state) != kAtWork.end()) job.state = "RUNNING";
}

}  // namespace

std::string parse_job_id(const std::string& output) {
  const std::string_view text = trimmed(output);
  const std::string line(trimmed(text.substr(text.rfind('\n') + 1)));
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
  if (!result) throw SbatchRefusal("sbatch: no such program in PATH; is Slurm installed on this host?");
  if (result->exit_code == 0) return parse_job_id(result->out);
  const std::string_view said = trimmed(result->err.empty() ? result->out : result->err);
  // The controller may have taken the job and been too slow to say so.
  const bool was_killed = result->exit_code > 128 && result->exit_code < 255;  // 255: sbatch's own
  if (was_killed || said.find("timed out") != std::string::npos)
    fail(ExitCode::environment, "sbatch ended with exit code {}: {}; whether a job was queued, squeue tells",
         result->exit_code, said);
  throw SbatchRefusal(fmt::format("sbatch refused the job (exit code {}): {}", result->exit_code, said));
}

int64_t count_gpus(const std::string& generic_resources) {
  static const std::regex kGpus(R"((?:^|,)gpu:(?:[^,:(]+:)?([0-9]{1,6}))");
  int64_t count = 0;
  for (std::sregex_iterator m(generic_resources.begin(), generic_resources.end(), kGpus), end; m != end; ++m)
    count += std::stoll((*m)[1]);
  return count;
}

std::optional<int64_t> slurm_setting(const std::string& name) {
  const auto result = scontrol({"show", "config"});
  std::smatch m;
  const bool known = result && result->exit_code == 0 &&
                     std::regex_search(result->out, m, std::regex("\\b" + name + " *= *([0-9]{1,18})"));
  return known ? std::optional<int64_t>(std::stoll(m[1])) : std::nullopt;
}

int64_t max_array_size() {
  return slurm_setting("MaxArraySize").value_or(kLargestArraySize);
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
    job.restarts = std::atoi(fields["Restarts"].c_str());
    const std::string& ended = fields["ExitCode"];  // "78:0"
    job.exit_code = std::atoi(ended.c_str());
    if (const size_t colon = ended.find(':'); colon != std::string::npos) job.signal = std::atoi(&ended[colon + 1]);
    static const std::regex kComment(" Comment=switchyard: (.*?) [A-Z][A-Za-z]*=");  // the one value with blanks
    if (std::smatch m; std::regex_search(line, m, kComment)) job.comment = trimmed(m[1].str());
    job.num_nodes = std::atoll(fields["NumNodes"].c_str());
    simplify(job);
    jobs.push_back(std::move(job));
  }
  return jobs;
}

std::vector<PartitionNode> parse_nodes(const std::string& text) {
  // PARTITION*|CORES|GRES|LIMIT|STATE
  static const std::regex kLine(R"(([^|*]+)(\*?)\|([0-9]{1,9})\+?\|([^|]*)\|([^|]*)\|([^|]*))");
  std::vector<PartitionNode> nodes;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch m;
    const std::string row(trimmed(line));
    if (!std::regex_match(row, m, kLine)) continue;
    nodes.push_back({m[1], m[2].length() > 0, std::stoll(m[3]), count_gpus(m[4]), m[5], m[6]});
  }
  return nodes;
}

std::vector<PartitionNode> partition_nodes() {
  // sinfo takes no --partition together with --all, without which it keeps hidden partitions to itself.
  const auto result =
      run_command({"sinfo", "--noheader", "--all", "--Node", "--format=%P|%c|%G|%l|%T"}, client_environment());
  if (!result) return {};
  if (result->exit_code != 0) {
    log::warning("sinfo ended with exit code {}: {}; whether the partition can run the job is unknown",
                 result->exit_code, trimmed(result->err));
    return {};
  }
  return parse_nodes(result->out);
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
