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

/// Names of tests/data/models, in order.
inline std::vector<std::string> small_models() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(SWITCHYARD_TEST_DATA "/models"))
    names.push_back(entry.path().filename());
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
