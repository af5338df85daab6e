// What positions do to queries and keys, as tables for every layer.
#pragma once

#include <vector>

#include "base/device.h"
#include "model/config/model_config.h"

namespace switchyard {

/// Of one layer; layers that agree in it share tables.
struct PositionTables {
  ConstView cos_sin;      ///< [max_record, rotary.dim]; nothing where nothing turns
  ConstView temperature;  ///< [max_record] by which queries are multiplied, or nothing
};

/// Of all layers, on the stream's device.
class ModelPositionTables {
 public:
  /// max_record: tokens of the longest record
  ModelPositionTables(const Stream& stream, const ModelConfig& config, int64_t max_record);
  const PositionTables& of_layer(size_t layer) const { return layers_[layer]; }

 private:
  std::vector<OwnedTensor> tables_;
  std::vector<PositionTables> layers_;
};

}  // namespace switchyard
