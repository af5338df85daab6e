// Text as the input of a scoring run: RUN/input.h5 is made of it first.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "import/importer.h"
#include "jobs/score/options.h"
#include "jobs/score/plan.h"
#include "model/config/model_config.h"
#include "run/run_directory.h"

namespace switchyard {

/// What --input names, where it is text; empty: it names a scoring input. Fails (usage).
std::vector<SourceFile> text_sources(const ScoreOptions& options);

class TextInput {
 public:
  /// Fails: usage where there is no tokenizer, input where it is not the model's (unless --allow-other-tokenizer) or
  /// has more tokens than the model.
  TextInput(std::vector<SourceFile> sources, const ScoreOptions& options, const ModelConfig& config);

  /// What the records come to: reads everything and keeps nothing.
  InputSize measure() const;

  /// Makes `run`'s input, unless it is there (false): then proves that this command would make the same. Fails: input,
  /// output, mismatch naming what differs. poll: called as sources are read; may fail.
  bool provide(const RunDirectory& run, const std::function<void()>& poll) const;
  static void withdraw(const RunDirectory& run) noexcept;  ///< what provide() has made

 private:
  void check_tokenizer_size(const ModelConfig& config, bool allow_other) const;
  bool is_same(const RunDirectory& run, const std::function<void()>& poll) const;
  std::unique_ptr<Importer> importer(const std::function<void()>& poll) const;
  const std::vector<SourceFile> sources_;
  const std::unique_ptr<const Tokenizer> tokenizer_;
  const ImportRules rules_;
  const int threads_;
  const int64_t max_positions_;
  const bool length_is_open_;  ///< --max-tokens was not given
};

}  // namespace switchyard
