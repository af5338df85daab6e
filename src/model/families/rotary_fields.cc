// Rotary embedding as config.json has it: rope_theta at top level or within rope_parameters; how it is scaled in there,
// or in rope_scaling. The kind of scaling is its rope_type, or type. transformers/modeling_rope_utils.
#include <cmath>

#include "model/family.h"

namespace switchyard {
namespace {

/// At top level, or in the object, whose own wins over what is only assumed; where both are given they must agree.
double read_theta(ConfigReader& reader, ConfigReader* object) {
  constexpr const char* kTheta = "rope_theta";
  const bool here = reader.has(kTheta), inside = object != nullptr && object->has(kTheta);
  if (!here && !inside) {
    reader.refuse_missing({kTheta, "rope_parameters.rope_theta"});
    return 1;
  }
  const double top = reader.positive_number_or(kTheta, 1);
  const double theta = inside ? object->positive_number(kTheta) : top;
  if (here && inside && !reader.is_assumed(kTheta) && theta != top)
    object->refuse(kTheta, fmt::format("the same as \"{}\", which is {}", kTheta, brief(*reader.value(kTheta))),
                   *object->value(kTheta));
  return theta;
}

constexpr const char* kOriginal = "original_max_position_embeddings";

struct Positions {
  int64_t max;
  std::optional<int64_t> original;  ///< as said at top level, which wins
};

struct Stretch {
  double factor, original_positions;
};

/// An explicit factor wins over the ratio of lengths.
Stretch read_stretch(ConfigReader& rope, const Positions& positions) {
  const int64_t own = rope.integer_or(kOriginal, positions.max, 1, 1 << 30);
  const auto original = static_cast<double>(positions.original.value_or(own));
  return {rope.positive_number_or("factor", static_cast<double>(positions.max) / original), original};
}

YarnScaling read_yarn(ConfigReader& rope, const Positions& positions) {
  const Stretch stretch = read_stretch(rope, positions);
  YarnScaling yarn{.factor = stretch.factor, .original_positions = stretch.original_positions};
  yarn.beta_fast = rope.positive_number_or("beta_fast", yarn.beta_fast);
  yarn.beta_slow = rope.positive_number_or("beta_slow", yarn.beta_slow);
  rope.require({"beta_fast", "beta_slow"}, yarn.beta_fast >= yarn.beta_slow, "the first to be no less than the second");
  yarn.truncate = rope.flag_or("truncate", yarn.truncate);
  yarn.attention_factor = rope.positive_number_or("attention_factor", yarn.attention_factor);
  yarn.mscale = rope.number_or("mscale", yarn.mscale);
  yarn.mscale_all_dim = rope.number_or("mscale_all_dim", yarn.mscale_all_dim);
  return yarn;
}

Llama3Scaling read_llama3(ConfigReader& rope, const Positions& positions) {
  const Stretch stretch = read_stretch(rope, positions);
  Llama3Scaling llama3{.factor = stretch.factor, .original_positions = stretch.original_positions};
  llama3.low_freq_factor = rope.positive_number("low_freq_factor");
  llama3.high_freq_factor = rope.positive_number("high_freq_factor");
  rope.require({"low_freq_factor", "high_freq_factor"}, llama3.low_freq_factor <= llama3.high_freq_factor,
               "the first to be no more than the second");
  return llama3;
}

void read_scaling(ConfigReader& rope, const Positions& positions, RotaryConfig& rotary) {
  const std::string type = rope.text_or("type", "default"), kind = rope.text_or("rope_type", type);
  rope.require({"rope_type", "type"}, !rope.has("type") || type == kind, "the same of both");
  if (kind == "linear")
    rotary.scaling = LinearScaling{rope.positive_number("factor")};
  else if (kind == "yarn")
    rotary.scaling = read_yarn(rope, positions);
  else if (kind == "llama3")
    rotary.scaling = read_llama3(rope, positions);
  else if (kind != "default")
    rope.refuse(rope.has("rope_type") ? "rope_type" : "type",
                "default, linear, yarn or llama3 (anything else is not implemented)", kind);
}

}  // namespace

RotaryConfig read_rotary(ConfigReader& reader, const ModelConfig& model, int64_t head_dim,
                         std::optional<double> partial) {
  RotaryConfig rotary{.dim = head_dim};
  std::string_view object_name;
  for (const std::string_view name : {"rope_parameters", "rope_scaling"}) {
    if (!reader.has(name)) continue;
    if (object_name.empty())
      object_name = name;
    else
      reader.require({object_name, name}, *reader.value(name) == *reader.value(object_name),
                     "one of them, or the same");
  }
  ConfigReader* scaled = object_name.empty() ? nullptr : &reader.inside(object_name, "rope.");
  rotary.theta = read_theta(reader, scaled);
  Positions positions{.max = model.max_positions, .original = {}};
  if (reader.has(kOriginal)) positions.original = reader.integer({kOriginal}, 1, 1 << 30);
  if (scaled != nullptr) read_scaling(*scaled, positions, rotary);
  if (partial) {
    double share = reader.positive_number_or("partial_rotary_factor", *partial);
    if (scaled != nullptr) share = scaled->positive_number_or("partial_rotary_factor", share);
    rotary.dim = static_cast<int64_t>(static_cast<double>(head_dim) * share);
    reader.require({"head_dim", "partial_rotary_factor"},
                   2 <= rotary.dim && rotary.dim <= head_dim && rotary.dim % 2 == 0,
                   fmt::format("an even number of dimensions that are turned, 2 … {}", head_dim));
  }
  return rotary;
}

}  // namespace switchyard
