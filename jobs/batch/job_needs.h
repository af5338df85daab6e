// What jobs that compute with a model need before they start, and looks at it: what a job would refuse at its start
// shall not wait in a queue. Some of it may have yet to be made, and nobody can look at it; so whatever can be looked
// at alone is a need of its own.
#pragma once

#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "jobs/input/input_options.h"
#include "jobs/job.h"

namespace switchyard {

/// A config.json, or the directory that has it.
JobNeed need_of_config(const std::filesystem::path& config, const std::set<std::string>& allowed_fields);
/// config.json and the headers of the model's files, those of the deltas, their order, and whether they fit the model.
void add_needs_of_model(const std::filesystem::path& model, std::span<const std::filesystem::path> deltas,
                        const std::set<std::string>& allowed_fields, std::vector<JobNeed>& needs);
/// Of the files of an option, which are inputs or text for a model: each, and whose tokens they have, or get.
void add_needs_of_data(const InputOptions& options, const std::string& option, const std::vector<std::string>& files,
                       const std::filesystem::path& model, const JobArguments& arguments, std::vector<JobNeed>& needs);

/// Looks at each need whose key is not among `seen`, and adds the key.
void check_needs(std::span<const JobNeed> needs, std::set<std::string>& seen);

}  // namespace switchyard
