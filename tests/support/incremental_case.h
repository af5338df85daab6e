// A base model, new and old data, and what `switchyard fisher` says of both: for tests of whole runs.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "tests/support/train_case.h"

namespace switchyard::test {

class IncrementalCase {
 public:
  /// The model alone, of some steps from new weights.
  explicit IncrementalCase(const std::string& dtype = "bf16") {
    case_.expect("base", 0, {}, {"--export", dtype, "--max-steps", "3", "--eval-steps", "0", "--save-steps", "0"});
  }

  std::string path(const std::string& name) const { return case_ / name; }
  std::string base() const { return path("base/model"); }

  /// Runs `switchyard fisher`, and expects this exit code and all of `named` in what is said.
  ProcessResult fisher(const std::string& run, int code, std::initializer_list<std::string> named = {},
                       const std::vector<std::string>& more = {}, int ranks = 0) const {
    return expect(test::run(fisher_command(run, more, ranks), mpi_environment()), code, named);
  }
  std::vector<std::string> fisher_command(const std::string& run, const std::vector<std::string>& more,
                                          int ranks = 0) const {
    std::vector<std::string> argv = mpirun(ranks);
    argv.insert(argv.end(), {SWITCHYARD_PROGRAM, "fisher"});
    for (const auto& [option, value] : {std::pair<std::string, std::string>{"--run", path(run)},
                                        {"--model", base()},
                                        {"--data", path("held-out.txt")},
                                        {"--tokenizer", "bytes"},
                                        {"--threads", "1"},
                                        {"--dtype", "f32"},
                                        {"--step-records", "8"},
                                        {"--lease-timeout", "2"},
                                        {"--term-grace", "4"}})
      if (std::ranges::find(more, option) == more.end()) argv.insert(argv.end(), {option, value});
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }
  std::string fisher_file(const std::string& run) const { return path(run + "/fisher.h5"); }

  /// Goes on from the base.
  ProcessResult train(const std::string& run, int code, std::initializer_list<std::string> named = {},
                      std::vector<std::string> more = {}, int ranks = 0) const {
    more.insert(more.end(), {"--model", base(), "--eval-steps", "0"});
    return case_.expect(run, code, named, more, ranks);
  }
  const TrainCase& runs() const { return case_; }

 private:
  static ProcessResult expect(ProcessResult result, int code, std::initializer_list<std::string> named) {
    EXPECT_EQ(result.exit_code, code) << result.err;
    for (const std::string& part : named)
      EXPECT_NE(result.err.find(part), std::string::npos) << part << " is not in: " << result.err;
    return result;
  }

  const TrainCase case_;
};

}  // namespace switchyard::test
