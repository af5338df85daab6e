// What independent software computed for a fixture model's input (tests/data/make_fixtures.py), and how far results are
// from it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace switchyard::test {

struct Record {
  std::vector<int32_t> tokens;
  int64_t context = 1;  ///< tokens given, not scored
};

/// Every record of an input.h5.
std::vector<Record> read_records(const std::filesystem::path& input);

/// What is true of one record.
struct ExpectedRecord {
  std::vector<double> logprob, top_gap;  ///< [scored]
  std::vector<bool> sure;                ///< [scored] no router had to choose between near equals up to this prediction
  bool sure_throughout = true;           ///< nor anywhere else in the record
  bool greedy = false;
  std::vector<double> last, mean;  ///< [hidden]
};

struct Expected {
  std::vector<ExpectedRecord> records;
  double f32_max_difference = 0, bf16_mean_difference = 0;  ///< of the software that made it, in these types

  Expected(const std::filesystem::path& path, const std::vector<Record>& input);
  /// Log-probabilities of sure tokens may differ from the truth by this much in f32, and of all on average in bf16.
  double f32_limit() const;
  double bf16_limit() const;
};

/// |token log-probability − truth| over all records.
struct Differences {
  double max_sure = 0, mean = 0;
  int64_t tokens = 0, sure = 0;
};

/// scores: those of record i, as many as are scored. Every one must be finite.
Differences compare_tokens(const Expected& expected, const std::function<std::span<const float>(size_t i)>& scores);

}  // namespace switchyard::test
