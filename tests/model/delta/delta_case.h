// A base, and models trained from it: in memory, as directories, as deltas.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "model/checkpoint/model_hash.h"
#include "model/delta/delta_cut.h"
#include "tests/model/export/values_of_model.h"
#include "tests/support/temporary_directory.h"

namespace switchyard::test {

/// A checkpoint with what reads it.
struct OpenModel {
  explicit OpenModel(const std::filesystem::path& model, std::vector<std::filesystem::path> deltas = {})
      : path(model),
        config(read_model_config(model)),
        checkpoint(model, deltas),
        table(checkpoint, config, model.native()) {}

  std::filesystem::path path;
  ModelConfig config;
  Checkpoint checkpoint;
  TensorTable table;
};

/// About a third of the values moves, half of those by less than bf16 and f16 can tell.
inline Values trained(Values values, uint32_t seed) {
  for (auto& [name, all] : values) {
    uint32_t state = seed;
    for (const char c : name) state = state * 31 + static_cast<unsigned char>(c);
    for (float& x : all) {
      state = state * 1'664'525u + 1'013'904'223u;
      if (state >> 16 & 1u) continue;
      if (state >> 17 & 1u) x *= state >> 18 & 1u ? 1.25f : 1 + 0x1p-14f;
    }
  }
  return values;
}

inline std::string bytes_of(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  std::string bytes(tensor.bytes, '\0');
  checkpoint.read(tensor, 0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

/// Every tensor, by name.
inline std::map<std::string, std::string> tensors_of(const Checkpoint& checkpoint) {
  std::map<std::string, std::string> all;
  for (const auto& [name, tensor] : checkpoint.tensors()) all[name] = bytes_of(checkpoint, tensor);
  return all;
}

inline void expect_same_directories(const std::filesystem::path& actual, const std::filesystem::path& expected) {
  std::set<std::string> there, wanted;
  for (const auto& entry : std::filesystem::directory_iterator(actual)) there.insert(entry.path().filename());
  for (const auto& entry : std::filesystem::directory_iterator(expected)) wanted.insert(entry.path().filename());
  EXPECT_EQ(there, wanted);
  for (const std::string& name : wanted)
    EXPECT_TRUE(bytes_of_file(actual / name) == bytes_of_file(expected / name)) << name;
}

/// Cuts a delta and writes it; the trained model may be any directory.
inline DeltaCut cut_to(const std::filesystem::path& file, const OpenModel& base, const std::filesystem::path& trained,
                       bool keep_master = false) {
  const OpenModel other(trained);
  const DeltaCut cut = plan_cut(base.table, other.table, keep_master);
  write_cut(file, cut, base.table, other.table, {});
  return cut;
}

inline std::string hash_of(const TensorTable& table) {
  ThreadPool pool(2);
  return combine_hashes(read_parameters({Device::cpu, &pool, {}}, table, DType::f32, all_experts(table.config()),
                                        nullptr, [](const auto&, const auto&) {})
                            .hashes)
      .hex();
}

}  // namespace switchyard::test
