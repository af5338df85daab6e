// Numbers in text.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace switchyard {

/// A number and nothing else, as std::from_chars reads it: no blanks, no plus. Empty: it is none, or none that T holds.
template <class T>
std::optional<T> number_in(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace switchyard
