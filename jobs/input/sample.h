// A part of a scoring input that stands for all of it: --sample-tokens.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>

#include "io/input.h"

namespace switchyard {

/// Whether a record (or a document) is of the sample: of every class of lengths, an eighth of an octave wide, the same
/// share, evenly over the file. The same for the same lengths.
class EvenChoice {
 public:
  explicit EvenChoice(double share);
  bool takes(int64_t length);

 private:
  static constexpr size_t kClasses = size_t{8} * 64;
  double share_;
  std::array<double, kClasses> due_;  ///< of each class: how many are owed; from anywhere below one on, so that
                                      ///< classes of few records have their share together
};

/// Fails (mismatch) where `output` is no sample of as many tokens, of an input of as many; (input) if it cannot be
/// read.
void require_same_sample(const ScoringInput& input, int64_t tokens, const std::filesystem::path& output);

/// Writes records of about so many tokens (all, where there are no more) as an input of their own, with their ids,
/// unless that very one is there (false); a file of any other content is not touched. Fails: usage where these are less
/// than one record, mismatch where another file is there, input, output. poll: called as records are read; may fail.
bool provide_sample(const ScoringInput& input, int64_t tokens, const std::filesystem::path& output,
                    const std::function<void()>& poll);

}  // namespace switchyard
