#include "jobs/slurm/batch_script.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/version.h"
#include "jobs/slurm/sbatch_options.h"

namespace switchyard {
namespace {

std::string single_quoted(std::string_view text) {
  std::string word = "'";
  for (const char c : text) word += c == '\'' ? "'\\''" : std::string(1, c);
  return word + "'";
}

/// A word of an array's script, in which %a becomes the task's index.
std::string indexed_word(const BatchScript& script, const std::string& text) {
  if (script.array.empty()) return shell_word(text);
  std::string word;
  size_t begin = 0;
  for (size_t at = text.find(kArrayIndex); at != std::string::npos; at = text.find(kArrayIndex, begin)) {
    if (at > begin) word += shell_word(text.substr(begin, at - begin));
    word += "\"$index\"";
    begin = at + kArrayIndex.size();
  }
  if (begin < text.size() || word.empty()) word += shell_word(text.substr(begin));
  return word;
}

std::string directives(const BatchScript& s) {
  std::string text =
      fmt::format("#SBATCH --job-name={}\n#SBATCH --chdir={}\n#SBATCH --output={}\n", sbatch_word(s.name),
                  sbatch_word(s.directory), s.opens_log ? "/dev/null" : sbatch_word(s.log));
  text += "#SBATCH --open-mode=append\n";
  text += s.chained ? "#SBATCH --no-requeue\n" : "#SBATCH --requeue\n";
  text += fmt::format("#SBATCH --signal=USR1@{}\n", s.signal_seconds);
  if (!s.array.empty()) text += fmt::format("#SBATCH --array={}\n", s.array);
  for (const std::string& option : s.sbatch_options) text += fmt::format("#SBATCH {}\n", option);
  return text;
}

/// The words behind the program's name.
std::string words_of(const BatchScript& s, const std::string& job, const std::vector<std::string>& arguments) {
  std::string text = job;
  for (const std::string& argument : arguments)
    text += (argument.starts_with("--") ? " \\\n  " : " ") + indexed_word(s, argument);
  return text;
}

std::string command(const BatchScript& s) {
  return fmt::format("command=(\"$switchyard\" {})\n", words_of(s, s.job, s.arguments));
}

/// Large arrays are submitted in parts, each from 0.
std::string index(const BatchScript& s) {
  if (s.array.empty()) return {};
  if (s.first_index == 0) return "index=$SLURM_ARRAY_TASK_ID\n";
  return fmt::format("index=$((SLURM_ARRAY_TASK_ID + {}))\n", s.first_index);
}

std::string variables(const BatchScript& s) {
  return fmt::format("switchyard={}\n{}run={}\n", shell_word(s.program), index(s), indexed_word(s, s.run)) +
         R"sh(attempt=$run/attempts/$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}
# A number alone would mean all tasks of an array.
id=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
)sh";
}

bool sets_up(const BatchScript& s) {
  return !s.modules.empty() || !s.setup.empty();
}

/// How the script ends where no rank can say why.
std::string give_up(const BatchScript& s) {
  if (!sets_up(s) && s.mark.empty()) return {};
  return R"sh(
host=${SLURMD_NODENAME:-$HOSTNAME}  # HOSTNAME may be the submitting shell's
# Ends the job with a message that `switchyard status` shows.
# shellcheck disable=SC2317
give_up() {
  trap - ERR EXIT
  echo "error: $1" >&2
  printf '%(%H:%M:%S)T [batch script %s] error: %s\n' -1 "$host" "${1//$'\n'/; }" >>"$attempt/stderr.log"
  "$switchyard" settle "$run" --rc 69 >/dev/null
  exit 69
}
)sh";
}

/// A run directory on a disk of the host's own is another one on every host. What is written there would be lost, so
/// that here the message goes to whatever the host that submitted may see. A file system may show a new file late.
std::string check_batch_host(const BatchScript& s) {
  if (s.mark.empty()) return {};
  return fmt::format("mark=$run/attempts/{}\n", shell_word(s.mark)) +
         R"sh(for _ in {1..10}; do [ -e "$mark" ] && break; sleep 1; done
if [ ! -e "$mark" ]; then
  text="$host does not see the run directory $run as the host that submitted does: is it on a file system that all nodes mount?"
  echo "error: $text" >&2
  scontrol update "JobId=$SLURM_JOB_ID" "Comment=switchyard: $text"
  echo "error: $text" >>"${SLURM_SUBMIT_DIR:-.}/slurm-$id.out"
  exit 69
fi
)sh" + (s.opens_log ? "exec >>\"$run/attempts/$id.log\" 2>&1\n" : "");
}

