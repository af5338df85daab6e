#include <array>
#include <set>

#include "jobs/import_options.h"
#include "jobs/inspect.h"
#include "jobs/job.h"
#include "jobs/score/options.h"
#include "jobs/verify.h"

namespace switchyard {
namespace {

template <class Options>
void describe(OptionSet& set) {
  // Names are all that is wanted here; the targets only have to outlive the call.
  static Options options;
  options.describe(set);
}

constexpr std::array<JobEntry, 4> kJobs = {{
    {"inspect", "what a model is, and the memory it takes per rank", false, run_inspect, describe<InspectOptions>},
    {"import", "text, JSON Lines or token arrays to a scoring input", false, run_import, describe<ImportCommand>},
    {"score", "log-probabilities of every record of an input", true, run_score, describe<ScoreOptions>},
    {"verify", "prove a finished run: every record once, the same bits again", false, run_verify,
     describe<VerifyOptions>},
}};

}  // namespace

std::span<const JobEntry> jobs() {
  return kJobs;
}

bool parse_job_options(OptionSet& set, std::string_view job, std::span<const std::string> args) {
  std::set<std::string> names;
  for (const JobEntry& entry : kJobs) {
    OptionSet other;
    entry.describe(other);
    for (const auto& option : other.options()) names.insert(option.name);
  }
  return parse_options(set, job, args, names);
}

}  // namespace switchyard
