#include <array>

#include "model/config/family.h"

namespace switchyard {

namespace families {
extern const Family qwen3_moe, qwen3_vl_moe, qwen3_vl_moe_text, mixtral, gpt_oss, glm4_moe, deepseek_v3, kimi_k2, dots1,
    llama4, llama4_text, switchyard;
}

namespace {

constexpr std::array<const Family*, 12> kFamilies = {
    &families::qwen3_moe, &families::qwen3_vl_moe, &families::qwen3_vl_moe_text, &families::mixtral,
    &families::gpt_oss,   &families::glm4_moe,     &families::deepseek_v3,       &families::kimi_k2,
    &families::dots1,     &families::llama4,       &families::llama4_text,       &families::switchyard,
};

}  // namespace

const Family* find_family(std::string_view model_type) {
  for (const Family* family : kFamilies)
    if (family->model_type == model_type) return family;
  return nullptr;
}

const Family& family_of(const ModelConfig& config) {
  const Family* family = find_family(config.family);
  SWITCHYARD_CHECK(family != nullptr, "a configuration of family {}", config.family);
  return *family;
}

std::string family_names() {
  std::vector<std::string_view> names;
  for (const Family* family : kFamilies) names.push_back(family->model_type);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace switchyard
