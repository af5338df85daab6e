// A safetensors file of tensors of any dtype, byte by byte, apart from the program's own writer.
#pragma once

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "io/json.h"

namespace switchyard::test {

struct RawTensor {
  std::string name;
  std::string dtype;  ///< as files spell it
  std::vector<int64_t> shape;
  std::string bytes;
};

template <class T>
std::string raw_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

inline void write_raw_safetensors(const std::filesystem::path& path, const std::vector<RawTensor>& tensors) {
  Json header = Json::object();
  uint64_t end = 0;
  for (const RawTensor& tensor : tensors) {
    const uint64_t begin = end;
    end += tensor.bytes.size();
    header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << text;
  for (const RawTensor& tensor : tensors) file << tensor.bytes;
}

/// Some of them in each of several files, with their index.
inline void write_raw_safetensors(const std::filesystem::path& directory,
                                  const std::vector<std::vector<RawTensor>>& files) {
  Json map = Json::object();
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string name = "model-" + std::to_string(i) + ".safetensors";
    write_raw_safetensors(directory / name, files[i]);
    for (const RawTensor& tensor : files[i]) map[tensor.name] = name;
  }
  std::ofstream(directory / "model.safetensors.index.json") << Json{{"weight_map", map}}.dump();
}

}  // namespace switchyard::test
