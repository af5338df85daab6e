// Small models that between them have everything that a model may have.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "model/config/model_config.h"

namespace switchyard::test {

/// A dense layer and two with experts and a shared one, with per-head norms.
ModelConfig sample_plain();
/// Latents for queries (or, `direct`, queries by themselves), keys and values of unlike sizes; a sigmoid router with
/// groups and a bias.
ModelConfig sample_latent(bool direct);
/// Windows, sinks, biases everywhere, a router with a bias, a clamped activation; YaRN.
ModelConfig sample_sinks();
/// Chunks, and layers without rotary embedding whose queries have a temperature; norms after it; inputs of experts
/// scaled.
ModelConfig sample_chunks();

/// All of them by name.
std::vector<std::pair<std::string, ModelConfig>> sample_configs();

}  // namespace switchyard::test
