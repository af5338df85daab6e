#include "model/config/config_fields.h"

#include <algorithm>

namespace switchyard {
namespace {

constexpr std::string_view kHarmless[] = {
    // What the model is called, and by which software it was written or is to be read.
    "_name_or_path", "architectures", "auto_map", "model_type", "name_or_path", "tokenizer_class",
    "transformers.js_config", "transformers_version", "unsloth_fixed", "unsloth_version", "_commit_hash",
    // How transformers computes, not what; the dtype is each tensor's own.
    "_attn_implementation", "_attn_implementation_autoset", "_attn_implementation_internal", "_experts_implementation",
    "_flash_attn_2_enabled", "_pre_quantization_dtype", "attn_implementation", "cache_config", "cache_implementation",
    "chunk_size_feed_forward", "compile_config", "disable_compile", "dtype", "ep_size", "experts_implementation",
    "low_memory", "prefill_chunk_size", "return_legacy_cache", "torch_dtype", "torchscript", "use_bfloat16",
    "use_cache", "use_flash_attention", "use_flash_attention_2", "use_flash_attn",
    // What is returned beside the logits.
    "keys_to_ignore_at_inference", "num_logits_to_keep", "output_attentions", "output_hidden_states", "output_logits",
    "output_router_logits", "output_scores", "return_dict", "return_dict_in_generate", "use_return_dict",
    // Token ids, and how a tokenizer is to be used.
    "bos_token_id", "cls_token_id", "decoder_start_token_id", "eos_token_id", "mask_token_id", "model_max_length",
    "pad_token_id", "sep_token_id", "unk_token_id",
    // What other modalities than text need, beside a text_config.
    "boi_token_index", "eoi_token_index", "image_token_id", "image_token_index", "video_token_id", "vision_config",
    "vision_end_token_id", "vision_start_token_id",
    // Training: initial weights, losses and what is random.
    "attention_dropout", "attn_dropout", "attn_pdrop", "aux_loss_alpha", "embd_pdrop", "expert_dropout",
    "for_llm_compressor", "gradient_checkpointing", "hidden_dropout", "ignore_index", "initializer_factor",
    "initializer_range", "input_jitter_noise", "layerdrop", "loss_type", "resid_pdrop", "router_aux_loss_coef",
    "router_jitter_noise", "router_z_loss_coef", "seq_aux", "tf_legacy_loss",
    // Heads for tasks other than the next token, and the other half of an encoder-decoder.
    "classifier_dropout", "cross_attention_hidden_size", "finetuning_task", "id2label", "is_decoder", "label2id",
    "num_labels", "prefix", "problem_type", "task_specific_params", "tie_encoder_decoder",
    // Generation: transformers wrote it here before there was a generation_config.json.
    "assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind", "bad_words_ids",
    "begin_suppress_tokens", "constraints", "diversity_penalty", "do_sample", "dola_layers", "early_stopping",
    "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "epsilon_cutoff", "eta_cutoff",
    "exponential_decay_length_penalty", "force_words_ids", "forced_bos_token_id", "forced_decoder_ids",
    "forced_eos_token_id", "generation_kwargs", "guidance_scale", "is_assistant", "length_penalty", "max_length",
    "max_matching_ngram_size", "max_new_tokens", "max_time", "min_length", "min_new_tokens", "min_p",
    "no_repeat_ngram_size", "num_assistant_tokens", "num_assistant_tokens_schedule", "num_beam_groups", "num_beams",
    "num_return_sequences", "penalty_alpha", "prompt_lookup_num_tokens", "remove_invalid_values", "renormalize_logits",
    "repetition_penalty", "sequence_bias", "stop_strings", "suppress_tokens", "target_lookbehind", "temperature",
    "token_healing", "top_k", "top_p", "typical_p", "watermarking_config",
    // Which layers slide, where some do: of families that do not look at it, none or all. Another name for YaRN's
    // original positions.
    "initial_context_length", "max_window_layers",
    // Within rope_scaling: positions of text are the same on all three of Qwen-VL's axes; a length that only scaled
    // embeddings look at; the base, which is read by itself.
    "rope.mrope_interleaved", "rope.mrope_section", "rope.original_max_position_embeddings", "rope.rope_theta"};

struct Neutral {
  std::string_view name, json;
};

constexpr Neutral kNeutral[] = {
    // Attention: no biases, plain rotary embedding over the whole head of every layer.
    {"attention_bias", "false"},
    {"attention_out_bias", "false"},
    {"o_bias", "false"},
    {"partial_rotary_factor", "1.0"},
    {"qkv_bias", "false"},
    {"rotary_pct", "1.0"},
    {"use_rope", "true"},
    {"rope.attention_factor", "1.0"},
    {"rope.factor", "1.0"},
    {"rope.partial_rotary_factor", "1.0"},
    {"rope.rope_type", "\"default\""},
    {"rope.type", "\"default\""},
    // Experts: SwiGLU without biases or clamping; every token by softmax to any of them.
    {"hidden_act", "\"silu\""},
    {"hidden_act", "\"swish\""},  // another name of it
    {"hidden_activation", "\"silu\""},
    {"mlp_bias", "false"},
    {"moe_router_activation_func", "\"softmax\""},
    {"n_group", "1"},
    {"num_expert_group", "1"},
    {"routed_scaling_factor", "1.0"},
    {"scoring_func", "\"softmax\""},
    {"topk_group", "1"},
    {"topk_method", "\"greedy\""},
    {"use_bias", "false"},
    {"use_routing_bias", "false"},
    // Which layers there are: experts everywhere but where the family says otherwise, none beyond the last, none
    // shared.
    {"add_cross_attention", "false"},
    {"first_k_dense_replace", "0"},
    {"is_encoder_decoder", "false"},
    {"moe_layer_freq", "1"},
    {"mtp_num_hidden_layers", "0"},
    {"n_shared_experts", "0"},
    {"num_mtp_modules", "0"},
    {"num_shared_experts", "0"},
    {"pruned_heads", "{}"},
    {"shared_expert_intermediate_size", "0"},
    {"shared_intermediate_size", "0"},
    {"use_mtp", "false"},
    // Scales between layers and of the logits.
    {"embedding_multiplier", "1.0"},
    {"lm_head_bias", "false"},
    {"lm_head_multiplier", "1.0"},
    {"logit_scale", "1.0"},
    {"logits_scaling", "1.0"},
    {"pretraining_tp", "1"},
    {"residual_multiplier", "1.0"},
};

}  // namespace

bool is_harmless_field(std::string_view name) {
  return std::find(std::begin(kHarmless), std::end(kHarmless), name) != std::end(kHarmless);
}

std::vector<Json> neutral_values(std::string_view name) {
  std::vector<Json> values;
  for (const Neutral& neutral : kNeutral)
    if (neutral.name == name) values.push_back(parse_json(neutral.json, name));
  return values;
}

}  // namespace switchyard
