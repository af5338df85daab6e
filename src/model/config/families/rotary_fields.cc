// Rotary embedding as config.json has it: rope_theta at top level or within rope_parameters; how it is scaled in there,
// or in rope_scaling. The kind of scaling is its rope_type, or type. transformers/modeling_rope_utils.
#include "model/config/families/shared_fields.h"

namespace switchyard::families {
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
  std::optional<int64_t> original;  ///< as said at top level, where it may stand too
};

double read_original(ConfigReader& rope, const Positions& positions) {
  const int64_t original = rope.integer_or(kOriginal, positions.original.value_or(positions.max), 1, 1 << 30);
  if (positions.original && original != *positions.original)
    rope.refuse(kOriginal, fmt::format("the same as at top level, which is {}", *positions.original), original);
  return static_cast<double>(original);
}

YarnScaling read_yarn(ConfigReader& rope, const Positions& positions) {
  if (!rope.has("factor") && !rope.has(kOriginal) && !positions.original) rope.refuse_missing({"factor"});
  YarnScaling yarn{.original_positions = read_original(rope, positions)};
  // One that is given wins over the ratio of lengths.
  yarn.factor = rope.positive_number_or("factor", static_cast<double>(positions.max) / yarn.original_positions);
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
  Llama3Scaling llama3{.factor = rope.positive_number("factor"), .original_positions = read_original(rope, positions)};
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
  else if (kind != "default") {
    rope.take_all();
    rope.refuse(rope.has("rope_type") ? "rope_type" : "type",
                "default, linear, yarn or llama3 (anything else is not implemented)", kind);
  }
}

/// How many dimensions of a head are turned: a share of them, said at top level or in the object.
int64_t read_turned(ConfigReader& reader, ConfigReader* object, int64_t head_dim, double absent) {
  constexpr const char* kShare = "partial_rotary_factor";
  const double top = reader.positive_number_or(kShare, absent);
  const bool inside = object != nullptr && object->has(kShare);
  const double share = inside ? object->positive_number(kShare) : top;
  if (inside && reader.has(kShare) && share != top)
    object->refuse(kShare, fmt::format("the same as at top level, which is {}", top), *object->value(kShare));
  const auto turned = static_cast<int64_t>(static_cast<double>(head_dim) * share);
  reader.require({"head_dim", kShare}, 2 <= turned && turned <= head_dim && turned % 2 == 0,
                 fmt::format("an even number of dimensions that are turned, 2 … {}", head_dim));
  return turned;
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
  if (std::holds_alternative<YarnScaling>(rotary.scaling) && rotary.theta <= 1)
    reader.refuse(fmt::format("YaRN with a rope_theta of {}: expected more than 1", rotary.theta));
  if (partial) rotary.dim = read_turned(reader, scaled, head_dim, *partial);
  return rotary;
}

}  // namespace switchyard::families
