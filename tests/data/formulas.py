"""Every family of models by its formulas alone, in float64, from the files of a checkpoint as they are.

Beside transformers this is the second, independent computation of the fixtures (make_fixtures.py): the two must agree, and what they
agree on is what Switchyard is tested against. Written to be compared with papers and model cards, not to be fast.
"""
import json, math
from pathlib import Path

import torch
from safetensors.torch import load_file

# What transformers assumes where config.json is silent, as far as the fixtures are silent.
SIGMOID_ROUTED = dict(n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=1.0, attention_bias=False,
                      first_k_dense_replace=1)
DEFAULTS = {
    "gpt_oss": dict(attention_bias=True),
    "deepseek_v3": SIGMOID_ROUTED | dict(rope_interleave=True),
    "kimi_k2": SIGMOID_ROUTED | dict(rope_interleave=True),
    "glm4_moe": SIGMOID_ROUTED | dict(use_qk_norm=False, partial_rotary_factor=0.5, rope_theta=10000.0),
    "dots1": SIGMOID_ROUTED | dict(use_qk_norm=True),
    "llama4_text": dict(attention_bias=False, use_qk_norm=True, rope_theta=500000.0, num_experts_per_tok=1, num_local_experts=16,
                        interleave_moe_layer_step=1, no_rope_layer_interval=4, attention_chunk_size=8192, attn_temperature_tuning=True,
                        floor_scale=8192, attn_scale=0.1, rms_norm_eps=1e-5),
    "qwen3_moe": dict(use_qk_norm=True, decoder_sparse_step=1, mlp_only_layers=[]),
    "qwen3_vl_moe_text": dict(use_qk_norm=True, decoder_sparse_step=1, mlp_only_layers=[], norm_topk_prob=True),
    "mixtral": dict(norm_topk_prob=True),
    "switchyard": dict(norm_topk_prob=True),
}


def text_settings(path):
    """The fields that describe the text model, nested or not."""
    config = json.loads((Path(path) / "config.json").read_text())
    text = config.get("text_config", config)
    tied = config.get("tie_word_embeddings", False)  # of a nested model, the outer one counts
    return DEFAULTS[text["model_type"]] | text | {"tie_word_embeddings": tied}


# ---- quantised weights -------------------------------------------------------------------------------------------------------------

def from_mxfp4(blocks, scales):
    """u8 [E, out, in/32, 16] and u8 [E, out, in/32] -> [E, in, out]; the low nibble comes first: sign, then one of eight magnitudes."""
    code = torch.stack([blocks & 15, blocks >> 4], -1).flatten(-2).long()
    magnitude = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6], dtype=torch.float64)[code & 7]
    value = torch.where(code > 7, -magnitude, magnitude) * 2.0 ** (scales.double() - 127)[..., None]
    return value.flatten(-2).mT.contiguous()


def from_fp8(weight, scale, block):
    """scale: one factor for each block of `block` rows and columns, those at the lower and right edge cut short. The weights meant are
    the products in float32."""
    rows, columns = weight.shape
    return weight.float() * scale.float().repeat_interleave(block[0], 0)[:rows].repeat_interleave(block[1], 1)[:, :columns]


def weights(path):
    """Every tensor of the checkpoint, dequantised, under the name it has in the file; fractions in float64."""
    path = Path(path)
    quantization = json.loads((path / "config.json").read_text()).get("quantization_config") or {}
    tensors = {name: t for file in sorted(path.glob("*.safetensors")) for name, t in load_file(file).items()}
    for name in list(tensors):
        if name.endswith("_blocks"):
            stem = name.removesuffix("_blocks")
            tensors[stem] = from_mxfp4(tensors.pop(name), tensors.pop(stem + "_scales"))
        elif name.endswith(".weight_scale_inv"):
            stem = name.removesuffix("_scale_inv")
            tensors[stem] = from_fp8(tensors[stem], tensors.pop(name), quantization["weight_block_size"])
    return {name: t.double() for name, t in tensors.items()}


def plain_name(name):
    """Without the prefixes of text models that stand beside a vision tower."""
    prefixes = {"language_model.model.": "model.", "model.language_model.": "model.", "language_model.lm_head.": "lm_head."}
    for nested, plain in prefixes.items():
        if name.startswith(nested): return plain + name.removeprefix(nested)
    return name


# ---- rotary frequencies ------------------------------------------------------------------------------------------------------------

def rope_settings(c):
    """The object, whatever its key; its `rope_theta` may stand beside it."""
    rope = dict(c.get("rope_parameters") or c.get("rope_scaling") or {})
    if "original_max_position_embeddings" in c: rope["original_max_position_embeddings"] = c["original_max_position_embeddings"]
    return {"rope_theta": c.get("rope_theta"), **rope, "kind": rope.get("rope_type", rope.get("type", "default"))}


