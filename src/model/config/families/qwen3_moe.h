// Qwen3-MoE's text model, which Qwen3-VL-MoE has too.
#pragma once

#include "model/config/family.h"

namespace switchyard::families {

ModelConfig read_qwen3_moe(ConfigReader& reader);

/// Qwen3-VL writes its text model under this prefix, and the experts as [in, out].
inline constexpr Spelling kLanguageModel[] = {{"model.", "model.language_model."}};
inline constexpr TensorLayout kVisionLanguage{.spellings = kLanguageModel, .experts = ExpertLayout::fused_transposed};

}  // namespace switchyard::families
