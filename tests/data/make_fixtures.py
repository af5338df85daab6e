#!/usr/bin/env python3
"""Small random checkpoints with awkward shapes, and what independent software computes from them.

usage: make_fixtures.py [NAME...]     (all, into models/ and references/ beside this file)

The files in the repository were made with Python 3.11, torch 2.13.0, transformers 5.23.0, safetensors 0.8.0, h5py 3.16.0,
numpy 2.4; only these are needed.

references/NAME/input.h5      the scoring input: tokens/{values i32, offsets u64 [n + 1]}, context i32 [n], id
references/NAME/expected.h5   the truth: the stored weights in float64, by transformers or (switchyard) by formulas.py; of a quantised
                              checkpoint, the float32 model of its dequantised weights.
  logprob f64, tokens i32, greedy u8 [n]
  token_logprob, argmax, top_gap   /{values, offsets} over the scored tokens; top_gap: log-probability of the most likely token minus
                                   that of the second
  router_margin/{values, offsets}  over all tokens: the least gap, over layers, between the k-th and the next router score, and with
                                   groups of experts between the last group kept and the next. Where it is tiny, rounding may choose
                                   another expert, and all later tokens of the record may differ.
  embedding/{last, mean}           of the final-norm states over all positions [n, hidden]
  attributes {f32,bf16}_{max,mean}_abs_difference: of token_logprob, when transformers itself runs in that type (bf16 of `switchyard`:
                                   when the embedding table, the operands of every product but the router's, and the experts' results
                                   are rounded)
references/NAME/grad.safetensors  of some: the gradient of the mean negative log-probability over all scored tokens, by float64 autograd,
                                  stored in float32 under the names of the checkpoint's weights
"""
import json, shutil, sys, tempfile
from pathlib import Path

import torch

from checkpoints import (edit_config, fuse_experts, in_bfloat16, random_switchyard_checkpoint, random_transformers_checkpoint,
                         released_spelling, rewrite_tensors, shard, transposed_experts, with_fp8_projections, with_mxfp4_experts,
                         with_prediction_layer)
from formulas import Formulas
from references import Transformers, clear_follow, clear_records, follow, random_records, readable_copy, write_gradient, write_reference

ROOT = Path(__file__).resolve().parent


# ---- the fixtures: seeds for which routers choose clearly, in bf16 too ------------------------------------------------------------

LENGTHS, CONTEXTS = [1, 2, 3, 17, 64, 65, 70], [1, 1, 2, 17, 1, 60, 5]  # the fourth: nothing to score


def fixture_reference(name, seed, truth, others):
    vocab_size = json.loads((ROOT / "models" / name / "config.json").read_text())["vocab_size"]
    records = random_records(seed, vocab_size, LENGTHS)
    followed = follow(truth, records[3][:4], 20)  # one that is greedy
    write_reference(ROOT / "references" / name, records + [followed], CONTEXTS + [4], truth, others)


def from_transformers(name, family, dtype, seed, finish, **options):
    """finish(path): whatever else distinguishes the checkpoint, after transformers has computed from it."""
    path = ROOT / "models" / name
    shutil.rmtree(path, ignore_errors=True)
    random_transformers_checkpoint(path, family, dtype, seed, **options)
    with tempfile.TemporaryDirectory() as plain:
        shutil.copytree(path, plain, dirs_exist_ok=True)
        finish(path)
        fixture_reference(name, seed, Transformers(plain, torch.float64),
                          {"f32": Transformers(plain, torch.float32), "bf16": Transformers(plain, torch.bfloat16)})


def from_switchyard(name, seed, **config):
    path = ROOT / "models" / name
    shutil.rmtree(path, ignore_errors=True)
    random_switchyard_checkpoint(path, config, seed)
    fixture_reference(name, seed, Formulas(path), {"bf16": Formulas(path, in_bf16=True)})


