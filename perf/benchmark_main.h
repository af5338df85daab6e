// What the programs here have in common that need no benchmark library.
#pragma once

#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace switchyard::bench {

/// body(arguments): the exit code. An error is told, and gives its own.
template <class Body>
int run_benchmark(std::string_view name, int argc, char** argv, const Body& body) {
  try {
    return body(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const Error& error) {
    std::cerr << name << ": " << error.what() << '\n';
    return static_cast<int>(error.code());
  }
}

}  // namespace switchyard::bench