std::string check_nodes(const BatchScript& s) {
  if (s.mark.empty()) return {};
  return R"sh(
if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
  # shellcheck disable=SC2016
  look='for _ in {1..10}; do [ -e "$1" ] && exit; sleep 1; done; echo "blind: ${SLURMD_NODENAME:-$HOSTNAME}"'
  if seen=$(srun --mpi=none --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 \
    bash -c "$look" look "$mark"); then
    blind=$(sed -n 's/^blind: //p' <<<"$seen" | sort | xargs)
    if [ -n "$blind" ]; then
      give_up "$blind: expected to see the run directory $run as $host does; is it on a file system that all nodes mount?"
    fi
  else
    echo "whether all nodes see the run directory is unknown: srun could not ask them" >&2
  fi
fi
)sh";
}

/// What was said to set up: before anything that the script itself relies on.
std::string setup(const BatchScript& s) {
  if (!sets_up(s)) return {};
  // Whatever /etc/profile and the files that a line reads do inside is their own business; how they end counts.
  std::string text;
  if (!s.modules.empty()) text += kModules;
  text += R"sh(
# A line that fails (as under set -e) ends the job.
# shellcheck disable=SC2317
set_up_failed() {
  [ "$2" -eq 1 ] || return 0  # inside of a file that a line reads
  exec 2>&3
  local text
  text=$(<"$attempt/setup.log")
  give_up "set-up failed with exit code $1: $doing${text:+: $text}"
}
exec 3>&2 2>"$attempt/setup.log"
trap 'set_up_failed $? "${#BASH_SOURCE[@]}"' ERR
trap 'rc=$?; [ "$rc" -gt 128 ] || set_up_failed "$rc" 1' EXIT  # above: Slurm ends the job
start=$PWD
)sh";
  if (!s.modules.empty())
    text += R"sh(# An environment-modules of old returns 0 whatever happens: then what it says tells.
is_loaded() {
  case ":${LOADEDMODULES:-}:" in *":$1:"* | *":$1/"*) return 0 ;; esac
  [ "${LOADEDMODULES:-}" != "$loaded" ] || [ "$(<"$attempt/setup.log")" = "$said" ]
}
)sh";
  const auto doing = [](const std::string& line) { return fmt::format("doing={}\n", shell_word(line)); };
  for (const std::string& module : s.modules) {
    const std::string load = "module load " + shell_word(module);
    text += doing(load) + "loaded=${LOADEDMODULES:-} said=$(<\"$attempt/setup.log\")\n";
    text += fmt::format("{}\nis_loaded {}\n", load, shell_word(module));
  }
  for (const std::string& line : s.setup) text += doing(line) + line + '\n';
  return text + R"sh(trap - ERR EXIT
cd "$start" || exit 69
exec 2>&3 3>&-
if [ -s "$attempt/setup.log" ]; then echo "$(<"$attempt/setup.log")" >&2; fi
)sh";
}

/// The ranks get what the script has, though the job may have got nothing.
std::string environment(const BatchScript& s) {
  std::string text =
      "\n# The ranks get what this script has, though the job may have got nothing (sbatch --export=NONE).\n";
  text += "export SLURM_EXPORT_ENV=ALL\n";
  text += "unset \"${!SWITCHYARD_@}\"  # submit has read them: what they said is in the command\n";
  if (!s.slurm_path.empty())
    text += fmt::format("export PATH=${{PATH:-/usr/local/bin:/usr/bin:/bin}}:{}\n", shell_word(s.slurm_path));
  return text;
}

constexpr std::string_view kPlainAnswers = R"sh(# Whatever the user sees Slurm's answers in: here they are read.
unset "${!SQUEUE_@}" "${!SCONTROL_@}" SLURM_CLUSTERS
export SLURM_TIME_FORMAT=standard
)sh";

