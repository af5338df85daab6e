#include <set>

#include "jobs/collect.h"
#include "jobs/delta/options.h"
#include "jobs/fisher/batch_job.h"
#include "jobs/fisher/options.h"
#include "jobs/import/import_options.h"
#include "jobs/import/tokenize.h"
#include "jobs/inspect.h"
#include "jobs/job.h"
#include "jobs/plan/calibrate.h"
#include "jobs/plan/plan_job.h"
#include "jobs/scale/scale_job.h"
#include "jobs/score/batch_job.h"
#include "jobs/score/options.h"
#include "jobs/slurm/doctor.h"
#include "jobs/slurm/settle.h"
#include "jobs/slurm/status.h"
#include "jobs/slurm/submit.h"
#include "jobs/sweep/sweep.h"
#include "jobs/train/batch_job.h"
#include "jobs/train/options.h"
#include "jobs/verify.h"

namespace switchyard {
namespace {

constexpr JobEntry kJobs[] = {
    {"inspect", "what a model is, and the memory it takes per rank", Ranks::one, run_inspect,
     describe_options<InspectOptions>},
    {"import", "text, JSON Lines or token arrays to a scoring input", Ranks::one, run_import,
     describe_options<ImportCommand>},
    {"tokenize", "a text's token ids and pieces, and back; counts a corpus", Ranks::one, run_tokenize,
     describe_options<TokenizeOptions>},
    {"score", "log-probabilities of every record of an input", Ranks::any, run_score, describe_options<ScoreOptions>,
     &kScoreBatchJob},
    {"train", "train or fine-tune a model: the same weights on any number of ranks", Ranks::any, run_train,
     describe_options<TrainOptions>, &kTrainBatchJob},
    {"fisher", "how much each parameter matters: Fisher information of a model on some data", Ranks::any, run_fisher,
     describe_options<FisherOptions>, &kFisherBatchJob},
    {"delta", "what a training run has changed as a file: cut, info, apply, revert, diff", Ranks::one, run_delta,
     describe_options<DeltaOptions>},
    {"sweep", "many training runs over lists of options, as one: here, or as a job array", Ranks::one, run_sweep,
     describe_options<SweepOptions>},
    {"scale", "a job measured at several sizes: time, efficiency, and what holds it back", Ranks::one, run_scale,
     describe_options<ScaleOptions>},
    {"calibrate", "what this machine can do, for plan: minutes, no model", Ranks::any, run_calibrate,
     describe_options<CalibrateOptions>},
    {"plan", "what a job will take on how many nodes, from a profile: time, memory, costs", Ranks::one, run_plan,
     describe_options<PlanOptions>},
    {"collect", "what the points of a sweep or a scaling study have come to: a table, and a page for people",
     Ranks::one, run_collect, describe_options<CollectOptions>},
    {"verify", "prove a finished run: every record once, the same bits again", Ranks::any, run_verify,
     describe_options<VerifyOptions>},
    {"submit", "hand a job to Slurm, with a batch script that resumes it", Ranks::one, run_submit,
     describe_options<SubmitOptions>},
    {"status", "where runs stand: progress, rate, what Slurm says", Ranks::one, run_status,
     describe_options<StatusOptions>},
    {"settle", "for batch scripts: mend an ended attempt's state, requeue or stop", Ranks::one, run_settle,
     describe_options<SettleOptions>},
    {"doctor", "find what is wrong with a cluster before a job does", Ranks::doubted, run_doctor,
     describe_options<DoctorOptions>},
};

}  // namespace

std::span<const JobEntry> jobs() {
  return kJobs;
}

bool parse_job_options(const Runtime& runtime, OptionSet& set, std::string_view job,
                       std::span<const std::string> args) {
  std::set<std::string> names;
  for (const JobEntry& entry : runtime.jobs) {
    OptionSet other;
    entry.describe(other);
    for (const auto& option : other.options()) names.insert(option.name);
  }
  return parse_options(set, job, args, names);
}

std::optional<std::string> JobArguments::value_of(const std::string& option) const {
  const std::vector<std::string> all = values_of(option);
  return all.empty() ? std::nullopt : std::optional(all.front());
}

std::vector<std::string> JobArguments::values_of(const std::string& option) const {
  const auto found = values.find(option);
  return found == values.end() ? std::vector<std::string>() : found->second;
}

}  // namespace switchyard
