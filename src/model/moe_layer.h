// One mixture-of-experts layer: router, exchange, experts, combine.
#pragma once

#include <memory>
#include <span>

#include "base/stream.h"
#include "exchange/exchange.h"
#include "model/weights.h"

namespace switchyard {

/// That of a model's layers, its rows in the experts' operand.
ExchangeShape exchange_shape(const ModelConfig& config, const ExpertPlacement& placement, DType operand,
                             int64_t exchange_bytes, Device device = Device::cpu);

/// x += shared(u) + Σ_j weight_j · expert_j(u), or Σ_j expert_j(weight_j · u), in steps between which the stream may
/// get other work. Every rank of the exchange's group takes the same steps in the same order, with or without tokens.
/// u: [tokens, d] (normed), in f32 for the router, and in the experts' operand (itself where that is f32);
/// x: [tokens, d] f32
class MoeCall {
 public:
  /// Chooses the experts. The arena is used until the end, and nobody else may use it meanwhile.
  /// layer: its number in the model.
  MoeCall(const Stream& stream, Arena& arena, const MoeConfig& config, const LayerWeights& w, int layer,
          Exchange& exchange, ConstView u, ConstView rounded, View x);
  void begin();  ///< sends rows out; meanwhile x += shared(u), and the experts that are here
  void poll() { flight_->poll(); }
  void finish();  ///< x += the experts' results

 private:
  const Stream stream_;
  Arena& arena_;
  const MoeConfig& config_;
  const LayerWeights& w_;
  ConstView rounded_;
  View x_, weight_, y_;  ///< y: one row per (token, slot)
  std::unique_ptr<Routing> routing_;
  std::unique_ptr<Flight> flight_;
};

/// All steps at once.
void moe_layer(const Stream& stream, Arena& arena, const MoeConfig& config, const LayerWeights& w, int layer,
               Exchange& exchange, ConstView u, ConstView rounded, View x);

/// x += ffn(u) for one expert that every token goes to.   u: [tokens, d] operand; x: [tokens, d] f32; w: one element
void add_ffn(const Stream& stream, Arena& arena, std::span<const FfnWeights> w, const GatedActivation& activation,
             ConstView u, View x);

}  // namespace switchyard
