#!/usr/bin/env python3
"""Small random checkpoints with awkward shapes, and what independent software computes from them.

usage: make_fixtures.py [NAME...]     (all, into models/ and references/ beside this file)

The files in the repository were made with Python 3.11, torch 2.13.0, transformers 5.23.0, safetensors 0.8.0, h5py 3.16.0,
numpy 2.4; only these are needed.

references/NAME/input.h5      the scoring input: tokens/{values i32, offsets u64 [n + 1]}, context i32 [n], id
references/NAME/expected.h5   the truth: the stored weights in float64, by transformers (qwen3_moe, mixtral) or by Switchyard below.
  logprob f64, tokens i32, greedy u8 [n]
  token_logprob, argmax, top_gap   /{values, offsets} over the scored tokens; top_gap: log-probability of the most likely token minus
                                   that of the second
  router_margin/{values, offsets}  over all tokens: the least gap, over layers, between the k-th and the next router score. Where it is
                                   tiny, rounding may choose another expert, and all later tokens of the record may differ.
  embedding/{last, mean}           of the final-norm states over all positions [n, hidden]
  attributes {f32,bf16}_{max,mean}_abs_difference: of token_logprob, when transformers itself runs in that type (bf16 of `switchyard`:
                                   when the embedding table, the operands of every product but the router's, and the experts' results
                                   are rounded)
"""
import contextlib, json, math, shutil, sys, tempfile
from pathlib import Path

import h5py, numpy as np, torch, transformers
from safetensors.torch import load_file, save_file

ROOT = Path(__file__).resolve().parent


# ---- checkpoints -------------------------------------------------------------------------------------------------------------

def fill(parameters, tied, generator, peak=1.0):
    """Random values of a size that keeps states and logits of order one; `peak` scales routers and heads."""
    normal = lambda shape: torch.randn(shape, generator=generator)
    for name, p in parameters:
        if p.ndim == 1:
            p.copy_(1 + 0.2 * normal(p.shape))
        elif "embed_tokens" in name:
            p.copy_(normal(p.shape) * (2 * peak / math.sqrt(p.shape[-1]) if tied else 1))
        else:
            gain = 2 * peak if name.endswith((".gate.weight", "lm_head.weight")) else 1.3
            p.copy_(normal(p.shape) * gain / math.sqrt(p.shape[-1]))


def random_transformers_checkpoint(path, family, dtype, seed, peak=1.0, **options):
    """As transformers saves it: per expert, config.json in the spelling of transformers 5."""
    config = transformers.CONFIG_MAPPING[family](**options)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        fill(model.named_parameters(), config.tie_word_embeddings, torch.Generator().manual_seed(seed), peak)
    model.to(dtype).save_pretrained(path)
    (path / "generation_config.json").unlink(missing_ok=True)


def edit_config(path, edit):
    config = json.loads((path / "config.json").read_text())
    edit(config)
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def released_spelling(config):
    """transformers 5 -> transformers 4, the spelling of most released checkpoints."""
    config["rope_theta"], config["rope_scaling"] = config.pop("rope_parameters")["rope_theta"], None
    config["torch_dtype"] = config.pop("dtype")
    if config["model_type"] == "qwen3_moe": config["num_experts"] = config.pop("num_local_experts", config.get("num_experts"))
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


def shard(path, num_files):
    """model.safetensors -> several files with an index."""
    tensors = load_file(path / "model.safetensors")
    total = sum(t.nbytes for t in tensors.values())
    files, done = [{} for _ in range(num_files)], 0
    for name in sorted(tensors):
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
            shapes |= {block + "gate_proj.weight": (width, d), block + "up_proj.weight": (width, d), block + "down_proj.weight": (d, width)}
    tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    fill(tensors.items(), config["tie_word_embeddings"], torch.Generator().manual_seed(seed), peak)
    path.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})
    (path / "config.json").write_text(json.dumps(config, indent=2) + "\n")


# ---- reference implementations: forward(tokens) -> states [n, d], logits [n, vocab], router margin [n] -----------------------------

def margin_of(scores, k):
    """Gap between the k-th and the next score; infinite when all are taken."""
    if k == scores.shape[-1]: return torch.full(scores.shape[:1], math.inf, dtype=torch.float64)
    top = torch.topk(scores.double(), k + 1, -1).values
    return top[:, k - 1] - top[:, k]