def qwen3moe_dense(name):
    """Dense layers in between, tied, weights not renormalised, heads together wider than the hidden size, half of the experts."""
    from_transformers(name, "qwen3_moe", torch.float32, 1, lambda path: None, hidden_size=36, num_hidden_layers=6,
                      num_attention_heads=6,
                      num_key_value_heads=2, head_dim=12, num_experts=16, num_experts_per_tok=8, moe_intermediate_size=12,
                      intermediate_size=52, vocab_size=211, norm_topk_prob=False, tie_word_embeddings=True, decoder_sparse_step=2,
                      mlp_only_layers=[3], rope_theta=1e6, max_position_embeddings=128, rms_norm_eps=1e-6)


def qwen3moe_fused(name):
    """The experts of a layer in two tensors; config.json spelt as released."""
    def finish(path):
        rewrite_tensors(path, lambda tensors: fuse_experts(tensors, 16))
        edit_config(path, released_spelling)
    from_transformers(name, "qwen3_moe", torch.bfloat16, 2, finish, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                      num_key_value_heads=4, head_dim=8, num_experts=16, num_experts_per_tok=4, moe_intermediate_size=20,
                      intermediate_size=64, vocab_size=300, norm_topk_prob=True, tie_word_embeddings=False, rope_theta=5e5,
                      max_position_embeddings=128, rms_norm_eps=1e-6)


def qwen3moe_transposed(name):
    """As the text model of Qwen3-VL: another prefix, the experts as [in, out]. transformers computes from the plain layout."""
    def relayout(tensors):
        tensors = fuse_experts(tensors, 12, transposed=True)
        return {name.replace("model.", "model.language_model.", 1): t for name, t in tensors.items()}
    def finish(path):
        rewrite_tensors(path, relayout)
        edit_config(path, released_spelling)
    from_transformers(name, "qwen3_moe", torch.bfloat16, 3, finish, hidden_size=40, num_hidden_layers=2, num_attention_heads=4,
                      num_key_value_heads=2, head_dim=16, num_experts=12, num_experts_per_tok=3, moe_intermediate_size=24,
                      intermediate_size=64, vocab_size=129, norm_topk_prob=True, tie_word_embeddings=False, rope_theta=1e6,
                      max_position_embeddings=128, rms_norm_eps=1e-6)


def mixtral_sharded(name):
    """Three files with an index, 13 experts, head_dim left to hidden_size / heads."""
    def finish(path):
        shard(path, 3)
        edit_config(path, lambda config: config.update(head_dim=None))
    from_transformers(name, "mixtral", torch.float16, 7, finish, hidden_size=30, num_hidden_layers=2, num_attention_heads=5,
                      num_key_value_heads=1, num_local_experts=13, num_experts_per_tok=2, intermediate_size=27, vocab_size=61,
                      sliding_window=None, tie_word_embeddings=False, rope_theta=1e6, max_position_embeddings=128)


SWITCHYARD = dict(model_type="switchyard", architectures=["SwitchyardForCausalLM"], hidden_size=24, num_hidden_layers=2,
                  num_attention_heads=4, num_key_value_heads=2, head_dim=10, num_experts=16, num_experts_per_tok=4,
                  moe_intermediate_size=14, num_shared_experts=1, vocab_size=101, max_position_embeddings=128, rms_norm_eps=1e-5,
                  rope_theta=10000.0, tie_word_embeddings=False, torch_dtype="float32")


def switchyard_shared(name):
    from_switchyard(name, 5, **SWITCHYARD)


def switchyard_tied(name):
    """Two shared experts' width, tied embeddings."""
    from_switchyard(name, 6, **SWITCHYARD | dict(num_shared_experts=2, tie_word_embeddings=True, head_dim=6, num_key_value_heads=1))


# ---- the families of released checkpoints ------------------------------------------------------------------------------------------

def changed(way, value):
    """An edit of config.json: `way` is the keys to the field, with points between."""
    def edit(config):
        *outer, last = way.split(".")
        for key in outer: config = config[key]
        config[last] = value
    return edit


def check_agreement(name, transformers_, formulas, records):
    """The two independent computations, over every position."""
    worst = 0.0
    for record in records:
        a, b = transformers_(record), formulas(record)
        worst = max(worst, *((x - y).abs().nan_to_num().max().item() for x, y in zip(a, b)))
    print(f"{name}: transformers and formulas differ by {worst:.1e}")
    assert worst < 1e-8, "transformers and formulas disagree"


