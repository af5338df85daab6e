#include "perf/operations.h"

#include "model/parameters.h"

namespace switchyard::bench {

double layer_operations(const ModelConfig& c) {
  double operations = 0;
  for_each_parameter(c, c.experts_per_token(), [&](const Parameter& p, int64_t copies) {
    if (p.layer >= 0 && p.shape.rank() == 2)
      operations += 2.0 * static_cast<double>(p.shape.elements()) * static_cast<double>(copies);
  });
  return operations;
}

double attention_operations(const ModelConfig& c, int64_t length) {
  double operations = 0;
  for (const LayerConfig& layer : c.layers) {
    const AttentionConfig& a = layer.attention;
    int64_t pairs = 0;
    for (int64_t p = 0; p < length; ++p) pairs += p + 1 - a.span.first_key(p);
    operations += 2.0 * static_cast<double>(pairs) * static_cast<double>(a.query_size() + a.output_size());
  }
  return operations / static_cast<double>(length);
}

double head_operations(const ModelConfig& c) {
  return 2.0 * static_cast<double>(c.hidden_size) * static_cast<double>(c.vocab_size);
}

}  // namespace switchyard::bench
