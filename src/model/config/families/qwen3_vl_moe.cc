// Qwen3-VL-MoE's text model: Qwen3-MoE, with positions on three axes (mrope_section), which are one for text.
// transformers/models/qwen3_vl_moe.
#include "model/config/families/qwen3_moe.h"
#include "model/config/families/shared_fields.h"

namespace switchyard::families {
namespace {

/// Whatever transformers' class has no field for: weights are always shares of the chosen experts, and nothing slides.
ModelConfig read(ConfigReader& reader) {
  ModelConfig c = read_qwen3_moe(reader);
  c.tied_embeddings = reader.flag_or("tie_word_embeddings", true);
  reader.only("norm_topk_prob", true);
  reader.only("use_sliding_window", false);
  for (LayerConfig& layer : c.layers)
    if (auto* moe = std::get_if<MoeConfig>(&layer.feed_forward)) moe->router.renormalise = true;
  return c;
}

ModelConfig read_nested(ConfigReader& reader) {
  return read_text_part(reader, "qwen3_vl_moe_text", read);
}

// Released files have experts as [in, out], transformers 5 saves them as [out, in] under the same names.
constexpr TensorLayout kLayouts[] = {
    kVisionLanguage,
    {.spellings = kLanguageModel, .experts = ExpertLayout::fused},
    {.spellings = kLanguageModel},
    {.experts = ExpertLayout::fused_transposed},
    {.experts = ExpertLayout::fused},
    {},
};
constexpr std::string_view kVision[] = {"model.visual.", "visual."};

}  // namespace

extern const Family qwen3_vl_moe{"qwen3_vl_moe", read_nested, kLayouts, kVision};
extern const Family qwen3_vl_moe_text{"qwen3_vl_moe_text", read, kLayouts, kVision};

}  // namespace switchyard::families