def check_felt(name, path, record, felt, without):
    """With another value of one setting, or without some tensors, the log-probabilities must be visibly others."""
    rows = lambda forward: torch.log_softmax(forward(record)[1], -1)
    truth, others = rows(Formulas(path)), {way: Formulas(path, changed(way, value)) for way, value in felt.items()}
    others |= {"no " + ending: Formulas(path, without=[ending]) for ending in without}
    difference = {way: (rows(other) - truth).abs().mean().item() for way, other in others.items()}
    print(f"{name}: felt:", ", ".join(f"{way} {value:.2g}" for way, value in difference.items()))
    assert min(difference.values(), default=1) > 0.02, "a setting is not felt"


def of_family(name, family, seed, finish, felt={}, without=(), **options):
    """finish(path): whatever else distinguishes the checkpoint, before anything is computed from it."""
    path = ROOT / "models" / name
    shutil.rmtree(path, ignore_errors=True)
    random_transformers_checkpoint(path, family, torch.float32, seed, **options)
    finish(path)
    with tempfile.TemporaryDirectory() as plain:
        readable_copy(path, plain)
        truth = Transformers(plain, torch.float64)
        others = {"f32": Transformers(plain, torch.float32), "bf16": Transformers(plain, torch.bfloat16)}
        vocab_size = truth.body.config.vocab_size
        records = clear_records(truth, seed, vocab_size, LONG_LENGTHS) + [clear_follow(truth, seed, vocab_size, 4, 20)]
        check_agreement(name, truth, Formulas(path), records)
        check_felt(name, path, records[-2], felt, without)
        write_reference(ROOT / "references" / name, records, LONG_CONTEXTS + [4], truth, others)


LONG_LENGTHS, LONG_CONTEXTS = [1, 2, 3, 17, 64, 65, 129, 200], [1, 1, 2, 17, 1, 60, 5, 1]  # the fourth: nothing to score


def in_bf16(path, tensors=lambda t: t, config=lambda c: None, released=True, rope_key="rope_type", but=("e_score_correction_bias",)):
    """As released: in bfloat16 but a few, and in the spelling of transformers 4; then further edits of tensors and config.json."""
    def edit(c):
        for part in (c, c.get("text_config", {}), c.get("vision_config", {})):
            if "dtype" in part: part["dtype"] = "bfloat16"
        if released: released_spelling(c, rope_key)
        config(c)
    rewrite_tensors(path, lambda t: tensors(in_bfloat16(t, but)))
    edit_config(path, edit)


def drop(*keys):
    """An edit of config.json's part for the text model: these fields go, and defaults hold."""
    return lambda config: [config.get("text_config", config).pop(key, None) for key in keys]


def gptoss(name):
    """Layer types out of step, activations clamped early, large sinks, tied, YaRN with other betas."""
    full, sliding = "full_attention", "sliding_attention"
    rope = dict(rope_type="yarn", rope_theta=150.0, factor=8.0, beta_fast=3.0, beta_slow=0.5, truncate=True,
                original_max_position_embeddings=64)
    of_family(name, "gpt_oss", 31, lambda path: in_bf16(path, released=False),
              felt={"swiglu_limit": 7.0, "sliding_window": 40, "layer_types": [sliding, full, sliding], "attention_bias": False,
                    "rope_parameters.truncate": False, "rope_parameters.beta_fast": 32.0, "rope_parameters.beta_slow": 1.0,
                    "rope_parameters.rope_type": "default", "rope_parameters.attention_factor": 1.0}, without=["sinks"],
              sinks=2.0, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
              num_local_experts=12,
              num_experts_per_tok=3, intermediate_size=8, vocab_size=190, sliding_window=21, layer_types=[full, sliding, sliding],
              swiglu_limit=1.5, tie_word_embeddings=True, rope_parameters=rope, max_position_embeddings=512, initial_context_length=64)


