#include "jobs/batch/batch_checks.h"

#include <fmt/format.h>

#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "io/byte_stream.h"
#include "jobs/numerics.h"

namespace switchyard {
namespace {

void check_numerics(const Json& manifest, const std::string& subject, const JobArguments& arguments) {
  const Json& info = manifest["info"];
  for (const auto& [option, field] : {std::pair("dtype", "dtype"), {"device", "device"}, {"cpu-isa", "cpu_isa"}}) {
    const auto given = arguments.value_of(option);
    if (option == std::string_view("cpu-isa") && require_string(info, "device", subject) != "cpu") continue;
    const std::string there = require_string(info, field, subject);
    if (given && *given != "auto" && *given != there) run_differs(subject, fmt::format("--{}", option), there, *given);
  }
  const std::string id = require_string(manifest["fingerprint"], "numerics", subject);
  const Device device = require_string(info, "device", subject) == name_of(Device::cuda) ? Device::cuda : Device::cpu;
  if (numerics_revision(id) != numerics_revision(device))
    run_differs(subject, "numerics", id, numerics_revision(device));
}

}  // namespace

void settle(std::initializer_list<std::string*> paths, const std::filesystem::path& directory) {
  for (std::string* path : paths)
    if (!path->empty()) *path = (directory / *path).native();
}

void settle(std::initializer_list<std::vector<std::string>*> paths, const std::filesystem::path& directory) {
  for (std::vector<std::string>* list : paths)
    for (std::string& path : *list) settle({&path}, directory);
}

void require_read_again(const JobArguments& arguments, const std::string& option) {
  for (const std::string& path : arguments.values_of(option))
    if (is_read_once(path))
      fail(ExitCode::usage,
           "submit: --{} {}: expected a file: what can be read only once is lost when the job starts again", option,
           path);
}

void check_expert_ranks(const JobArguments& arguments, int64_t ranks) {
  const int64_t ep = std::stoll(arguments.value_of("ep").value_or("0"));
  if (ep != 0 && ranks % ep != 0)
    fail(ExitCode::usage, "--ep {} does not divide the {} ranks that are asked for", ep, ranks);
}

void check_earlier_run(const RunDirectory& run, const Fingerprint& fields, const JobArguments& arguments) {
  run.check_manifest(fields);
  check_numerics(run.read_manifest(), run.manifest_path().native(), arguments);
}

void tell_if_complete(const RunDirectory& run) {
  const std::optional<RunState> state = run.find_state();
  if (state && state->status == RunStatus::complete)
    log::info("{} is complete already: the job will find nothing left to do", run.root().native());
}

void run_differs(const std::string& subject, const std::string& what, const std::string& there,
                 const std::string& here) {
  fail(ExitCode::mismatch, "{}: the run directory belongs to other work: {}: the run has {}, this command {}", subject,
       what, there, here);
}

}  // namespace switchyard
