#include "jobs/batch/job_needs.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/delta_file.h"
#include "io/file.h"
#include "io/input.h"
#include "io/safetensors.h"
#include "jobs/input/input_checks.h"
#include "jobs/input/text_input.h"
#include "model/checkpoint/tensor_table.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

using Paths = std::vector<std::filesystem::path>;

/// what: tells needs of the same paths apart.
JobNeed need_of(std::string what, Paths paths, std::function<void()> check) {
  for (const std::filesystem::path& path : paths) what += '\n' + path.native();
  return {std::move(paths), std::move(what), std::move(check)};
}

/// Of what is read as a configuration.
std::string with_fields(std::string what, const std::set<std::string>& allowed_fields) {
  for (const std::string& field : allowed_fields) what += '\n' + field;
  return what;
}

void add_needs_of_deltas(const std::filesystem::path& model, const Paths& deltas, std::vector<JobNeed>& needs) {
  for (const std::filesystem::path& delta : deltas)
    needs.push_back(need_of("delta", {delta}, [delta] { DeltaFile{delta}; }));
  needs.push_back(need_of("chain", deltas, [deltas] {
    for (size_t i = 1; i < deltas.size(); ++i) require_follows(DeltaFile(deltas[i - 1]), DeltaFile(deltas[i]));
  }));
  Paths all = deltas;
  all.push_back(model);
  needs.push_back(need_of("deltas of model", all, [model, deltas] { Checkpoint(model, deltas); }));
}

/// Of text, `subject`. given: --tokenizer, or nothing; directory: where the job starts.
void add_needs_of_tokenizer(const std::string& given, const std::string& subject, const std::filesystem::path& model,
                            const std::filesystem::path& directory, bool allow_other, std::vector<JobNeed>& needs) {
  const bool is_path = !given.empty() && !is_built_in_tokenizer(given);
  const std::string choice = is_path ? (directory / given).native() : given;
  if (is_path) needs.push_back(need_of("tokenizer", {choice}, [choice] { open_tokenizer(choice); }));
  Paths paths = {model};
  if (is_path) paths.push_back(choice);
  needs.push_back(need_of("text by " + given, paths, [=] {
    const auto tokenizer = tokenizer_for(choice, model.native(), subject);
    if (!allow_other)
      require_tokenizer(TokenizerIdentity{tokenizer->kind(), tokenizer->hash()}, "tokenizer " + tokenizer->name(),
                        model.native());
  }));
}

}  // namespace

JobNeed need_of_config(const std::filesystem::path& config, const std::set<std::string>& allowed_fields) {
  return need_of(with_fields("config", allowed_fields), {config}, [=] { read_model_config(config, allowed_fields); });
}

void add_needs_of_model(const std::filesystem::path& model, std::span<const std::filesystem::path> deltas,
                        const std::set<std::string>& allowed_fields, std::vector<JobNeed>& needs) {
  needs.push_back(need_of(with_fields("model", allowed_fields), {model},
                          [=] { check_headers(read_model_config(model, allowed_fields), model, {}); }));
  if (!deltas.empty()) add_needs_of_deltas(model, {deltas.begin(), deltas.end()}, needs);
}

void add_needs_of_data(const InputOptions& options, const std::string& option, const std::vector<std::string>& files,
                       const std::filesystem::path& model, const JobArguments& arguments, std::vector<JobNeed>& needs) {
  const auto subject_of = [&](const std::string& file) { return fmt::format("--{} {}", option, file); };
  const auto is_text = [&](const std::string& file) { return options.format_of_file(file).has_value(); };
  for (const std::string& file : files) {
    if (is_text(file)) {
      needs.push_back(need_of("text", {file}, [file] { InputFile{file}; }));
      continue;
    }
    needs.push_back(need_of("input", {file}, [file] { ScoringInput{file}; }));
    if (!options.allow_other_tokenizer)
      needs.push_back(need_of("tokens for model", {file, model}, [file, model, subject = subject_of(file)] {
        require_tokenizer(ScoringInput(file).tokenizer(), subject, model.native());
      }));
  }
  if (const auto text = std::ranges::find_if(files, is_text); text != files.end())
    add_needs_of_tokenizer(options.tokenizer, subject_of(*text), model, arguments.directory,
                           options.allow_other_tokenizer, needs);
}

void check_needs(std::span<const JobNeed> needs, std::set<std::string>& seen) {
  for (const JobNeed& need : needs)
    if (seen.insert(need.key).second) need.check();
}

}  // namespace switchyard