def gptoss_mxfp4(name):
    """As released: MXFP4, here with an expert's blocks and scales in different files."""
    def config(c):
        others = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
        c["quantization_config"] = dict(modules_to_not_convert=others, quant_method="mxfp4")
        c["experts_per_token"] = c["num_experts_per_tok"]
        drop("torch_dtype", "swiglu_alpha")(c)
    def finish(path):
        in_bf16(path, lambda t: with_mxfp4_experts(t, torch.Generator().manual_seed(32)), config)
        shard(path, 2, order=lambda names: sorted(names, key=lambda n: (n.endswith("_scales"), n)))
    rope = dict(rope_type="yarn", rope_theta=150000.0, factor=32.0, beta_fast=32.0, beta_slow=1.0, truncate=False,
                original_max_position_embeddings=64)
    of_family(name, "gpt_oss", 32, finish,
              felt={"sliding_window": 64, "rope_scaling.truncate": True, "rope_scaling.factor": 16.0, "swiglu_limit": 3.0},
              without=["sinks"],
              hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=12, num_local_experts=12,
              num_experts_per_tok=4, intermediate_size=64, vocab_size=150, sliding_window=37, tie_word_embeddings=False,
              rope_parameters=rope,
              max_position_embeddings=2048, initial_context_length=64)


def glm4moe(name):
    """Two of four groups (selection biases so low that a dropped expert must not count as nought), weights not renormalised, biases, no
    norms of queries and keys, an odd rotary share at top level, and a multi-token-prediction layer in the file."""
    def finish(path):
        in_bf16(path, lambda t: with_prediction_layer(t, 3, torch.Generator().manual_seed(33)),
                lambda c: c.update(num_nextn_predict_layers=1))
    of_family(name, "glm4_moe", 33, finish,
              felt={"topk_group": 4, "n_group": 2, "norm_topk_prob": True, "attention_bias": False, "partial_rotary_factor": 0.5,
                    "routed_scaling_factor": 1.0}, without=["e_score_correction_bias"],
              selection_bias=(-0.9, 0.4), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
              head_dim=16,
              n_routed_experts=12, num_experts_per_tok=3, moe_intermediate_size=6, intermediate_size=40, n_shared_experts=1,
              first_k_dense_replace=1, n_group=4, topk_group=2, norm_topk_prob=False, routed_scaling_factor=1.6, use_qk_norm=False,
              attention_bias=True, vocab_size=130, max_position_embeddings=512, tie_word_embeddings=False, rms_norm_eps=1e-5,
              rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.4))


def glm4moe_plain(name):
    """Norms of queries and keys, no biases, no groups, the rotary share and other fields left to their defaults; float32."""
    def config(c):
        released_spelling(c)
        drop("partial_rotary_factor", "first_k_dense_replace", "n_group", "topk_group", "norm_topk_prob", "attention_bias")(c)
    of_family(name, "glm4_moe", 34, lambda path: edit_config(path, config),
              felt={"use_qk_norm": False, "partial_rotary_factor": 1.0, "norm_topk_prob": False}, without=["e_score_correction_bias"],
              hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, head_dim=12, n_routed_experts=12,
              num_experts_per_tok=4, moe_intermediate_size=8, intermediate_size=36, n_shared_experts=2, first_k_dense_replace=1,
              routed_scaling_factor=1.0, use_qk_norm=True, attention_bias=False, vocab_size=131, max_position_embeddings=256,
              rms_norm_eps=1e-3, tie_word_embeddings=False,
              rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5))


