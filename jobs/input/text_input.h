// Text as a job's input: a scoring input, in the run directory, is made of it first.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "import/importer.h"
#include "jobs/input/input_options.h"
#include "jobs/input/input_size.h"
#include "model/config/model_config.h"

namespace switchyard {

/// Who reads text, and for which model.
struct TextReader {
  std::string subject;  ///< for people: "--input a.jsonl"
  std::string model;    ///< directory
  int64_t batch_tokens = 0;
  int64_t threads = 0;  ///< 0: all cores
};

/// The choice of --tokenizer, or, if there is none, the model's. Fails: usage where there is none, input where it is
/// not supported. subject: what is text.
std::unique_ptr<const Tokenizer> tokenizer_for(const std::string& choice, const std::string& model,
                                               const std::string& subject);

/// How all of a job's text is read.
class TextInput {
 public:
  /// Fails: usage where there is no tokenizer, input where it is not the model's (unless --allow-other-tokenizer) or
  /// has more tokens than the model.
  TextInput(const InputOptions& options, const TextReader& reader, const ModelConfig& config);

  /// What the records of these sources come to: reads everything and keeps nothing.
  InputSize measure(const std::vector<SourceFile>& sources) const;

  /// Makes the input of these sources, unless it is there (false): then proves that this command would make the same.
  /// Fails: input, output, mismatch naming what differs. poll: called as sources are read; may fail.
  bool provide(const std::vector<SourceFile>& sources, const std::filesystem::path& input,
               const std::function<void()>& poll) const;
  static void withdraw(const std::filesystem::path& input) noexcept;  ///< what provide() has made

 private:
  void check_tokenizer_size(const ModelConfig& config, bool allow_other) const;
  bool is_same(const std::vector<SourceFile>& sources, const std::filesystem::path& input,
               const std::function<void()>& poll) const;
  std::unique_ptr<Importer> importer(const std::vector<SourceFile>& sources, const std::function<void()>& poll) const;
  const std::unique_ptr<const Tokenizer> tokenizer_;
  const ImportRules rules_;
  const int threads_;
  const int64_t max_positions_;
  const bool length_is_open_;  ///< --max-tokens was not given
};

}  // namespace switchyard
