// NumPy files as bytes.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace switchyard::test {

inline std::string npy_file(int version, std::string_view header, std::string_view data) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  const auto length = static_cast<uint32_t>(header.size());
  bytes.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
  return bytes.append(header).append(data);
}

/// What numpy.save writes for a one-dimensional array.
template <class T>
std::string npy_bytes(const std::vector<T>& values, int version = 1) {
  const std::string header =
      fmt::format("{{'descr': '{}{}{}', 'fortran_order': False, 'shape': ({},), }}\n", sizeof(T) == 1 ? '|' : '<',
                  std::is_signed_v<T> ? 'i' : 'u', sizeof(T), values.size());
  return npy_file(version, header, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

}  // namespace switchyard::test
