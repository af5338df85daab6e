"""Random checkpoints, and what distinguishes a released one from what transformers saves: layouts, spellings, shards, quantised
weights."""
import json, math

import torch, transformers
from safetensors.torch import load_file, save_file

FUSED_EXPERTS = ("experts.gate_up_proj", "experts.down_proj")
EXPERTS_IN_OUT = ("gpt_oss", "llama4_text", "llama4")  # families whose fused experts are [E, in, out] in transformers' memory too


# ---- random weights ----------------------------------------------------------------------------------------------------------------

def fill(parameters, tied, generator, peak=1.0, sinks=1.0, experts_in_out=False):
    """Random values of a size that keeps states and logits of order one; `peak` scales routers and heads, `sinks` attention sinks."""
    normal = lambda shape: torch.randn(shape, generator=generator)
    for name, p in parameters:
        if name.endswith("sinks"):
            p.copy_(sinks * normal(p.shape))
        elif p.ndim == 1 or name.endswith("bias"):
            centre = 1 if "norm" in name and name.endswith("weight") else 0
            p.copy_(centre + 0.2 * normal(p.shape))
        elif "embed_tokens" in name:
            p.copy_(normal(p.shape) * (2 * peak / math.sqrt(p.shape[-1]) if tied else 1))
        else:
            gain = 2 * peak if name.endswith((".gate.weight", ".router.weight", "lm_head.weight")) else 1.3
            p.copy_(normal(p.shape) * gain / math.sqrt(p.shape[-2 if p.ndim == 3 and experts_in_out else -1]))


def random_transformers_checkpoint(path, family, dtype, seed, peak=1.0, sinks=1.0, selection_bias=(0, 0.1), **options):
    """As transformers saves it: config.json in the spelling of transformers 5. selection_bias: mean and spread of routers' biases."""
    config = transformers.CONFIG_MAPPING[family](**options)
    auto = transformers.AutoModelForImageTextToText if hasattr(config, "vision_config") else transformers.AutoModelForCausalLM
    model, generator = auto.from_config(config, dtype=torch.float32), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        fill(model.named_parameters(), config.tie_word_embeddings, generator, peak, sinks, family in EXPERTS_IN_OUT)
        for name, b in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                b.copy_(selection_bias[0] + selection_bias[1] * torch.randn(b.shape, generator=generator))
    model.to(dtype).save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)

def random_switchyard_checkpoint(path, config, seed, peak=1.0):
    d, hd, f = config["hidden_size"], config["head_dim"], config["moe_intermediate_size"]
    q, kv = config["num_attention_heads"] * hd, config["num_key_value_heads"] * hd
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], d), "model.norm.weight": (d,)}
    if not config["tie_word_embeddings"]: shapes["lm_head.weight"] = (config["vocab_size"], d)
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        shapes |= {p + "input_layernorm.weight": (d,), p + "post_attention_layernorm.weight": (d,),
                   p + "self_attn.q_proj.weight": (q, d), p + "self_attn.k_proj.weight": (kv, d),
                   p + "self_attn.v_proj.weight": (kv, d), p + "self_attn.o_proj.weight": (d, q),
                   p + "mlp.gate.weight": (config["num_experts"], d)}
        blocks = {f"{p}mlp.experts.{e}.": f for e in range(config["num_experts"])}
        if config["num_shared_experts"]: blocks[p + "mlp.shared_expert."] = f * config["num_shared_experts"]
        for block, width in blocks.items():
            shapes |= {block + "gate_proj.weight": (width, d), block + "up_proj.weight": (width, d),
                       block + "down_proj.weight": (d, width)}
    tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    fill(tensors.items(), config["tie_word_embeddings"], torch.Generator().manual_seed(seed), peak)
    path.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")


# ---- what released files hold ------------------------------------------------------------------------------------------------------

def rewrite_tensors(path, edit):
    save_file(edit(load_file(path / "model.safetensors")), path / "model.safetensors", metadata={"format": "pt"})


