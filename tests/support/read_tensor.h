// A checkpoint's tensor as it lies in the file.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "io/safetensors.h"

namespace switchyard::test {

inline std::string read_tensor(const Checkpoint& checkpoint, std::string_view name) {
  const TensorInfo* tensor = checkpoint.find(name);
  if (tensor == nullptr) return "no such tensor";
  std::string bytes(tensor->bytes, '\0');
  checkpoint.read(*tensor, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

}  // namespace switchyard::test
