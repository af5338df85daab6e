// The small models whose results independent software has computed (tests/data/make_fixtures.py): every folder of
// tests/data/models, and the bundled one.
#pragma once

#include <algorithm>
#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard::test {

inline constexpr const char* kBundledModel = "tiny-bytes";

/// Those whose family or layout the program does not read yet.
inline constexpr std::array<std::string_view, 12> kAwaited = {
    "deepseekv3", "dots1",  "glm4moe",    "glm4moe-plain",   "gptoss",        "gptoss-mxfp4",
    "kimik2",     "llama4", "llama4text", "qwen3moe-linear", "qwen3moe-yarn", "qwen3vlmoe"};

/// Names of tests/data/models but those awaited, in order.
inline std::vector<std::string> small_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(SWITCHYARD_TEST_DATA "/models"))
    names.push_back(entry.path().filename());
  std::erase_if(names, [](const std::string& name) { return std::ranges::find(kAwaited, name) != kAwaited.end(); });
  std::ranges::sort(names);
  return names;
}

inline std::vector<std::string> all_models() {
  std::vector<std::string> names = small_models();
  names.emplace_back(kBundledModel);
  return names;
}

inline std::filesystem::path model_path(const std::string& name) {
  const std::filesystem::path data = SWITCHYARD_TEST_DATA;
  return name == kBundledModel ? data / "../../demo" / name : data / "models" / name;
}

/// The input, and what is expected of it.
inline std::filesystem::path reference_path(const std::string& name) {
  return std::filesystem::path(SWITCHYARD_TEST_DATA) / "references" / name;
}

/// As part of a test's name.
inline std::string test_name(std::string name) {
  std::ranges::replace_if(
      name, [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
}

}  // namespace switchyard::test
