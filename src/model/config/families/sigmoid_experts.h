// The feed-forward blocks of DeepSeek-V3, GLM-4.5 and dots.llm1: a router with sigmoid scores, a bias for the choice
// alone and groups of experts ("noaux_tc"), shared experts, dense layers first.
#pragma once

#include "model/config/family.h"

namespace switchyard::families {

/// Fills in every layer's feed_forward.
void read_sigmoid_experts(ConfigReader& reader, ModelConfig& model);

inline constexpr Spelling kSharedExperts[] = {{"mlp.shared_expert.", "mlp.shared_experts."}};
inline constexpr TensorLayout kSigmoidLayouts[] = {{.spellings = kSharedExperts},
                                                   {.spellings = kSharedExperts, .experts = ExpertLayout::fused}};

}  // namespace switchyard::families
