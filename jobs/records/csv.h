#pragma once

#include <string>

#include "base/text.h"

namespace switchyard {

/// A field of a CSV file: in quotes where it has to be (RFC 4180).
inline std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return '"' + replaced(text, "\"", "\"\"") + '"';
}

}  // namespace switchyard
