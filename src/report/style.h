#pragma once

#include <string_view>

namespace switchyard::report {

/// The page's style sheet: screens from a phone's to wide ones, light and dark, paper.
extern const std::string_view kStyle;

}  // namespace switchyard::report