def mscale(factor, a): return 0.1 * a * math.log(factor) + 1 if factor > 1 else 1.0


def rotary(c, dim):
    """Frequencies [dim/2] of the rotated pairs, and the factor of cos and sin."""
    rope = rope_settings(c)
    theta, kind = rope["rope_theta"], rope["kind"]
    inv = theta ** -(torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    if kind == "default": return inv, 1.0
    factor = rope["factor"]
    if kind == "linear": return inv / factor, 1.0
    if kind == "llama3":
        wavelength, original = 2 * math.pi / inv, rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        s = ((original / wavelength - low) / (high - low) if high != low else torch.zeros(()).double()).clamp(0, 1)
        between = (1 - s) * inv / factor + s * inv
        return torch.where(wavelength < original / high, inv, torch.where(wavelength > original / low, inv / factor, between)), 1.0
    assert kind == "yarn", kind
    turns = lambda beta: dim * math.log(rope["original_max_position_embeddings"] / (beta * 2 * math.pi)) / (2 * math.log(theta))
    low, high = turns(rope.get("beta_fast") or 32), turns(rope.get("beta_slow") or 1)
    if rope.get("truncate", True): low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    ramp = ((torch.arange(dim // 2, dtype=torch.float64) - low) / (high - low if high != low else 0.001)).clamp(0, 1)
    attention = rope.get("attention_factor")
    if attention is None:
        one, all_dim = rope.get("mscale"), rope.get("mscale_all_dim")
        attention = mscale(factor, one) / mscale(factor, all_dim) if one and all_dim else mscale(factor, 1)
    return inv / factor * ramp + inv * (1 - ramp), attention


# ---- routers -----------------------------------------------------------------------------------------------------------------------

def margin_of(keys, k):
    """Gap between the k-th and the next key; infinite when all are taken."""
    if k == keys.shape[-1]: return torch.full(keys.shape[:1], math.inf, dtype=torch.float64)
    top = torch.topk(keys.double(), k + 1, -1).values
    return top[:, k - 1] - top[:, k]


def within_groups(keys, groups, kept):
    """keys [n, E] with the experts of all but the best `kept` groups at minus infinity, and the gap between the last group kept and the
    next. A group's score is the sum of its two largest keys."""
    if groups == 1: return keys, torch.full(keys.shape[:1], math.inf, dtype=torch.float64)
    score = keys.unflatten(-1, (groups, -1)).topk(2, -1).values.sum(-1)
    best = torch.zeros_like(score, dtype=torch.bool).scatter(1, score.topk(kept, -1).indices, True)
    return keys.masked_fill(~best.repeat_interleave(keys.shape[-1] // groups, -1), -math.inf), margin_of(score, kept)


# ---- models ------------------------------------------------------------------------------------------------------------------------

class Formulas:
    """forward(tokens) -> states [n, d], logits [n, vocab], router margin [n].

      x0 = E[token];  h = x + attention(norm(x));  x = h + ffn(norm(h));  logits = head(norm(x))   (head = E when tied)

    edit(config), without: the checkpoint with other settings, and without the tensors whose names end so (to see what they are worth).
    in_bf16: the embedding table, the operands of every product but the router's, and the experts' results are rounded.
    """
    def __init__(self, path, edit=lambda config: None, without=(), in_bf16=False):
        self.c = text_settings(path)
        edit(self.c)
        self.family = self.c["model_type"]
        self.t = {plain_name(name): t for name, t in weights(path).items() if not name.endswith(tuple(without))}
        self.rounded = (lambda x: x.bfloat16().double()) if in_bf16 else (lambda x: x)

    def linear(self, x, name, bias=False):
        y = self.rounded(x) @ self.rounded(self.t[name + ".weight"]).T
        return y + self.t[name + ".bias"] if bias else y

    def norm(self, x, name=None, eps=None):
        x = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + (eps or self.c["rms_norm_eps"]))
        return x * self.t[name + ".weight"] if name else x

    # -- attention

    def rotate(self, x, adjacent):
        """x [n, heads, dim]: pairs (2i, 2i + 1) if adjacent, else (i, i + dim/2)."""
        inv, factor = rotary(self.c, x.shape[-1])
        angle = torch.arange(len(x), dtype=torch.float64)[:, None, None] * inv
        cos, sin = torch.cos(angle) * factor, torch.sin(angle) * factor
        a, b = (x[..., 0::2], x[..., 1::2]) if adjacent else x.chunk(2, -1)
        turned = a * cos - b * sin, b * cos + a * sin
        return torch.stack(turned, -1).flatten(-2) if adjacent else torch.cat(turned, -1)

    def heads(self, u, p, layer):
        """Queries, keys and values [n, heads, head_dim] of grouped-query attention, and the scale of their products."""
        c, bias = self.c, self.c.get("attention_bias", False)
        hd = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        q, k, v = (self.linear(u, f"{p}{s}_proj", bias).unflatten(-1, (-1, hd)) for s in "qkv")
        if self.family == "llama4_text": return *self.llama4_heads(q, k, layer), v, hd ** -0.5
        if c.get("use_qk_norm"): q, k = self.norm(q, p + "q_norm"), self.norm(k, p + "k_norm")
        part = int(hd * rope_settings(c).get("partial_rotary_factor", c.get("partial_rotary_factor", 1)))
        q, k = (torch.cat([self.rotate(x[..., :part], False), x[..., part:]], -1) for x in (q, k))
        return q, k, v, hd ** -0.5

    def llama4_heads(self, q, k, layer):
        """Turned, then of norm 1 without a weight; or, in layers without positions, queries that grow with the position."""
        c = self.c
        if self.has_rope(layer):
            q, k = self.rotate(q, True), self.rotate(k, True)
            return (self.norm(q), self.norm(k)) if c["use_qk_norm"] else (q, k)
        if not c["attn_temperature_tuning"]: return q, k
        steps = torch.floor((torch.arange(len(q), dtype=torch.float64) + 1) / c["floor_scale"])
        return q * (1 + c["attn_scale"] * torch.log1p(steps))[:, None, None], k

    def latent_heads(self, u, p):
        """Multi-head latent attention: keys and values from one small vector a token, one rotated key for all heads."""
        c, bias = self.c, self.c["attention_bias"]
        nope, rope, value, rank = (c[s] for s in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "kv_lora_rank"))
        if c.get("q_lora_rank"):
            q = self.linear(self.norm(self.linear(u, p + "q_a_proj", bias), p + "q_a_layernorm", 1e-6), p + "q_b_proj")
        else:
            q = self.linear(u, p + "q_proj")
        q = q.unflatten(-1, (-1, nope + rope))
        latent, shared = self.linear(u, p + "kv_a_proj_with_mqa", bias).split([rank, rope], -1)
        kv = self.linear(self.norm(latent, p + "kv_a_layernorm", 1e-6), p + "kv_b_proj").unflatten(-1, (-1, nope + value))
        adjacent = c["rope_interleave"]
        shared = self.rotate(shared[:, None], adjacent).expand(-1, q.shape[1], -1)
        q = torch.cat([q[..., :nope], self.rotate(q[..., nope:], adjacent)], -1)
        settings, scale = rope_settings(c), (nope + rope) ** -0.5
        if settings.get("mscale_all_dim"): scale *= mscale(settings["factor"], settings["mscale_all_dim"]) ** 2
        return q, torch.cat([kv[..., :nope], shared], -1), kv[..., nope:], scale

    def has_rope(self, layer):
        c = self.c
        return c["no_rope_layers"][layer] if c.get("no_rope_layers") else (layer + 1) % c["no_rope_layer_interval"] != 0

    def seen(self, n, layer):
        """[query, key]: which keys a query sees."""
        c, key = self.c, torch.arange(n)
        query = key[:, None]
        causal = key <= query
        kind = (c.get("layer_types") or {layer: None})[layer]
        slides = {"dots1": lambda: not c.get("layer_types") and layer >= c["max_window_layers"], "mixtral": lambda: True,
                  "qwen3_moe": lambda: c.get("use_sliding_window")}.get(self.family, lambda: False)
        if c.get("sliding_window") and slides(): kind = "sliding_attention"
        if self.family == "llama4_text" and self.has_rope(layer):
            return causal & (key // c["attention_chunk_size"] == query // c["attention_chunk_size"])
        return causal & (key > query - c["sliding_window"]) if kind == "sliding_attention" else causal

    def attend(self, u, layer):
        p, n = f"model.layers.{layer}.self_attn.", len(u)
        q, k, v, scale = self.latent_heads(u, p) if "kv_lora_rank" in self.c else self.heads(u, p, layer)
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = (torch.einsum("qhd,khd->hqk", q, k) * scale).masked_fill(~self.seen(n, layer), -math.inf)
        sinks = self.t.get(p + "sinks")
        if sinks is not None: scores = torch.cat([scores, sinks[:, None, None].expand(-1, n, 1)], -1)
        mixed = torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1)[..., :n], v).flatten(1)
        return self.linear(mixed, p + "o_proj", self.c.get("attention_bias", False) and self.family != "glm4_moe")

    # -- feed-forward

    def swiglu(self, u, block, names=("gate_proj", "up_proj", "down_proj")):
        gate, up = (self.linear(u, block + name) for name in names[:2])
        return self.linear(torch.nn.functional.silu(gate) * up, block + names[2])

    def expert(self, u, p, e):
        """p: the prefix of all experts."""
        if p + "gate_up_proj" not in self.t:
            names = ("w1", "w3", "w2") if self.family == "mixtral" else ("gate_proj", "up_proj", "down_proj")
            return self.swiglu(u, f"{p}{e}.", names)
        both, down = self.t[p + "gate_up_proj"][e], self.t[p + "down_proj"][e]
        if self.family == "qwen3_moe": both, down = both.T, down.T  # [2f, d] and [d, f]; of the other families [d, 2f] and [f, d]
        if self.family != "gpt_oss":
            gate, up = (u @ both).chunk(2, -1)
            return torch.nn.functional.silu(gate) * up @ down
        h, limit = u @ both + self.t[p + "gate_up_proj_bias"][e], self.c["swiglu_limit"]
        gate, up = h[..., 0::2].clamp(max=limit), h[..., 1::2].clamp(-limit, limit)
        return (up + 1) * gate * torch.sigmoid(1.702 * gate) @ down + self.t[p + "down_proj_bias"][e]

    def route(self, u, p):
        """Weights [n, E], nought for experts not chosen, and the router's margin."""
        c, k = self.c, self.c["num_experts_per_tok"]
        logits = u @ self.t[p + ("router" if self.family in ("gpt_oss", "llama4_text") else "gate") + ".weight"].T
        keys, among_groups = logits, torch.tensor(math.inf)
        if self.family == "gpt_oss":
            keys = logits = logits + self.t[p + "router.bias"]
            scores = logits
        elif self.family == "llama4_text":
            scores = torch.sigmoid(logits)
        elif "n_routed_experts" in c:
            scores = torch.sigmoid(logits)
            biased = scores + self.t.get(p + "gate.e_score_correction_bias", 0)
            keys, among_groups = within_groups(biased, c["n_group"], c["topk_group"])
        else:
            scores = torch.softmax(logits, -1)
        chosen = torch.topk(keys, k, -1).indices
        weight = scores.gather(1, chosen)
        if self.family == "gpt_oss": weight = torch.softmax(weight, -1)
        elif c.get("norm_topk_prob"): weight = weight / (weight.sum(-1, keepdim=True) + 1e-20)
        weight = weight * c.get("routed_scaling_factor", 1.0)
        return torch.zeros_like(logits).scatter(1, chosen, weight), torch.minimum(margin_of(keys, k), among_groups)

    def moe(self, u, p):
        weight, margin = self.route(u, p)
        y = torch.zeros_like(u)
        for e in range(weight.shape[1]):
            w = weight[:, e:e + 1]
            some = w[:, 0] != 0
            if self.family == "llama4_text": y[some] += self.expert(w[some] * u[some], p + "experts.", e)
            else: y[some] += w[some] * self.rounded(self.expert(u[some], p + "experts.", e))
        for shared in ("shared_experts.", "shared_expert."):
            if p + shared + "up_proj.weight" in self.t: y = y + self.swiglu(u, p + shared)
        return y, margin

    def is_sparse(self, layer):
        c = self.c
        if "first_k_dense_replace" in c: return layer >= c["first_k_dense_replace"]
        if c.get("moe_layers") is not None: return layer in c["moe_layers"]
        if "interleave_moe_layer_step" in c: return (layer + 1) % c["interleave_moe_layer_step"] == 0
        return layer not in c.get("mlp_only_layers", ()) and (layer + 1) % c.get("decoder_sparse_step", 1) == 0

    def __call__(self, tokens):
        x, margins = self.rounded(self.t["model.embed_tokens.weight"][tokens]), []
        block = {"llama4_text": "feed_forward.", "mixtral": "block_sparse_moe."}.get(self.family, "mlp.")
        for layer in range(self.c["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            x = x + self.attend(self.norm(x, p + "input_layernorm"), layer)
            u = self.norm(x, p + "post_attention_layernorm")
            if self.is_sparse(layer):
                y, margin = self.moe(u, p + block)
                margins.append(margin)
            else:
                y = self.swiglu(u, p + block)
            x = x + y
        x = self.norm(x, "model.norm")
        return x, self.linear(x, "model.embed_tokens" if self.c["tie_word_embeddings"] else "lm_head"), torch.stack(margins).amin(0)
