// Lists in options, given as A,B.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// What stands between the commas; of an empty list an empty word.
std::vector<std::string> items_of(std::string_view list);

/// A word as a number from 1 to `most`; fails (usage) naming `subject`: "scale --nodes 1,x".
int64_t count_of(std::string_view subject, const std::string& word, int64_t most);

/// Options that scale and plan vary beside a job's size (--over).
inline constexpr std::string_view kVariedOptions[] = {"ep", "tasks-per-node", "threads", "batch-tokens", "dtype"};

}  // namespace switchyard
