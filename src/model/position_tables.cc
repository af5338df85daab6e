#include "model/position_tables.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/attention/rope.h"

namespace switchyard {
namespace {

/// The first layer whose attention has the same of something as layer i.
template <class Part>
size_t first_with(const ModelConfig& c, Part AttentionConfig::*part, size_t i) {
  const auto found = std::ranges::find(c.layers, c.layers[i].attention.*part,
                                       [&](const LayerConfig& layer) -> const Part& { return layer.attention.*part; });
  return static_cast<size_t>(found - c.layers.begin());
}

OwnedTensor rotary_table(const Stream& stream, const RotaryConfig& c, int64_t max_record) {
  OwnedTensor table = hold(stream, {max_record, c.dim}, DType::f32);
  if (stream.measured != nullptr) return table;
  fill_rope_table(stream, rotary_frequencies(c), rotary_stretch(c), table.view());
  return table;
}

OwnedTensor temperature_table(const Stream& stream, const QueryTemperature& c, int64_t max_record) {
  OwnedTensor table = hold(stream, {max_record}, DType::f32);
  if (stream.measured != nullptr) return table;
  OwnedTensor made({max_record}, DType::f32);
  for (int64_t p = 0; p < max_record; ++p)
    made.view().as<float>()[p] =
        static_cast<float>(1 + c.scale * std::log(1 + std::floor(static_cast<double>(p + 1) / c.floor)));
  copy(stream, made.view(), table.view());
  synchronize(stream);
  return table;
}

}  // namespace

ModelPositionTables::ModelPositionTables(const Stream& stream, const ModelConfig& config, int64_t max_record) {
  const auto own = [&](OwnedTensor table) { return std::as_const(tables_.emplace_back(std::move(table))).view(); };
  for (size_t i = 0; i < config.layers.size(); ++i) {
    const AttentionConfig& c = config.layers[i].attention;
    const size_t turned_alike = first_with(config, &AttentionConfig::rotary, i),
                 tuned_alike = first_with(config, &AttentionConfig::temperature, i);
    PositionTables tables;
    if (turned_alike < i)
      tables.cos_sin = layers_[turned_alike].cos_sin;
    else if (c.rotary.dim > 0)
      tables.cos_sin = own(rotary_table(stream, c.rotary, max_record));
    if (tuned_alike < i)
      tables.temperature = layers_[tuned_alike].temperature;
    else if (c.temperature.scale != 0)
      tables.temperature = own(temperature_table(stream, c.temperature, max_record));
    layers_.push_back(tables);
  }
}

}  // namespace switchyard
