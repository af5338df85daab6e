// That an action fails with an exit code and a message that names what it should.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace switchyard::test {

/// Runs `action`; a failure unless it throws Error(code) whose message holds every one of `parts`.
template <class Action>
::testing::AssertionResult fails(ExitCode code, const std::vector<std::string_view>& parts, const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    if (error.code() != code)
      return ::testing::AssertionFailure() << "exit code " << static_cast<int>(error.code()) << ": " << message;
    for (const std::string_view part : parts)
      if (message.find(part) == std::string::npos)
        return ::testing::AssertionFailure() << "\"" << part << "\" is not in: " << message;
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << "no error";
}

template <class Action>
::testing::AssertionResult fails_input(const std::vector<std::string_view>& parts, const Action& action) {
  return fails(ExitCode::input, parts, action);
}

}  // namespace switchyard::test
