// Training runs of the real program on a small new model, for tests of whole runs.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {

/// Two layers of 128 experts over bytes; a text to learn and one that is held out.
class TrainCase {
 public:
  explicit TrainCase(const std::filesystem::path& parent = std::filesystem::temp_directory_path());

  /// Without the run's directory.
  std::vector<std::string> options() const;
  std::vector<std::string> command(const std::string& run, int ranks, const std::vector<std::string>& more = {}) const;
  ProcessResult train(const std::string& run, int ranks, const std::vector<std::string>& more = {}) const;
  /// Trains, and expects this exit code and all of `named` in what is said.
  ProcessResult expect(const std::string& run, int code, std::initializer_list<std::string> named = {},
                       const std::vector<std::string>& more = {}, int ranks = 0) const;

  /// What the run's bits are: metrics, checkpoints and the model, by name.
  std::map<std::string, std::string> files(const std::string& run) const;

  std::filesystem::path operator/(const std::string& name) const { return directory_ / name; }
  const TemporaryDirectory& directory() const { return directory_; }

 private:
  TemporaryDirectory directory_;
};

/// Expects the same names and bytes.
void expect_same_files(const std::map<std::string, std::string>& actual,
                       const std::map<std::string, std::string>& expected);

}  // namespace switchyard::test
