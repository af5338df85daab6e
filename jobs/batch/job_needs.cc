#include "jobs/batch/job_needs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "io/delta_file.h"
#include "io/file.h"
#include "io/input.h"
#include "jobs/input/input_checks.h"
#include "jobs/input/text_input.h"
#include "model/checkpoint/tensor_table.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

/// As part of a key.
std::string text_of(const std::filesystem::path& model, const std::set<std::string>& allowed_fields) {
  return fmt::format("{} {}", model.native(), fmt::join(allowed_fields, " "));
}

JobNeed need_of_chain(std::span<const std::filesystem::path> deltas) {
  std::vector<std::filesystem::path> paths(deltas.begin(), deltas.end());
  std::string key = "deltas";
  for (const std::filesystem::path& path : paths) key += " " + path.native();
  const auto check = [paths] {
    for (size_t i = 1; i < paths.size(); ++i) require_follows(DeltaFile(paths[i - 1]), DeltaFile(paths[i]));
  };
  return {std::move(paths), std::move(key), check};
}

/// That its tokens are the model's.
JobNeed need_of_tokens(const std::filesystem::path& input, const std::string& subject,
                       const std::filesystem::path& model) {
  return {{input, model}, fmt::format("tokens of {} for {}", input.native(), model.native()), [=] {
            require_tokenizer(ScoringInput(input).tokenizer(), subject, model.native());
          }};
}

/// Of text: --tokenizer as it was given, or the model's. directory: where the job starts.
JobNeed need_of_tokenizer(const std::string& given, const std::string& subject, const std::filesystem::path& model,
                          const std::filesystem::path& directory) {
  const bool is_path = !given.empty() && !is_built_in_tokenizer(given);
  const std::string choice = is_path ? (directory / given).native() : given;
  const std::vector<std::filesystem::path> paths = {is_path ? std::filesystem::path(choice) : model};
  return {paths, fmt::format("tokenizer {} of {}", choice, model.native()),
          [=] { tokenizer_for(choice, model.native(), subject); }};
}

}  // namespace

JobNeed need_of_file(const std::filesystem::path& file) {
  return {{file}, "file " + file.native(), [file] { InputFile{file}; }};
}

JobNeed need_of_config(const std::filesystem::path& config, const std::set<std::string>& allowed_fields) {
  return {{config}, "config " + text_of(config, allowed_fields), [=] { read_model_config(config, allowed_fields); }};
}

void add_needs_of_model(const std::filesystem::path& model, std::span<const std::filesystem::path> deltas,
                        const std::set<std::string>& allowed_fields, std::vector<JobNeed>& needs) {
  needs.push_back({{model}, "model " + text_of(model, allowed_fields), [=] {
                     check_headers(read_model_config(model, allowed_fields), model, {});
                   }});
  for (const std::filesystem::path& delta : deltas)
    needs.push_back({{delta}, "delta " + delta.native(), [delta] { DeltaFile{delta}; }});
  if (deltas.size() > 1) needs.push_back(need_of_chain(deltas));
}

void add_needs_of_data(const InputOptions& options, const std::string& option, const std::vector<std::string>& files,
                       const std::filesystem::path& model, const JobArguments& arguments, std::vector<JobNeed>& needs) {
  const auto subject = [&](const std::string& file) { return fmt::format("--{} {}", option, file); };
  const auto is_text = [&](const std::string& file) { return options.format_of_file(file).has_value(); };
  for (const std::string& file : files) {
    if (is_text(file)) {
      needs.push_back(need_of_file(file));
      continue;
    }
    needs.push_back({{file}, "input " + file, [file] { ScoringInput{file}; }});
    if (!options.allow_other_tokenizer) needs.push_back(need_of_tokens(file, subject(file), model));
  }
  if (const auto text = std::ranges::find_if(files, is_text); text != files.end())
    needs.push_back(need_of_tokenizer(options.tokenizer, subject(*text), model, arguments.directory));
}

void check_needs(std::span<const JobNeed> needs, std::set<std::string>& seen) {
  for (const JobNeed& need : needs)
    if (seen.insert(need.key).second) need.check();
}

}  // namespace switchyard
