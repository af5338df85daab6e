#include "jobs/input/data_files.h"

#include <algorithm>

#include "base/log.h"
#include "comm/collectively.h"
#include "import/import_file.h"
#include "jobs/input/input_checks.h"
#include "jobs/input/training_data.h"

namespace switchyard {
namespace {

std::vector<DataFile> files_of(const InputOptions& options, const std::string& option,
                               const std::vector<std::string>& paths) {
  std::vector<DataFile> files;
  for (const std::string& path : paths)
    files.push_back({"--" + option, path, options.format_of_file(path), fmt::format("{}-{}.h5", option, files.size())});
  return files;
}

std::vector<SourceFile> sources_of(const DataFile& file) {
  return {{file.path, *file.format}};
}

}  // namespace

Json recorded_paths(const std::vector<DataFile>& files) {
  Json paths = Json::array();
  for (const DataFile& file : files) paths.push_back(path_to_json(absolute_path(file.path, ExitCode::input)));
  return paths;
}

DataFiles::DataFiles(Communicator& world, const DataSources& sources, const ModelConfig& config)
    : world_(world),
      model_(sources.model),
      allow_other_tokenizer_(sources.options.allow_other_tokenizer),
      max_positions_(config.max_positions) {
  collectively(world_, [&] {
    train_ = files_of(sources.options, "data", sources.data);
    eval_ = files_of(sources.options, "eval-data", sources.held_out);
    const std::vector<DataFile> files = all();
    const auto text = std::ranges::find_if(files, [](const DataFile& file) { return file.format.has_value(); });
    if (!on_root()) return;
    if (text != files.end())
      text_.emplace(sources.options,
                    TextReader{text->option + " " + text->path, model_, sources.batch_tokens, sources.threads}, config);
    else if (!sources.options.given_for_text.empty())
      log::warning("all files are scoring inputs, whose records are made already: {} have no say in them",
                   fmt::join(sources.options.given_for_text, ", "));
  });
}

std::vector<DataFile> DataFiles::all() const {
  std::vector<DataFile> files = train_;
  files.insert(files.end(), eval_.begin(), eval_.end());
  return files;
}

std::vector<InputSize> DataFiles::measure(const std::vector<DataFile>& files) const {
  std::vector<InputSize> sizes;
  for (const DataFile& file : files) {
    InputSize size{.path = file.path};
    if (file.format) {
      collectively(world_, [&] {
        if (on_root()) size = text_->measure(sources_of(file));
      });
      share(world_, size);
    } else {
      std::optional<ScoringInput> input;
      collectively(world_, [&] { input.emplace(open(file, RunDirectory(""))); });
      size = size_of(world_, *input, max_positions_);
    }
    sizes.push_back(size);
  }
  return sizes;
}

void DataFiles::provide(const RunDirectory& run, const std::function<void()>& poll) {
  collectively(world_, [&] {
    if (!on_root()) return;
    for (const DataFile& file : all())
      if (file.format && text_->provide(sources_of(file), file.input_path(run), poll)) made_.push_back(file);
  });
}

void DataFiles::withdraw(const RunDirectory& run) noexcept {
  for (const DataFile& file : made_) TextInput::withdraw(file.input_path(run));
  made_.clear();
}

int64_t DataFiles::import_rejects(const RunDirectory& run) const {
  int64_t rejects = 0;
  collectively(world_, [&] {
    for (const DataFile& file : all())
      if (on_root() && file.format) rejects += count_import_rejects(file.input_path(run));
  });
  return world_.all_reduce_one(rejects, ReduceOp::sum);
}

std::vector<ScoringInput> DataFiles::open(const std::vector<DataFile>& files, const RunDirectory& run) const {
  std::vector<ScoringInput> inputs;
  collectively(world_, [&] {
    for (const DataFile& file : files) inputs.push_back(open(file, run));
  });
  return inputs;
}

ScoringInput DataFiles::open(const DataFile& file, const RunDirectory& run) const {
  ScoringInput input(file.input_path(run));
  if (!file.format && on_root()) {
    check_tokenizer(input.tokenizer(), file.option + " " + file.path, model_, allow_other_tokenizer_);
    tell_of_other_datasets(input);
  }
  return input;
}

std::string hash_of_data(const InputOptions& options, const std::vector<std::string>& paths, const ModelConfig& config,
                         int64_t most) {
  std::vector<ScoringInput> inputs;
  int64_t tokens = 0;
  for (const std::string& path : paths) {
    if (options.format_of_file(path)) return {};
    tokens += inputs.emplace_back(path).num_tokens();
  }
  if (tokens > most) {
    log::info("{}: whether it holds what the run began with is unknown until the job reads it", paths.front());
    return {};
  }
  const auto self = make_self_communicator();
  const TrainingData data(*self, std::move(inputs), {config.max_positions, options.max_tokens, config.vocab_size});
  return data.hash().hex();
}

}  // namespace switchyard
