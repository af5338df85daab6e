// What a command makes before it is known whether it will do: taken back unless it does.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/run_directory.h"

namespace switchyard {

class NewFiles {
 public:
  NewFiles() = default;
  /// Takes back what was made, and nothing else: a folder that holds more by now stays.
  ~NewFiles();
  NewFiles(const NewFiles&) = delete;
  NewFiles& operator=(const NewFiles&) = delete;

  /// As RunDirectory::create().
  void create(const RunDirectory& run, std::string_view unit_folder);
  /// As write_file_atomically(). What the file held comes back as well.
  void write(const std::filesystem::path& path, const std::string& text);
  void keep();

 private:
  void will_make(const std::filesystem::path& path);

  std::vector<std::filesystem::path> made_;  ///< folders before what is in them
  std::vector<std::pair<std::filesystem::path, std::string>> replaced_;
};

}  // namespace switchyard
