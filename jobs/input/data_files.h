// The files of --data and --eval-data: what is text becomes a scoring input, in the run directory, first.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "import/importer.h"
#include "io/input.h"
#include "io/json.h"
#include "jobs/input/input_options.h"
#include "jobs/input/input_size.h"
#include "jobs/input/text_input.h"
#include "model/config/model_config.h"
#include "run/run_directory.h"

namespace switchyard {

/// What is to be read, and how.
struct DataSources {
  const InputOptions& options;              ///< of text
  std::vector<std::string> data, held_out;  ///< --data, --eval-data
  std::string model;                        ///< a directory, whose tokenizer counts
  int64_t batch_tokens = 0, threads = 0;
};

/// One of them: a dataset of its own.
struct DataFile {
  std::string option, path;      ///< --data or --eval-data, and the file
  std::optional<Format> format;  ///< of text; empty: it is a scoring input
  std::string imported_name;     ///< of what text becomes: data-0.h5, eval-data-1.h5, numbered as they were given

  std::filesystem::path input_path(const RunDirectory& run) const {
    return format ? run.root() / imported_name : std::filesystem::path(path);
  }
};

/// Where they are, for a run's manifest.
Json recorded_paths(const std::vector<DataFile>& files);

class DataFiles {
 public:
  /// Collective, as all that follows; fails on all ranks alike. Fails: usage where there is text and no tokenizer,
  /// input where that is not the model's (unless --allow-other-tokenizer). Nothing is touched.
  DataFiles(Communicator& world, const DataSources& sources, const ModelConfig& config);

  const std::vector<DataFile>& train() const { return train_; }
  const std::vector<DataFile>& eval() const { return eval_; }

  /// What can be told without touching anything, for a dry run: text is read, of scoring inputs the offsets.
  std::vector<InputSize> measure(const std::vector<DataFile>& files) const;

  /// Makes what is to be made of text, as TextInput::provide does. Fails: input, output, mismatch.
  void provide(const RunDirectory& run, const std::function<void()>& poll);
  void withdraw(const RunDirectory& run) noexcept;  ///< what provide() has made: of a run that is none of this data
  int64_t import_rejects(const RunDirectory& run) const;  ///< documents of text that became no records

  /// Opens them; what is text has been provided. Fails (input), also where tokens are another tokenizer's.
  std::vector<ScoringInput> open(const std::vector<DataFile>& files, const RunDirectory& run) const;

 private:
  bool on_root() const { return world_.rank() == 0; }
  std::vector<DataFile> all() const;
  ScoringInput open(const DataFile& file, const RunDirectory& run) const;

  Communicator& world_;
  const std::string model_;  ///< whose tokenizer counts: a directory
  const bool allow_other_tokenizer_;
  const int64_t max_positions_;
  std::vector<DataFile> train_, eval_;
  std::optional<TextInput> text_;  ///< rank 0, if there is any
  std::vector<DataFile> made_;     ///< rank 0: in this attempt
};

/// TrainingData::hash() of these files, as one process can tell before a job runs; empty where text has yet to be
/// imported, or, with a line in the log, where they have more tokens than `most`. Fails (input).
std::string hash_of_data(const InputOptions& options, const std::vector<std::string>& paths, const ModelConfig& config,
                         int64_t most);

}  // namespace switchyard