def deepseekv3(name):
    """Queries without a latent, YaRN with unequal mscales under the older key, two of four groups, FP8 blocks that do not divide the
    weights, and a multi-token-prediction layer in the file."""
    generator = torch.Generator().manual_seed(35)
    def tensors(t):
        return with_fp8_projections(with_prediction_layer(t, 3, generator), (16, 32), torch.float32, generator)
    def config(c):
        drop("rope_interleave", "head_dim", "qk_head_dim", "pretraining_tp")(c)
        c["num_nextn_predict_layers"] = 1
        c["quantization_config"] = dict(activation_scheme="dynamic", fmt="e4m3", quant_method="fp8", weight_block_size=[16, 32])
    rope = dict(rope_type="yarn", rope_theta=10000.0, factor=40.0, beta_fast=32, beta_slow=1, mscale=0.7, mscale_all_dim=1.2,
                original_max_position_embeddings=64)
    of_family(name, "deepseek_v3", 35, lambda path: in_bf16(path, tensors, config, rope_key="type"),
              felt={"rope_scaling.mscale": 1.2, "rope_scaling.mscale_all_dim": 0.7, "topk_group": 4, "n_group": 2,
                    "rope_interleave": False,
                    "norm_topk_prob": False, "routed_scaling_factor": 1.0}, without=["e_score_correction_bias"],
              selection_bias=(0.5, 0.4), hidden_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
              q_lora_rank=None,
              kv_lora_rank=20, qk_nope_head_dim=12, qk_rope_head_dim=8, v_head_dim=10, n_routed_experts=12, num_experts_per_tok=4,
              moe_intermediate_size=12, intermediate_size=50, n_shared_experts=1, first_k_dense_replace=1, n_group=4, topk_group=2,
              norm_topk_prob=True, routed_scaling_factor=2.5, vocab_size=120, max_position_embeddings=2560, tie_word_embeddings=False,
              rope_parameters=rope, attention_bias=False)


def kimik2(name):
    """Queries through a latent, whose norms do not take the model's epsilon; no groups, biases in attention,
    YaRN with one beta for both
    ends. transformers knows it as deepseek_v3."""
    def config(c):
        drop("rope_interleave", "head_dim", "qk_head_dim")(c)
        c.update(model_type="kimi_k2", scoring_func="sigmoid", topk_method="noaux_tc", moe_layer_freq=1, ep_size=1,
                 num_nextn_predict_layers=0)
    rope = dict(rope_type="yarn", rope_theta=500.0, factor=32.0, beta_fast=1.0, beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0,
                original_max_position_embeddings=40)
    of_family(name, "deepseek_v3", 36, lambda path: in_bf16(path, config=config, rope_key="type"),
              felt={"rope_scaling.beta_fast": 32.0, "rope_scaling.mscale_all_dim": 0.5, "routed_scaling_factor": 1.0,
                    "attention_bias": False,
                    "rope_scaling.type": "default"}, without=["e_score_correction_bias"],
              hidden_size=32, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3, q_lora_rank=24, kv_lora_rank=18,
              qk_nope_head_dim=10, qk_rope_head_dim=12, v_head_dim=14, n_routed_experts=14, num_experts_per_tok=4,
              moe_intermediate_size=8,
              intermediate_size=44, n_shared_experts=2, first_k_dense_replace=2, n_group=1, topk_group=1, norm_topk_prob=True,
              routed_scaling_factor=2.827, rms_norm_eps=1e-3, vocab_size=170, max_position_embeddings=1280, tie_word_embeddings=False,
              rope_parameters=rope,
              attention_bias=True)


def dots1(name):
    """A sliding window from layer 1 on, said by max_window_layers alone; biases, tied, weights not renormalised."""
    def config(c):
        drop("layer_types")(c)
    of_family(name, "dots1", 37, lambda path: in_bf16(path, config=config, released=False),
              felt={"sliding_window": 40, "max_window_layers": 2, "norm_topk_prob": True, "attention_bias": False},
              without=["e_score_correction_bias"],
              hidden_size=36, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3, head_dim=12, n_routed_experts=12,
              num_experts_per_tok=4, moe_intermediate_size=8, intermediate_size=44, n_shared_experts=1, first_k_dense_replace=1,
              n_group=1,
              topk_group=1, norm_topk_prob=False, routed_scaling_factor=1.5, attention_bias=True, sliding_window=19,
              max_window_layers=1,
              vocab_size=180, max_position_embeddings=256, tie_word_embeddings=True, rms_norm_eps=1e-5,
              rope_parameters=dict(rope_type="default", rope_theta=1e4))


LLAMA4_VISION = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, vision_output_dim=8,
                     image_size=28, patch_size=14,
                     projector_input_dim=8, projector_output_dim=8)


