#include "jobs/verify.h"

#include "jobs/options/limits.h"
#include "jobs/options/option_groups.h"
#include "run/run_directory.h"

namespace switchyard {

void VerifyOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("run", &run, "RUN", "directory of a finished scoring run, or of a training run");
  o.positional("run");
  o.require("run");
  o.add("model", &model, "DIR", "where the model is now (default: as recorded)");
  o.add("delta", &delta, "FILE ...", "where its deltas are now (default: as recorded)");
  o.add("threads", within(&threads, 0, kMaxThreads), "N", "threads (0: all cores)");
  o.add("dry-run", &dry_run, "", "say what would be checked and read nothing but the manifest");

  o.group("Of a scoring run");
  o.add("rescore", within(&rescore, 0, INT64_MAX), "N",
        "score N random records, or documents with all their pieces, again, in other batches, and compare bits");
  o.add("seed", within(&seed, INT64_MIN, INT64_MAX), "N", "chooses those records");
  o.add("input", &input, "FILE", "where the input is now (default: as recorded)");

  o.group("Of a training run");
  o.add("replay", within(&replay, 1, INT64_MAX), "K",
        "take K steps again, and compare losses, norms and, where they are stored, weights and moments, bit by bit");
  o.add("from", within(&from, -1, INT64_MAX), "STEP",
        "from the checkpoint after this step, 0: from the start (-1: from the newest that K recorded steps follow)");
}

int run_verify(Runtime& runtime, std::span<const std::string> args) {
  VerifyOptions options;
  OptionSet set;
  options.describe(set);
  if (!parse_job_options(runtime, set, "verify", args)) return 0;
  const auto refuse = [&](std::initializer_list<const char*> others, std::string_view kind) {
    for (const char* option : others)
      if (set.is_on_command_line(option))
        fail(ExitCode::usage, "{}: --{} is not for a {} run", options.run, option, kind);
  };
  const RunDirectory run(options.run);
  if (!run.has_manifest())
    fail(ExitCode::input, "{}: is missing; expected the directory of a run", run.manifest_path().native());
  const std::string job = recorded_job(run.read_manifest());
  if (job == "train") {
    refuse({"rescore", "seed", "input"}, "training");
    return verify_steps(runtime, options);
  }
  if (job == "fisher")
    fail(
        ExitCode::usage,
        "{}: expected a scoring run or a training run, found a Fisher run: the same command with another --run, on any "
        "ranks, makes the same fisher.h5, byte by byte",
        options.run);
  if (job == "sweep" || job == "scale")
    fail(ExitCode::usage, "{}: expected a scoring run or a training run, found a {}; its points' runs are below it",
         options.run, job == "sweep" ? "sweep" : "scaling study");
  refuse({"replay", "from"}, "scoring");
  return verify_scores(runtime, options);
}

}  // namespace switchyard
