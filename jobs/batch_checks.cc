#include "jobs/batch_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "io/byte_stream.h"
#include "io/file.h"
#include "io/input.h"
#include "jobs/input/input_checks.h"
#include "jobs/input/text_input.h"
#include "jobs/numerics.h"
#include "model/checkpoint/tensor_table.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

JobNeed need_of_input(const std::filesystem::path& file, const std::string& subject, const std::filesystem::path& model,
                      bool allow_other_tokenizer) {
  return {{file, model}, fmt::format("input {} of {}", file.native(), model.native()), [=] {
            check_tokenizer(ScoringInput(file).tokenizer(), subject, model.native(), allow_other_tokenizer);
          }};
}

/// Of text: --tokenizer as it was given, or the model's.
JobNeed need_of_tokenizer(const std::string& given, const std::string& subject, const std::filesystem::path& model,
                          const std::filesystem::path& directory) {
  const std::filesystem::path there = directory / given;
  const std::string choice = !given.empty() && file_exists(there) ? there.native() : given;
  return {{choice.empty() ? model : std::filesystem::path(choice)},
          fmt::format("tokenizer {} of {}", choice, model.native()),
          [=] { tokenizer_for(choice, model.native(), subject); }};
}

void check_numerics(const Json& manifest, const std::string& subject, const JobArguments& arguments) {
  const Json& info = manifest["info"];
  for (const auto& [option, field] : {std::pair("dtype", "dtype"), {"device", "device"}, {"cpu-isa", "cpu_isa"}}) {
    const auto given = arguments.value_of(option);
    if (option == std::string_view("cpu-isa") && require_string(info, "device", subject) != "cpu") continue;
    const std::string there = require_string(info, field, subject);
    if (given && *given != "auto" && *given != there) run_differs(subject, fmt::format("--{}", option), there, *given);
  }
  const std::string id = require_string(manifest["fingerprint"], "numerics", subject);
  const Device device = require_string(info, "device", subject) == "cuda" ? Device::cuda : Device::cpu;
  if (numerics_revision(id) != numerics_revision(device))
    run_differs(subject, "numerics", id, numerics_revision(device));
}

}  // namespace

JobNeed need_of_file(const std::filesystem::path& file) {
  return {{file}, "file " + file.native(), [file] { InputFile{file}; }};
}

JobNeed need_of_model(const std::filesystem::path& model, std::span<const std::filesystem::path> deltas,
                      const std::set<std::string>& allowed_fields) {
  std::vector<std::filesystem::path> paths = {model};
  paths.insert(paths.end(), deltas.begin(), deltas.end());
  std::string key = "model";
  for (const std::filesystem::path& path : paths) key += " " + path.native();
  for (const std::string& field : allowed_fields) key += " field " + field;
  const auto check = [=] {
    check_headers(read_model_config(model, allowed_fields), model, std::span(paths).subspan(1));
  };
  return {paths, std::move(key), check};
}

void add_needs_of_data(const InputOptions& options, const std::string& option, const std::vector<std::string>& files,
                       const std::filesystem::path& model, const JobArguments& arguments, std::vector<JobNeed>& needs) {
  const auto subject = [&](const std::string& file) { return fmt::format("--{} {}", option, file); };
  const auto is_text = [&](const std::string& file) { return options.format_of_file(file).has_value(); };
  for (const std::string& file : files)
    needs.push_back(is_text(file) ? need_of_file(file)
                                  : need_of_input(file, subject(file), model, options.allow_other_tokenizer));
  if (const auto text = std::ranges::find_if(files, is_text); text != files.end())
    needs.push_back(need_of_tokenizer(options.tokenizer, subject(*text), model, arguments.directory));
}

void check_needs(std::span<const JobNeed> needs, std::set<std::string>& seen) {
  for (const JobNeed& need : needs)
    if (seen.insert(need.key).second) need.check();
}

void require_read_again(const JobArguments& arguments, const std::string& option) {
  for (const std::string& path : arguments.values_of(option))
    if (is_read_once(path))
      fail(ExitCode::usage,
           "submit: --{} {}: expected a file: what can be read only once is lost when the job starts again", option,
           path);
}

void check_expert_ranks(const JobArguments& arguments, int64_t ranks) {
  const auto ep = arguments.value_of("ep");
  if (!ep || *ep == "0" || ranks % std::stoll(*ep) == 0) return;
  fail(ExitCode::usage, "--ep {} does not divide the {} ranks that are asked for", *ep, ranks);
}

void check_earlier_run(const RunDirectory& run, const Fingerprint& fields, const JobArguments& arguments) {
  run.check_manifest(fields);
  check_numerics(run.read_manifest(), run.manifest_path().native(), arguments);
}

void tell_if_complete(const RunDirectory& run) {
  const std::optional<RunState> state = run.find_state();
  if (state && state->status == RunStatus::complete)
    log::info("{} is complete already: the job will find nothing left to do", run.root().native());
}

void run_differs(const std::string& subject, const std::string& what, const std::string& there,
                 const std::string& here) {
  fail(ExitCode::mismatch, "{}: the run directory belongs to other work: {}: the run has {}, this command {}", subject,
       what, there, here);
}

}  // namespace switchyard
