#include "jobs/train/options.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/error.h"
#include "base/number.h"
#include "jobs/options/limits.h"
#include "train/parameters/step_slices.h"

namespace switchyard {
namespace {

constexpr double kAlmostOne = 0.9999999;
constexpr double kMaxWeight = 1e12;

double weight_of(const std::string& word) {
  const double weight = number_in<double>(word).value_or(0);
  if (!(weight > 0 && weight <= kMaxWeight))
    fail(ExitCode::usage, "--weights {}: expected a number above 0, at most {:g}", word, kMaxWeight);
  return weight;
}

/// Fails unless exactly one of two options is there.
void require_one(std::string_view job, std::string_view first, bool has_first, std::string_view second,
                 bool has_second) {
  if (has_first == has_second)
    fail(ExitCode::usage, "{}: expected {} or {}, found {}", job, first, second, has_first ? "both" : "neither");
}

}  // namespace

void TrainOptions::describe(OptionSet& o) {
  o.group("What");
  o.add("model", &model, "DIR", "the model to go on with: a Hugging Face directory (or --init)");
  describe_delta(o, &delta);
  o.add("init", &init, "CONFIG", "a config.json, or the directory that has it: of a new model, with random weights");
  describe_allow_config_field(o, &allow_config_field);
  RunOptions::describe_directory(o);
  o.add("export", &export_as, "f32|bf16|base", "how RUN/model is stored (base: as --model is, or as --init says)");

  o.group("Data");
  o.add("data", &data, "FILE ...",
        "text (.jsonl, .txt, .csv, .tsv, also .gz; -: standard input), imported into the run first; or scoring inputs "
        "(HDF5, see `switchyard import`). A record's context is given, what follows is learnt");
  o.require("data");
  o.add("weights", &weights, "W ...",
        "of every file, its share of a step's records (without: an epoch has each record of all files once)");
  o.add("data-order", &data_order, "shuffled|file",
        "every epoch in another random order, or each in the files' own order");
  o.add("step-records", within(&step_records, 1, kMaxStepRecords), "N", "records of a step");
  o.add("eval-data", &eval_data, "FILE ...", "likewise: held-out records, which are scored and not learnt");
  o.add("max-rejects", within(&max_rejects, 0, INT64_MAX), "N",
        "more rejected records or documents than this end with exit code 65");
  InputOptions::describe(o, "take");

  o.group("Steps");
  o.add("max-steps", within(&max_steps, 0, kMaxSteps), "N", "steps to train (or --epochs)");
  o.add("epochs", within(&epochs, 0, kMaxSteps), "N",
        "as many steps as see N times as many records as all files have; the last one is filled up");
  o.add("seed", within(&seed, 0, INT64_MAX), "N", "of the data's order and of new weights");
  o.add("eval-steps", within(&eval_steps, 0, kMaxSteps), "N",
        "steps between two evaluations (0: at the end alone); there is always one at the end");
  o.add("save-steps", within(&save_steps, 0, kMaxSteps), "N",
        "steps between two checkpoints (0: at the end, or when it is told to stop)");
  o.add("save-total-limit", within(&save_total_limit, 0, kMaxSteps), "N",
        "newest checkpoints that stay, beside the best (0: all)");
  o.add("tensorboard", &tensorboard, "", "write RUN/tensorboard as well: event files that TensorBoard shows");
  o.add("stop-after", within(&stop_after, 0, kMaxSteps), "N",
        "write a checkpoint after this step and stop; the same command without it goes on (0: do not stop)");

  trains.describe(o);

  o.group("Optimiser (AdamW)");
  o.add("learning-rate", within(&learning_rate, 0, kMaxRate), "X", "at its peak");
  o.add("lr-scheduler", &lr_scheduler, "cosine|linear|constant|wsd",
        "how it falls after the warm-up, to --min-lr-ratio of the peak (wsd: in a line over the last tenth of all "
        "steps)");
  o.add("min-lr-ratio", within(&min_lr_ratio, 0, 1), "X", "the last step's learning rate over the peak");
  o.add("warmup-steps", within(&warmup_steps, 0, kMaxSteps), "N",
        "first steps, in which it rises in a line to the peak");
  o.add("adam-beta1", within(&adam_beta1, 0, kAlmostOne), "X", "decay of the gradients' mean");
  o.add("adam-beta2", within(&adam_beta2, 0, kAlmostOne), "X", "decay of their squares' mean");
  o.add("adam-epsilon", within(&adam_epsilon, 1e-20, 1), "X", "added to that one's root");
  o.add("weight-decay", within(&weight_decay, 0, kMaxRate), "X", "of matrices, times the learning rate");
  o.add("max-grad-norm", within(&max_grad_norm, 0, 1e30), "X",
        "larger gradients, all parameters together, are scaled to this norm (0: never)");
  o.add("balance", within(&balance, 0, kMaxRate), "X",
        "factor of the experts' balancing loss (none without --train-router)");
  o.add("router-bias-update-rate", within(&router_bias_update_rate, 0, kMaxRate), "X",
        "what a step adds to the bias by which experts with few tokens are chosen, and takes from that of experts with "
        "many, in models that have one (none without --train-router)");
  o.add("train-router", &train_router, "",
        "routers learn too; with --init they do unless --train-router=false, with --model they stay as they are");

  MachineOptions::describe(o);
  o.before("exchange-bytes");
  BatchOptions::describe(o);
  o.add("slices", within(&slices, 0, kMaxSlices), "N",
        "parts of a step that are summed by themselves, a power of two: at most so many ranks have tokens (0: by the "
        "mean of a step's tokens); part of the run's identity");

  RunOptions::describe(o);
  describe_profile(o, &profile);
}

void TrainOptions::resolve(const OptionSet& set) {
  require_one("train", "--model DIR", !model.empty(), "--init CONFIG", !init.empty());
  if (!init.empty() && !delta.empty())
    fail(ExitCode::usage, "--delta {}: deltas are of a model that there is (--model), not of new weights",
         delta.front());
  require_one("train", "--max-steps N", max_steps > 0, "--epochs N", epochs > 0);
  if (device == "cuda")
    fail(ExitCode::environment, "device cuda (asked for): training computes on CPUs, --device cpu or auto");
  if (!weights.empty() && weights.size() != data.size())
    fail(ExitCode::usage, "--weights: expected one for each of the {} files of --data, found {}", data.size(),
         weights.size());
  for (const std::string& word : weights) weight_of(word);
  if (slices != 0 && !std::has_single_bit(static_cast<uint64_t>(slices)))
    fail(ExitCode::usage, "--slices {}: expected a power of two", slices);
  if (max_steps > 0) schedule(max_steps);
  given_for_text = TextOptions::given(set);
  std::erase(given_for_text, "--max-tokens");  // longer records are rejects, of whatever file
  trains.resolve(set);
  if (!set.is_given("train-router")) train_router = !init.empty();
  if (!init.empty() && (trains.freezes() || trains.ewc > 0))
    fail(ExitCode::usage, "train: --init makes a new model, all of which is to be learnt: expected --model");
  if (!trains.chooses()) return;
  const bool also_router = std::ranges::find(trains.train_also, "router") != trains.train_also.end();
  if (set.is_given("train-router") && train_router != also_router)
    fail(ExitCode::usage, "--train-router{}: where some of a model is chosen, --train-also says whether routers train",
         train_router ? "" : "=false");
  train_router = also_router;
}

DataSources TrainOptions::sources() const {
  std::error_code ignored;
  std::filesystem::path directory = config_path();
  if (std::filesystem::is_regular_file(directory, ignored))
    directory = directory.has_parent_path() ? directory.parent_path() : ".";
  return {*this, data, eval_data, directory.native(), batch_tokens, threads};
}

std::vector<double> TrainOptions::file_weights() const {
  std::vector<double> numbers;
  for (const std::string& word : weights) numbers.push_back(weight_of(word));
  return numbers;
}

DataOrder::Options TrainOptions::order(std::vector<int64_t> sizes) const {
  return {.sizes = std::move(sizes),
          .weights = file_weights(),
          .step_records = step_records,
          .order = data_order == "file" ? RecordOrder::file : RecordOrder::shuffled,
          .seed = static_cast<uint64_t>(seed)};
}

int64_t TrainOptions::num_steps(const DataOrder& order) const {
  if (max_steps > 0) return max_steps;
  const int64_t steps = order.steps_in(epochs);
  if (steps > kMaxSteps)
    fail(ExitCode::usage, "--epochs {}: {} records in steps of {} are {} steps, expected at most {}", epochs,
         order.num_records(), step_records, steps, kMaxSteps);
  return steps;
}

Fingerprint TrainOptions::fingerprint() const {
  const auto number = [](double x) { return fmt::format("{}", x); };
  Fingerprint f = {{"step_records", std::to_string(step_records)},
                   {"weights", fmt::format("{}", fmt::join(weights, " "))},
                   {"data_order", data_order},
                   {"seed", std::to_string(seed)},
                   {"learning_rate", number(learning_rate)},
                   {"lr_scheduler", lr_scheduler},
                   {"min_lr_ratio", number(min_lr_ratio)},
                   {"warmup_steps", std::to_string(warmup_steps)},
                   {"adam_beta1", number(adam_beta1)},
                   {"adam_beta2", number(adam_beta2)},
                   {"adam_epsilon", number(adam_epsilon)},
                   {"weight_decay", number(weight_decay)},
                   {"max_grad_norm", number(max_grad_norm)},
                   {"balance", number(balance)},
                   {"router_bias_update_rate", number(router_bias_update_rate)},
                   {"train_router", train_router ? "true" : "false"},
                   {"eval_steps", eval_data.empty() ? "0" : std::to_string(eval_steps)}};
  f.merge(trains.fingerprint());
  return f;
}

Schedule TrainOptions::schedule(int64_t steps) const {
  if (warmup_steps > steps)
    fail(ExitCode::usage, "--warmup-steps {}: expected at most the {} steps there are", warmup_steps, steps);
  return {decay_of(lr_scheduler), learning_rate, min_lr_ratio, warmup_steps, steps};
}

}  // namespace switchyard