@contextlib.contextmanager
def nothing_in_float32():
    """transformers pins norms, softmax and rotary tables to float32 even in a float64 model: let them stay in float64."""
    softmax, to, float_ = torch.nn.functional.softmax, torch.Tensor.to, torch.Tensor.float
    is_double = lambda x: x.dtype == torch.float64
    def patched_to(x, *args, **kwargs):
        down = torch.float32 in args or kwargs.get("dtype") is torch.float32
        return x if is_double(x) and down else to(x, *args, **kwargs)
    def patched_softmax(x, dim=None, dtype=None, **kwargs):
        return softmax(x, dim=dim, dtype=None if is_double(x) else dtype, **kwargs)
    torch.nn.functional.softmax, torch.Tensor.to = patched_softmax, patched_to
    torch.Tensor.float = lambda x, *args, **kwargs: x if is_double(x) else float_(x, *args, **kwargs)
    try:
        yield
    finally:
        torch.nn.functional.softmax, torch.Tensor.to, torch.Tensor.float = softmax, to, float_


class Transformers:
    def __init__(self, path, dtype):
        stored_as = torch.float32 if dtype is torch.float64 else dtype
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            path, dtype=stored_as, attn_implementation="eager", experts_implementation="eager").to(dtype).eval()
        config, rotary = self.model.config, self.model.model.rotary_emb
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        exponent = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
        frequency = config.rope_parameters["rope_theta"] ** -exponent
        rotary.inv_freq = frequency if dtype is torch.float64 else frequency.float()

    def __call__(self, tokens):
        margins, hooks, k = [], [], self.model.config.num_experts_per_tok
        for name, module in self.model.named_modules():
            if name.endswith("mlp.gate"):
                see = lambda gate, args, _: margins.append(margin_of(args[0].flatten(0, -2) @ gate.weight.T.to(args[0].dtype), k))
                hooks.append(module.register_forward_hook(see))
        with nothing_in_float32():
            states = self.model.model(input_ids=torch.tensor([tokens]), use_cache=False).last_hidden_state[0]
            logits = self.model.lm_head(states)
        for hook in hooks: hook.remove()
        assert margins, "no router seen"
        return states.double(), logits.double(), torch.stack(margins).amin(0)


class Switchyard:
    """The family `switchyard`, in float64:
      x0 = E[token];  h = x + O attn(norm(x));  x = h + moe(norm(h));  logits = head(norm(x))   (head = E when tied)
      attn: causal, grouped queries, scale 1/sqrt(head_dim), half-split rotary embedding of q and k
      moe(u) = shared(u) + sum over the k largest router logits of softmax(those k)_e expert_e(u)
      expert(u) = down(silu(gate u) * (up u)); the shared expert is one of num_shared_experts times the width
    """
    def __init__(self, path, in_bf16=False):
        self.c = json.loads((path / "config.json").read_text())
        self.t = {name: t.double() for name, t in load_file(path / "model.safetensors").items()}
        self.rounded = (lambda x: x.bfloat16().double()) if in_bf16 else (lambda x: x)

    def linear(self, x, name): return self.rounded(x) @ self.rounded(self.t[name]).T

    def norm(self, x, name):
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.c["rms_norm_eps"]) * self.t[name]

    def ffn(self, u, block):
        gate, up = self.linear(u, block + "gate_proj.weight"), self.linear(u, block + "up_proj.weight")
        return self.linear(torch.nn.functional.silu(gate) * up, block + "down_proj.weight")

    def attend(self, u, p):
        n, hd = len(u), self.c["head_dim"]
        heads = lambda s: self.linear(u, f"{p}self_attn.{s}_proj.weight").view(n, -1, hd)
        angle = torch.arange(n, dtype=torch.float64)[:, None] * self.c["rope_theta"] ** -(torch.arange(0, hd, 2, dtype=torch.float64) / hd)
        cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
        def rotate(x):
            a, b = x.split(hd // 2, -1)
            return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
        q, k, v = rotate(heads("q")), rotate(heads("k")), heads("v")
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(hd)
        scores.masked_fill_(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)
        mixed = torch.einsum("hqk,khd->qhd", torch.softmax(scores, -1), v)
        return self.linear(mixed.reshape(n, -1), p + "self_attn.o_proj.weight")

    def moe(self, u, p):
        k, scores = self.c["num_experts_per_tok"], u @ self.t[p + "mlp.gate.weight"].T
        top = torch.topk(scores, k, -1)
        weight = torch.zeros_like(scores).scatter(1, top.indices, torch.softmax(top.values, -1))
        y = self.ffn(u, p + "mlp.shared_expert.") if self.c["num_shared_experts"] else torch.zeros_like(u)
        for e in range(scores.shape[1]): y = y + weight[:, e:e + 1] * self.rounded(self.ffn(u, f"{p}mlp.experts.{e}."))
        return y, margin_of(scores, k)

    def __call__(self, tokens):
        x, margins = self.rounded(self.t["model.embed_tokens.weight"][tokens]), []
        for layer in range(self.c["num_hidden_layers"]):
            p = f"model.layers.{layer}."
            x = x + self.attend(self.norm(x, p + "input_layernorm.weight"), p)
            y, margin = self.moe(self.norm(x, p + "post_attention_layernorm.weight"), p)
            x = x + y
            margins.append(margin)
        x = self.norm(x, "model.norm.weight")
        head = "model.embed_tokens.weight" if self.c["tie_word_embeddings"] else "lm_head.weight"
        return x, self.linear(x, head), torch.stack(margins).amin(0)


# ---- records and expected results -------------------------------------------------------------------------------------------------

def random_records(seed, vocab_size, lengths):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocab_size, n).tolist() for n in lengths]


