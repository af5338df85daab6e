#include "jobs/sweep/stages.h"

#include "base/text.h"

namespace switchyard {

std::vector<Stage> stages_of(const SweepFile& file, const SweepPoints& points, int64_t point,
                             const std::filesystem::path& folder) {
  std::map<std::string, std::string> names = points.names(point);
  names["point"] = folder.native();
  std::vector<Stage> stages = {{"train", "train", folder / "train", points.options(point)}};
  for (const FollowUp& run : file.then) {
    Stage& stage = stages.emplace_back(run.job, run.name, folder / run.name, run.options);
    stage.options.try_emplace("model", OptionValues{(stages.front().run / "model").native()});
  }
  for (Stage& stage : stages)
    for (auto& [option, values] : stage.options)
      for (std::string& value : values)
        for (const auto& [name, stands_for] : names) value = replaced(value, "{" + name + "}", stands_for);
  return stages;
}

}  // namespace switchyard
