// A model's config.json.
#include "io/json.h"
#include "model/config/model_config.h"
#include "tests/fuzz/fuzz_support.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  fuzz::only_input_errors([&] {
    const ModelConfig config = parse_model_config(parse_json(fuzz::text_of(data, size), "config.json"), "config.json");
    fuzz::require(config.num_moe_layers() > 0, "a layer has experts");
    fuzz::require(config.experts_per_token() >= 1 && config.experts_per_token() <= config.num_experts(), "1 <= k <= E");
    fuzz::require(config.total_parameters() > 0 && config.active_parameters() > 0, "parameters can be counted");
    fuzz::require(config.active_parameters() <= config.total_parameters(), "active parameters are some of all");
    const QuantisedWeights* q = config.quantised();
    fuzz::require(q == nullptr || (q->block_rows >= 1 && q->block_columns >= 1), "a block has weights");
  });
  return 0;
}