def edit_config(path, edit):
    config = json.loads((path / "config.json").read_text())
    edit(config)
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def released_spelling(config, rope_key="rope_type"):
    """transformers 5 -> transformers 4, the spelling of most released checkpoints."""
    text = config.get("text_config", config)
    rope = text.pop("rope_parameters")
    text["rope_theta"], kind = rope.pop("rope_theta"), rope.pop("rope_type")
    if "partial_rotary_factor" in rope: text["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    text["rope_scaling"] = {**rope, rope_key: kind} if rope or kind != "default" else None
    config["torch_dtype"] = config.pop("dtype")
    if text["model_type"].startswith("qwen3"): text["num_experts"] = text.pop("num_local_experts", text.get("num_experts"))
    config["transformers_version"] = "4.51.0"


def fuse_experts(tensors, num_experts, transposed=False):
    """A layer's experts as gate_up_proj [E, 2f, d] and down_proj [E, d, f]; transposed: [E, d, 2f] and [E, f, d]."""
    stems = {name.split("experts.")[0] + "experts." for name in tensors if ".experts." in name}
    turn = (lambda t: t.transpose(1, 2).contiguous()) if transposed else (lambda t: t)
    for s in sorted(stems):
        take = lambda kind: torch.stack([tensors.pop(f"{s}{e}.{kind}_proj.weight") for e in range(num_experts)])
        tensors[s + "gate_up_proj"] = turn(torch.cat([take("gate"), take("up")], 1))
        tensors[s + "down_proj"] = turn(take("down"))
    return tensors


def shard(path, num_files, order=sorted):
    """model.safetensors -> several files with an index; order(names): as they are spread over the files."""
    tensors = load_file(path / "model.safetensors")
    total = sum(t.nbytes for t in tensors.values())
    files, done = [{} for _ in range(num_files)], 0
    for name in order(tensors):
        files[min(done * num_files // total, num_files - 1)][name] = tensors[name]
        done += tensors[name].nbytes
    weight_map = {}
    for i, part in enumerate(files):
        file = f"model-{i + 1:05d}-of-{num_files:05d}.safetensors"
        save_file(part, path / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (path / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (path / "model.safetensors").unlink()


def transposed_experts(tensors):
    """Fused experts [E, out, in] <-> [E, in, out]."""
    return {name: t.mT.contiguous() if name.endswith(FUSED_EXPERTS) else t for name, t in tensors.items()}


def in_bfloat16(tensors, but=()):
    """All but those whose names end so."""
    return {name: t if name.endswith(tuple(but)) else t.bfloat16() for name, t in tensors.items()}


def mxfp4(w, generator):
    """[E, in, out] -> blocks u8 [E, out, in/32, 16], even columns in the low nibbles, and scales u8 [E, out, in/32]; the magnitudes are
    made to differ from block to block."""
    w = w.mT.unflatten(-1, (-1, 32))
    w = w * 2.0 ** torch.randint(-2, 3, (*w.shape[:3], 1), generator=generator)
    exponent = torch.floor(torch.log2(w.abs().amax(-1))) - 2
    distance = (w.abs() / 2.0 ** exponent[..., None])[..., None] - torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    code = distance.abs().argmin(-1) + 8 * (w < 0)
    return (code[..., 0::2] + 16 * code[..., 1::2]).to(torch.uint8), (exponent + 127).to(torch.uint8)


def with_mxfp4_experts(tensors, generator):
    for name in [n for n in tensors if n.endswith(FUSED_EXPERTS)]:
        tensors[name + "_blocks"], tensors[name + "_scales"] = mxfp4(tensors.pop(name).float(), generator)
    return tensors


def fp8(w, block, scale_dtype, generator):
    """[rows, columns] -> E4M3 and one factor for each block; the magnitudes are made to differ from block to block, and some blocks to
    be mostly subnormal."""
    grid = [-(-size // edge) for size, edge in zip(w.shape, block)]
    spread = lambda s: s.repeat_interleave(block[0], 0)[:len(w)].repeat_interleave(block[1], 1)[:, :w.shape[1]]
    w = w * spread(2 ** (2 * torch.rand(grid, generator=generator) - 1))
    padded = torch.nn.functional.pad(w.abs(), (0, grid[1] * block[1] - w.shape[1], 0, grid[0] * block[0] - len(w)))
    largest = padded.unflatten(0, (-1, block[0])).unflatten(2, (-1, block[1])).amax((1, 3))
    scale = (largest / 448 * torch.where(torch.rand(grid, generator=generator) < 0.1, 2.0 ** 13, 1.0)).to(scale_dtype)
    return (w / spread(scale.float())).clamp(-448, 448).to(torch.float8_e4m3fn), scale


def with_fp8_projections(tensors, block, scale_dtype, generator):
    """Every matrix of attention and feed-forward but the routers."""
    for name in [n for n in tensors if n.endswith("_proj.weight") or n.endswith("_proj_with_mqa.weight")]:
        if ".self_attn." in name or ".mlp." in name:
            tensors[name], tensors[name + "_scale_inv"] = fp8(tensors[name].float(), block, scale_dtype, generator)
    return tensors


def with_prediction_layer(tensors, num_layers, generator, experts=2):
    """A multi-token-prediction layer beyond the last, of the last one's names; a few experts and rows of its embedding are enough."""
    last, p = f"model.layers.{num_layers - 1}.", f"model.layers.{num_layers}."
    hidden = tensors["model.norm.weight"].numel()
    few = lambda name: ".experts." not in name or int(name.split(".experts.")[1].split(".")[0]) < experts
    shapes = {p + name.removeprefix(last): t.shape for name, t in tensors.items() if name.startswith(last) and few(name)}
    shapes |= {p + "embed_tokens.weight": (8, hidden), p + "enorm.weight": (hidden,), p + "hnorm.weight": (hidden,),
               p + "eh_proj.weight": (hidden, 2 * hidden), p + "shared_head.norm.weight": (hidden,),
               p + "shared_head.head.weight": (8, hidden)}
    return tensors | {name: torch.randn(shape, generator=generator).bfloat16() for name, shape in shapes.items()}
