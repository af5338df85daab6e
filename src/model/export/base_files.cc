#include "model/export/base_files.h"

#include <algorithm>
#include <utility>

#include "io/file.h"
#include "model/config/model_config.h"

namespace switchyard {
namespace {

// Versions of transformers before 4.56 know only the latter, and all versions read it.
constexpr std::string_view kDTypeFields[] = {"dtype", "torch_dtype"};

constexpr std::pair<DType, std::string_view> kDTypeNames[] = {
    {DType::f32, "float32"}, {DType::bf16, "bfloat16"}, {DType::f16, "float16"}};

void set_dtype(Json& object, std::string_view name, bool must_have) {
  bool has = false;
  for (const std::string_view field : kDTypeFields) {
    if (!object.contains(field)) continue;
    object[std::string(field)] = name;
    has = true;
  }
  if (!has && must_have) object[std::string(kDTypeFields[1])] = name;
}

bool is_companion(const std::filesystem::path& file) {
  constexpr std::string_view kNames[] = {"generation_config.json",
                                         "special_tokens_map.json",
                                         "added_tokens.json",
                                         "vocab.json",
                                         "vocab.txt",
                                         "merges.txt",
                                         "chat_template.jinja",
                                         "chat_template.json",
                                         "tekken.json",
                                         "spiece.model",
                                         "sentencepiece.bpe.model"};
  const std::string name = file.filename();
  return std::ranges::find(kNames, name) != std::end(kNames) || name.starts_with("tokenizer.") ||
         name == "tokenizer_config.json" || name.ends_with(".tiktoken") || name == "tiktoken.model" ||
         name.ends_with(".py");
}

}  // namespace

std::filesystem::path directory_of(const std::filesystem::path& origin) {
  const std::filesystem::path directory = config_file_of(origin).parent_path();
  return directory.empty() ? "." : directory;
}

DType named_dtype(const std::filesystem::path& origin) {
  const Json config = read_config_json(origin);
  for (const Json* object : {&text_part_of(config), &config})
    for (const std::string_view field : kDTypeFields) {
      const Json* named = find_field(*object, field);
      for (const auto& [dtype, name] : kDTypeNames)
        if (named != nullptr && *named == name) return dtype;
    }
  return DType::f32;
}

std::string exported_config(const std::filesystem::path& origin, std::optional<DType> dtype) {
  if (!dtype) return read_text_file(config_file_of(origin));
  const auto* const named = std::ranges::find(kDTypeNames, *dtype, &std::pair<DType, std::string_view>::first);
  Json config = read_config_json(origin);
  const bool has_text_part = &text_part_of(config) != &config;
  set_dtype(config, named->second, true);
  config.erase("quantization_config");
  if (has_text_part) {
    set_dtype(config["text_config"], named->second, false);
    config["text_config"].erase("quantization_config");
  }
  return config.dump(2) + "\n";
}

std::vector<std::filesystem::path> companion_files(const std::filesystem::path& origin) {
  const std::filesystem::path directory = directory_of(origin);
  constexpr std::string_view kTemplates = "additional_chat_templates";
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path& file : list_directory(directory))
    if (is_companion(file)) files.push_back(file.filename());
  for (const std::filesystem::path& file : list_directory(directory / kTemplates))
    if (file.extension() == ".jinja") files.push_back(kTemplates / file.filename());
  return files;
}

}  // namespace switchyard
