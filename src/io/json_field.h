// A field of a JSON file of ours.
#pragma once

#include <string_view>

#include "base/error.h"
#include "io/json.h"

namespace switchyard {

/// Fails (input) naming `subject` and the field where it is not there, or not a T.
template <class T>
T json_field(const Json& json, const char* name, std::string_view subject) {
  const Json* value = find_field(json, name);
  if (value == nullptr) fail(ExitCode::input, "{}: expected \"{}\", found none", subject, name);
  try {
    return value->get<T>();
  } catch (const Json::exception&) {
    fail(ExitCode::input, "{}: \"{}\" is {}", subject, name, brief(*value));
  }
}

}  // namespace switchyard
