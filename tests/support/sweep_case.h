// A sweep of six short trainings of a small model, for tests of whole runs.
#pragma once

#include <fstream>

#include "tests/support/incremental_case.h"

namespace switchyard::test {

class SweepCase {
 public:
  explicit SweepCase(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) : runs_(parent) {
    runs_.expect("base", 0, {}, {"--max-steps", "2", "--eval-steps", "0", "--save-steps", "0"});
  }

  /// The file, with more lines behind; `learning_rates`: as a list has them.
  std::filesystem::path file(const std::string& name, const std::string& more = {},
                             const std::string& learning_rates = "1e-3, 1e-2") const {
    const std::filesystem::path path = runs_ / name;
    std::ofstream(path) << "model = " << (runs_ / "base/model").native()
                        << "\ndata = " << (runs_ / "learn.txt").native()
                        << "\neval-data = " << (runs_ / "held-out.txt").native()
                        << "\ntokenizer = bytes\nmax-tokens = 32\nstep-records = 4\nmax-steps = 3\nsave-steps = 1\n"
                        << "threads = 1\ndtype = f32\nlease-timeout = 2\nterm-grace = 4\nselect = random\n"
                        << "learning-rate = [" << learning_rates << "]\nfreeze = [0, 0.5, 0.9]\n"
                        << "then = score --run held --input " << (runs_ / "held-out.txt").native()
                        << " --tokenizer bytes --max-tokens 32 --threads 1\nmetric = held.loss\n"
                        << "retention = eval_loss\nadaptation = loss\n"
                        << more;
    return path;
  }
  std::filesystem::path path(const std::string& name) const { return runs_ / name; }
  std::vector<std::string> command(const std::filesystem::path& file, const std::string& run,
                                   const std::vector<std::string>& more = {"--local"}) const {
    std::vector<std::string> argv = {SWITCHYARD_PROGRAM, "sweep", file, "--run", path(run), "--lease-timeout", "2"};
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
  }

  /// What the points' trainings left, by name.
  std::map<std::string, std::string> models(const std::string& run, int points = 6) const {
    std::map<std::string, std::string> models;
    for (int point = 0; point < points; ++point) {
      const std::string name = run + "/points/" + std::to_string(point) + "/train";
      for (auto& [file, bytes] : runs_.files(name)) models[std::to_string(point) + "/" + file] = std::move(bytes);
    }
    return models;
  }

 private:
  TrainCase runs_;
};

}  // namespace switchyard::test
