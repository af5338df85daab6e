// Deltas made byte by byte, apart from the program's own writer.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/json.h"
#include "io/safetensors.h"
#include "tests/support/raw_safetensors.h"

namespace switchyard::test {

inline SafetensorsMetadata delta_fields() {
  return {{"format", "switchyard delta 1"},
          {"base", std::string(32, 'a')},
          {"result", std::string(32, 'b')},
          {"base_tensors", "1"},
          {"base_elements", "20"},
          {"base_bytes", "80"},
          {"changed", "3"}};
}

inline void write_raw_delta(const std::filesystem::path& path, const std::vector<RawTensor>& tensors,
                            const SafetensorsMetadata& fields = delta_fields()) {
  Json header{{"__metadata__", fields}};
  std::string data;
  for (const RawTensor& tensor : tensors) {
    const size_t begin = data.size();
    data += tensor.bytes;
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << text << data;
}

/// Three elements of "t".
inline std::vector<RawTensor> indexed(const std::vector<uint32_t>& at = {0, 7, 19}) {
  return {{"t", "I32", {3}, raw_bytes(std::vector<int32_t>{1, -2, 3})},
          {"t:index", "U32", {static_cast<int64_t>(at.size())}, raw_bytes(at)}};
}
inline std::vector<RawTensor> mapped(const std::string& bits = std::string("\x81\x00\x08", 3)) {
  return {{"t", "I16", {3}, raw_bytes(std::vector<int16_t>{1, -2, 3})},
          {"t:bitmap", "U8", {static_cast<int64_t>(bits.size())}, bits}};
}

}  // namespace switchyard::test
