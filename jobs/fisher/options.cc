#include "jobs/fisher/options.h"

#include "jobs/options/limits.h"
#include "train/parameters/step_slices.h"

namespace switchyard {

void FisherOptions::describe(OptionSet& o) {
  o.group("What");
  ModelOptions::describe(o);
  RunOptions::describe_directory(o);
  o.add("labels", &labels, "sampled|empirical|exact",
        "whose log-probability's gradient is squared: labels drawn from the model's own softmax, the data's, or every "
        "class at every position, weighed by its probability");
  o.add("draws", within(&draws, 1, kMaxSteps), "N", "labels drawn for each record, a pass each (sampled)");
  o.add("seed", within(&seed, 0, INT64_MAX), "N", "of what is drawn, and of which records are taken");
  o.add("exact-limit", within(&exact_limit, 1, INT64_MAX), "N",
        "tokens that exact labels may take through the model: each position's prefix once for every class");

  o.group("Data");
  o.add("data", &data, "FILE ...",
        "text (.jsonl, .txt, .csv, .tsv, also .gz; -: standard input), imported into the run first; or scoring inputs "
        "(HDF5, see `switchyard import`). A record's context is given, what follows has labels");
  o.require("data");
  o.add("max-records", within(&max_records, 0, INT64_MAX), "N", "records that are taken, at random (0: all)");
  o.add("max-rejects", within(&max_rejects, 0, INT64_MAX), "N",
        "more rejected records or documents than this end with exit code 65");
  InputOptions::describe(o, "take");

  o.group("Steps");
  o.add("step-records", within(&step_records, 1, kMaxSlices), "N", "records that go through the model at once");
  o.add("save-steps", within(&save_steps, 0, kMaxSteps), "N",
        "steps between two checkpoints (0: at the end, or when it is told to stop)");

  MachineOptions::describe(o);
  o.before("exchange-bytes");
  BatchOptions::describe(o);
  RunOptions::describe(o);
}

void FisherOptions::resolve(const OptionSet& set) {
  if (device == "cuda")
    fail(ExitCode::environment,
         "device cuda (asked for): Fisher information is computed on CPUs, --device cpu or auto");
  if (labels != "sampled" && draws > 1) fail(ExitCode::usage, "--draws {}: {} labels are not drawn", draws, labels);
  given_for_text = TextOptions::given(set);
  std::erase(given_for_text, "--max-tokens");  // longer records are rejects, of whatever file
}

Fingerprint FisherOptions::fingerprint() const {
  return {{"labels", labels},
          {"draws", std::to_string(draws)},
          {"seed", std::to_string(seed)},
          {"max_records", std::to_string(max_records)},
          {"step_records", std::to_string(step_records)}};
}

}  // namespace switchyard
