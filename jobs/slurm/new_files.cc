#include "jobs/slurm/new_files.h"

#include <ranges>

#include "base/log.h"
#include "io/file.h"

namespace switchyard {

NewFiles::~NewFiles() {
  std::error_code not_empty;
  for (const std::filesystem::path& path : std::views::reverse(made_)) std::filesystem::remove(path, not_empty);
  for (const auto& [path, text] : replaced_) {
    try {
      write_file_atomically(path, text);
    } catch (const Error& error) {
      log::warning("{}: what it held before is lost: {}", path.native(), error.what());
    }
  }
}

void NewFiles::create(const RunDirectory& run, std::string_view unit_folder) {
  will_make(run.root());
  will_make(run.attempts_path());
  run.create(unit_folder);
}

void NewFiles::write(const std::filesystem::path& path, const std::string& text) {
  if (file_exists(path, ExitCode::output)) {
    replaced_.emplace_back(path, read_text_file(path));
  } else {
    made_.push_back(path);
  }
  write_file_atomically(path, text);
}

void NewFiles::keep() {
  made_.clear();
  replaced_.clear();
}

void NewFiles::will_make(const std::filesystem::path& path) {
  if (path.empty() || file_exists(path, ExitCode::output)) return;
  if (path.has_relative_path()) will_make(path.parent_path());
  made_.push_back(path);
}

}  // namespace switchyard
