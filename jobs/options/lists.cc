#include "jobs/options/lists.h"

#include <algorithm>

#include "base/error.h"
#include "base/number.h"

namespace switchyard {

std::vector<std::string> items_of(std::string_view list) {
  std::vector<std::string> items;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    items.emplace_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return items;
}

int64_t count_of(std::string_view subject, const std::string& word, int64_t most) {
  const int64_t value = number_in<int64_t>(word).value_or(0);
  if (value < 1 || value > most)
    fail(ExitCode::usage, "{}: expected numbers from 1 to {} like 1,2,4, found \"{}\"", subject, most, word);
  return value;
}

}  // namespace switchyard
