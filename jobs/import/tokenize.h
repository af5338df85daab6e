#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "jobs/options/options.h"

namespace switchyard {

struct TokenizeOptions {
  std::vector<std::string> what;  ///< the tokenizer and, unless standard input is meant, a file
  bool decode = false, count = false;
  std::string bos = "auto";
  bool special_in_text = false;
  int64_t threads = 0;

  void describe(OptionSet& o);
};

}  // namespace switchyard