def llama4(name):
    """As released: the text model beside a vision tower, every layer sparse, irregular layers without positions, chunks,
    temperature."""
    def config(c):
        drop("layer_types", "moe_layers", "no_rope_layer_interval")(c)
        c["text_config"]["attn_temperature_tuning"] = 4  # transformers 5 insists on a bool
    rope = dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                original_max_position_embeddings=160)
    text = dict(model_type="llama4_text", hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                head_dim=12,
                num_local_experts=12, num_experts_per_tok=1, intermediate_size=8, intermediate_size_mlp=48, interleave_moe_layer_step=1,
                no_rope_layers=[0, 1, 1], use_qk_norm=True, attention_chunk_size=24, floor_scale=30, attn_scale=0.4,
                rope_parameters=rope,
                vocab_size=150, max_position_embeddings=1280, rms_norm_eps=1e-3, tie_word_embeddings=False,
                pad_token_id=None)
    of_family(name, "llama4", 38, lambda path: in_bf16(path, config=config),
              felt={"attn_temperature_tuning": 0, "attn_scale": 0.1, "floor_scale": 60, "attention_chunk_size": 48,
                    "no_rope_layers": [1, 0, 1],
                    "use_qk_norm": False, "rope_scaling.rope_type": "default", "rope_scaling.high_freq_factor": 2.0},
              text_config=text, vision_config=LLAMA4_VISION)


def llama4text(name):
    """Sparse layers in between, biases, no norms of queries and keys, no temperature; many fields left to their defaults."""
    def config(c):
        drop("layer_types", "moe_layers", "no_rope_layers", "no_rope_layer_interval", "attention_chunk_size", "attn_scale",
             "rope_theta", "rms_norm_eps",
             "num_local_experts", "num_experts_per_tok", "tie_word_embeddings")(c)
    rope = dict(rope_type="llama3", rope_theta=500000.0, factor=16.0, low_freq_factor=1.0, high_freq_factor=1.0,
                original_max_position_embeddings=128)
    of_family(name, "llama4_text", 39, lambda path: in_bf16(path, config=config),
              felt={"attn_temperature_tuning": True, "use_qk_norm": True, "attention_bias": False, "no_rope_layers": [1, 1, 1, 1],
                    "attention_chunk_size": 64, "rope_scaling.rope_type": "default"},
              hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=1, head_dim=12, num_local_experts=16,
              num_experts_per_tok=1, intermediate_size=6, intermediate_size_mlp=40, interleave_moe_layer_step=2, use_qk_norm=False,
              attention_bias=True, attn_temperature_tuning=False, floor_scale=16, rope_parameters=rope, vocab_size=140,
              max_position_embeddings=2048, pad_token_id=None)


def qwen3vlmoe(name):
    """As released: the text model beside a vision tower, experts [E, in, out]. Only the outer config says that nothing is tied."""
    text = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, head_dim=12, num_experts=14,
                num_experts_per_tok=3,
                moe_intermediate_size=10, intermediate_size=44, mlp_only_layers=[1], norm_topk_prob=True, vocab_size=160,
                max_position_embeddings=256,
                rope_parameters=dict(rope_type="default", rope_theta=5e4, mrope_section=[2, 2, 2], mrope_interleaved=True))
    vision = dict(depth=1, hidden_size=8, num_heads=2, intermediate_size=8, out_hidden_size=32, patch_size=2, spatial_merge_size=1,
                  temporal_patch_size=1,
                  num_position_embeddings=4, deepstack_visual_indexes=[0])
    of_family(name, "qwen3_vl_moe", 40, lambda path: in_bf16(path, transposed_experts),
              felt={"tie_word_embeddings": True, "rope_theta": 1e3},
              text_config=text, vision_config=vision, tie_word_embeddings=False)


