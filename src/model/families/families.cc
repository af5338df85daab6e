#include <array>

#include "model/family.h"

namespace switchyard {

namespace families {
extern const Family qwen3_moe, mixtral, switchyard;
}

namespace {

constexpr std::array<const Family*, 3> kFamilies = {
    &families::qwen3_moe,
    &families::mixtral,
    &families::switchyard,
};

}  // namespace

const Family* find_family(std::string_view model_type) {
  for (const Family* family : kFamilies)
    if (family->model_type == model_type) return family;
  return nullptr;
}

std::string family_names() {
  std::vector<std::string_view> names;
  for (const Family* family : kFamilies) names.push_back(family->model_type);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace switchyard