constexpr std::string_view kSuccessor = R"sh(
# A successor: $1 is its predecessor's id. A cancelled job stays cancelled, and what is over is over.
if [ -n "${1:-}" ] && scontrol show job "$1" | grep -q JobState=CANCELLED; then exit 0; fi
if [ -n "${1:-}" ] && [ -e "$run/state.json" ] && [ "$("$switchyard" settle "$run")" = stop ]; then exit 0; fi
)sh";

constexpr std::string_view kSlurmsWords = R"sh(
set -u
# Slurm before 23.02 does not tell the job's end, and its srun does not take sbatch's --cpus-per-task.
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
  end=$(squeue -h -j "$id" -o %e)  # NONE: no limit; or no answer
  if [ -n "$end" ] && [ "$end" != NONE ]; then SLURM_JOB_END_TIME=$(date -d "$end" +%s) && export SLURM_JOB_END_TIME; fi
fi
if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK; fi

)sh";

std::string start_ranks(const BatchScript& s) {
  return fmt::format(R"sh(
rc=0
srun{} --kill-on-bad-exit=1 --output="${{attempt//%/%%}}/stdout.log" --error="${{attempt//%/%%}}/stderr.log"{} \
  "${{command[@]}}" || rc=$?
)sh",
                     s.mpi.empty() ? "" : " --mpi=" + shell_word(s.mpi),
                     s.srun_flags.empty() ? "" : " " + s.srun_flags);
}

/// Runs one after the other: each that is complete, with too many rejects or without, is followed by the next.
std::string following_runs(const BatchScript& s) {
  std::string text;
  for (const BatchRun& next : s.then)
    text += fmt::format(R"sh(if [ "$rc" -eq 0 ] || [ "$rc" -eq 65 ]; then
  run={}
  attempt=$run/attempts/$SLURM_JOB_ID.${{SLURM_RESTART_COUNT:-0}}
  mkdir -p "$attempt" || exit 73
  command=("$switchyard" {})
  work
fi
)sh",
                        indexed_word(s, next.run), words_of(s, next.job, next.arguments));
  return text;
}

std::string settle(const BatchScript& s) {
  std::string text = R"sh(
# The run directory knows how it ended, whatever srun returns; settle mends its state and decides.
decision=$("$switchyard" settle "$run" --rc "$rc")
)sh";
  if (s.chained) {
    text += "if [ \"$decision\" = requeue ] && [ \"$rc\" -eq 0 ]; then rc=75; fi  # or no successor would start\n";
  } else {
    text += R"sh(if [ "$decision" = requeue ]; then
  scontrol requeue incomplete "$id"
  sleep 60  # Slurm ends this script
fi
)sh";
  }
  return text;
}

/// The run, or several.
std::string work(const BatchScript& s) {
  if (s.then.empty()) return command(s) + start_ranks(s) + settle(s);
  return "# Runs `command` in `run`.\nwork() {" + start_ranks(s) + settle(s) + "}\n\n" + command(s) + "work\n" +
         following_runs(s);
}

}  // namespace

std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+@%-";
  return !text.empty() && text.find_first_not_of(kPlain) == std::string::npos ? text : single_quoted(text);
}

bool are_shell_words(std::string_view text) {
  char quote = '\0';
  bool begins_word = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'') {
      if (++i == text.size()) return false;
    } else if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (std::string_view(";&|<>()`\n").find(c) != std::string_view::npos || (c == '#' && begins_word)) {
      return false;
    }
    begins_word = c == ' ' || c == '\t';
  }
  return quote == '\0';
}

std::string render(const BatchScript& s) {
  std::string text = fmt::format(
      "#!/bin/bash\n# Written by switchyard {} submit; `sbatch` this file to submit it again.\n", SWITCHYARD_VERSION);
  text += directives(s);
  text += variables(s);
  text += give_up(s);
  text += environment(s);
  text += check_batch_host(s);
  text += "mkdir -p \"$attempt\" || exit 73\n";
  text += setup(s);
  text += kPlainAnswers;
  if (s.chained) text += kSuccessor;
  text += check_nodes(s);
  text += kSlurmsWords;
  text += work(s);
  return text + "exit \"$rc\"\n";
}

}  // namespace switchyard
