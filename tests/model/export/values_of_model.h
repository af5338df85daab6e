// A checkpoint's parameters in memory, for tests that write them again.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "model/checkpoint/parameter_reader.h"
#include "model/export/model_writer.h"

namespace switchyard::test {

using Values = std::map<std::string, std::vector<float>>;  ///< by canonical name

inline std::vector<int> all_experts(const ModelConfig& config) {
  std::vector<int> experts(static_cast<size_t>(config.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  return experts;
}

inline Values values_of(const TensorTable& table) {
  ThreadPool pool(2);
  Values all;
  std::mutex mutex;
  read_parameters({Device::cpu, &pool, {}}, table, DType::f32, all_experts(table.config()), nullptr,
                  [&](const StoredTensor& tensor, ConstView values) {
                    const std::lock_guard lock(mutex);
                    const auto* first = values.as<float>();
                    for (const Parameter& p : tensor.parameters()) {
                      all[p.name()].assign(first, first + p.shape.elements());
                      first += p.shape.elements();
                    }
                  });
  return all;
}

inline Values values_of(const std::filesystem::path& model) {
  const ModelConfig config = read_model_config(model);
  const Checkpoint checkpoint(model);
  return values_of(TensorTable(checkpoint, config, model.native()));
}

inline RowSource rows_of(const Values& values) {
  return [&values](const ParameterRows& rows, std::span<float> out) {
    const auto first = rows.first * rows.parameter.row_elements();
    std::ranges::copy(std::span(values.at(rows.parameter.name())).subspan(static_cast<size_t>(first), out.size()),
                      out.begin());
  };
}

}  // namespace switchyard::test