def follow(forward, start, length):
    """`start`, continued with the most likely token each time."""
    record = list(start)
    while len(record) < length: record.append(int(forward(record)[1][-1].argmax()))
    return record


def scored(forward, record, context):
    """Of the tokens after the context: their log-probabilities; the most likely tokens and their lead. And states, margins."""
    states, logits, margin = forward(record)
    rows = torch.log_softmax(logits, -1)[context - 1:len(record) - 1]
    target, top = torch.tensor(record[context:], dtype=torch.long), torch.topk(rows, 2, -1)
    return dict(token_logprob=rows.gather(1, target[:, None])[:, 0].numpy(), argmax=top.indices[:, 0].numpy().astype(np.int32),
                top_gap=(top.values[:, 0] - top.values[:, 1]).numpy(), router_margin=margin.numpy(),
                last=states[-1].numpy(), mean=states.mean(0).numpy())


def write_reference(out, records, contexts, truth, others):
    """others: name of a precision -> forward in it."""
    out.mkdir(parents=True, exist_ok=True)
    offsets = lambda parts: np.cumsum([0] + [len(p) for p in parts]).astype(np.uint64)
    with h5py.File(out / "input.h5", "w") as h:
        h["tokens/values"] = np.concatenate([np.asarray(r, np.int32) for r in records])
        h["tokens/offsets"] = offsets(records)
        h["context"] = np.asarray(contexts, np.int32)
        h.create_dataset("id", data=[f"{out.name}/{i}" for i in range(len(records))], dtype=h5py.string_dtype())
    results = [scored(truth, r, c) for r, c in zip(records, contexts)]
    logprob = np.concatenate([r["token_logprob"] for r in results])
    with h5py.File(out / "expected.h5", "w") as h:
        h["logprob"] = np.array([r["token_logprob"].sum() for r in results])
        h["tokens"] = np.array([len(r["token_logprob"]) for r in results], np.int32)
        h["greedy"] = np.array([np.array_equal(r["argmax"], t[c:]) for r, t, c in zip(results, records, contexts)], np.uint8)
        for name in ("token_logprob", "argmax", "top_gap", "router_margin"):
            h[f"{name}/values"] = np.concatenate([r[name] for r in results])
            h[f"{name}/offsets"] = offsets([r[name] for r in results])
        for name in ("last", "mean"): h[f"embedding/{name}"] = np.stack([r[name] for r in results])
        h.attrs["torch"], h.attrs["transformers"], h.attrs["model"] = str(torch.__version__), transformers.__version__, out.name
        for name, forward in others.items():
            other = np.concatenate([scored(forward, r, c)["token_logprob"] for r, c in zip(records, contexts)])
            h.attrs[f"{name}_max_abs_difference"] = float(np.abs(other - logprob).max(initial=0))
            h.attrs[f"{name}_mean_abs_difference"] = float(np.abs(other - logprob).mean()) if len(logprob) else 0.0
        summary = {key: value for key, value in h.attrs.items() if "difference" in key}
    least = min(r["router_margin"].min() for r in results)
    print(out.name, f"{len(logprob)} tokens, mean {logprob.mean():.3f}, least router margin {least:.1e},",
          ", ".join(f"{key} {value:.1e}" for key, value in summary.items()))


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
    fixture_reference(name, seed, Switchyard(path), {"bf16": Switchyard(path, in_bf16=True)})


def rewrite_tensors(path, edit):
    save_file(edit(load_file(path / "model.safetensors")), path / "model.safetensors", metadata={"format": "pt"})


def qwen3moe_dense(name):
    """Dense layers in between, tied, weights not renormalised, heads together wider than the hidden size, half of the experts."""
    from_transformers(name, "qwen3_moe", torch.float32, 1, lambda path: None, hidden_size=36, num_hidden_layers=6, num_attention_heads=6,
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


FIXTURES = {"qwen3moe-dense": qwen3moe_dense, "qwen3moe-fused": qwen3moe_fused, "qwen3moe-transposed": qwen3moe_transposed,
            "mixtral-sharded": mixtral_sharded, "switchyard-shared": switchyard_shared, "switchyard-tied": switchyard_tied}

if __name__ == "__main__":
    torch.set_grad_enabled(False)
    for fixture in sys.argv[1:] or FIXTURES: FIXTURES[fixture](fixture)
