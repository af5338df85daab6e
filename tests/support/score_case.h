// Scoring runs of the real program on the bundled model, for tests of whole runs.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace switchyard::test {

/// An input of `num_records` pieces of the bundled texts, of 1 to max_length tokens, every fourth with a longer
/// context.
void write_text_input(const std::filesystem::path& path, int num_records, int max_length);

struct ScoreCase {
  std::filesystem::path input, run;
  int ranks = 0;  ///< 0: without MPI
  std::vector<std::string> options;
  std::filesystem::path model = SWITCHYARD_DEMO_MODEL;

  std::vector<std::string> command() const;
};
ProcessResult score(const ScoreCase& c);

/// Scores, and expects this exit code and all of `named` in what is said.
inline ProcessResult expect(const ScoreCase& c, int code, std::initializer_list<std::string> named = {}) {
  ProcessResult result = score(c);
  EXPECT_EQ(result.exit_code, code) << result.err;
  for (const std::string& part : named)
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " is not in: " << result.err;
  return result;
}

/// Every dataset of a results.h5, by name, as bytes.
std::map<std::string, std::string> datasets(const std::filesystem::path& results);

/// "key":value of a JSON line, as text; empty if it is not there.
std::string json_field(const std::string& line, const std::string& key);

}  // namespace switchyard::test