def qwen3moe_yarn(name):
    """Biases in attention, YaRN with its attention factor given and a factor that is not the ratio of lengths."""
    rope = dict(rope_type="yarn", rope_theta=1000.0, factor=6.0, attention_factor=1.35, original_max_position_embeddings=48)
    of_family(name, "qwen3_moe", 41, lambda path: in_bf16(path),
              felt={"attention_bias": False, "rope_scaling.attention_factor": None, "rope_scaling.factor": 512 / 48,
                    "rope_scaling.rope_type": "default"},
              hidden_size=36, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=14, num_experts=20,
              num_experts_per_tok=5,
              moe_intermediate_size=8, intermediate_size=44, norm_topk_prob=True, tie_word_embeddings=False, attention_bias=True,
              vocab_size=170,
              max_position_embeddings=512, rms_norm_eps=1e-6, rope_parameters=rope)


def qwen3moe_linear(name):
    """Linear scaling of positions under the older key; FP8 blocks larger than the weights, scales in bfloat16, a dense layer."""
    def tensors(t): return with_fp8_projections(t, (128, 128), torch.bfloat16, torch.Generator().manual_seed(42))
    def config(c):
        c["quantization_config"] = dict(activation_scheme="dynamic", fmt="e4m3", quant_method="fp8", weight_block_size=[128, 128],
                                        modules_to_not_convert=["lm_head", "model.layers.0.mlp.gate", "model.layers.2.mlp.gate"])
    of_family(name, "qwen3_moe", 42, lambda path: in_bf16(path, tensors, config, rope_key="type"), felt={"rope_scaling.factor": 1.0},
              hidden_size=40, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=3, head_dim=20, num_experts=12,
              num_experts_per_tok=4,
              moe_intermediate_size=16, intermediate_size=150, mlp_only_layers=[1], norm_topk_prob=True, tie_word_embeddings=False,
              vocab_size=130,
              max_position_embeddings=512, rms_norm_eps=1e-6, rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=3.5))


def mixtral_window(name):
    """Every layer slides."""
    of_family(name, "mixtral", 43, lambda path: in_bf16(path), felt={"sliding_window": None},
              hidden_size=36, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10, num_local_experts=12,
              num_experts_per_tok=2, intermediate_size=12, vocab_size=150, sliding_window=11, tie_word_embeddings=False,
              rope_parameters=dict(rope_type="default", rope_theta=100.0), max_position_embeddings=512)


def qwen3moe_window(name):
    """The same, where a flag says so."""
    of_family(name, "qwen3_moe", 44, lambda path: in_bf16(path), felt={"use_sliding_window": False, "sliding_window": 40},
              hidden_size=36, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=10, num_experts=12,
              num_experts_per_tok=2, moe_intermediate_size=12, intermediate_size=44, norm_topk_prob=True, vocab_size=150,
              use_sliding_window=True, sliding_window=17, max_window_layers=1, tie_word_embeddings=False,
              rope_parameters=dict(rope_type="default", rope_theta=100.0), max_position_embeddings=512, rms_norm_eps=1e-6)


FIXTURES = {"qwen3moe-dense": qwen3moe_dense, "qwen3moe-fused": qwen3moe_fused, "qwen3moe-transposed": qwen3moe_transposed,
            "mixtral-sharded": mixtral_sharded, "switchyard-shared": switchyard_shared, "switchyard-tied": switchyard_tied,
            "gptoss": gptoss, "gptoss-mxfp4": gptoss_mxfp4, "glm4moe": glm4moe, "glm4moe-plain": glm4moe_plain,
            "deepseekv3": deepseekv3,
            "kimik2": kimik2, "dots1": dots1, "llama4": llama4, "llama4text": llama4text, "qwen3vlmoe": qwen3vlmoe,
            "qwen3moe-yarn": qwen3moe_yarn, "qwen3moe-linear": qwen3moe_linear,
            "mixtral-window": mixtral_window, "qwen3moe-window": qwen3moe_window}

WITH_GRADIENT = ["qwen3moe-dense", "qwen3moe-yarn", "mixtral-window"]

if __name__ == "__main__":
    torch.set_grad_enabled(False)
    for fixture in sys.argv[1:] or FIXTURES:
        FIXTURES[fixture](fixture)
        if fixture in WITH_GRADIENT: write_gradient(ROOT / "models" / fixture, ROOT / "references" / fixture)
