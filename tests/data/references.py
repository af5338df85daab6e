"""What independent software computes from a checkpoint, and the files that hold it (make_fixtures.py describes them)."""
import contextlib, json, tempfile
from pathlib import Path

import h5py, numpy as np, torch, transformers
from safetensors.torch import load_file, save_file
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from formulas import margin_of, weights, within_groups

CLEAR = 4e-3  # a router's margin that few roundings to bfloat16 reach across


# ---- transformers: forward(tokens) -> states [n, d], logits [n, vocab], router margin [n] --------------------------------------------

@contextlib.contextmanager
def nothing_in_float32():
    """transformers pins norms, softmax, routers and rotary tables to float32 even in a float64 model: let them stay in float64."""
    Tensor = torch.Tensor
    softmax, to, float_, type_ = torch.nn.functional.softmax, Tensor.to, Tensor.float, Tensor.type
    is_double = lambda x: x.dtype == torch.float64
    def patched_to(x, *args, **kwargs):
        down = torch.float32 in args or kwargs.get("dtype") is torch.float32
        return x if is_double(x) and down else to(x, *args, **kwargs)
    def patched_softmax(x, dim=None, dtype=None, **kwargs):
        return softmax(x, dim=dim, dtype=None if is_double(x) else dtype, **kwargs)
    def patched_float(x, *args, **kwargs):
        return x if is_double(x) else float_(x, *args, **kwargs) if x.is_floating_point() else x.double()  # positions
    def patched_type(x, *args, **kwargs):
        return x if is_double(x) and torch.float32 in args else type_(x, *args, **kwargs)
    torch.nn.functional.softmax, Tensor.to, Tensor.float, Tensor.type = patched_softmax, patched_to, patched_float, patched_type
    try:
        yield
    finally:
        torch.nn.functional.softmax, Tensor.to, Tensor.float, Tensor.type = softmax, to, float_, type_


def recompute_rotary_frequencies(module):
    """In float64: transformers' own functions, whose float32 is renamed meanwhile."""
    single = torch.float32
    torch.float = torch.float32 = torch.float64
    try:
        function = module.compute_default_rope_parameters if module.rope_type == "default" else ROPE_INIT_FUNCTIONS[module.rope_type]
        module.inv_freq = function(module.config)[0]
    finally:
        torch.float = torch.float32 = single


def readable_copy(path, to):
    """The checkpoint as transformers can read it: weights dequantised, and what it refuses of config.json in other words."""
    config = json.loads((path / "config.json").read_text())
    text = config.get("text_config", config)
    config.pop("quantization_config", None)
    if config["model_type"] == "kimi_k2": config["model_type"] = "deepseek_v3"
    if "attn_temperature_tuning" in text: text["attn_temperature_tuning"] = bool(text["attn_temperature_tuning"])
    Path(to, "config.json").write_text(json.dumps(config))
    tensors = {name: t.float().contiguous() for name, t in weights(path).items()}
    save_file(tensors, Path(to, "model.safetensors"), metadata={"format": "pt"})


class Transformers:
    def __init__(self, path, dtype):
        stored_as = torch.float32 if dtype is torch.float64 else dtype
        nested = hasattr(transformers.AutoConfig.from_pretrained(path), "vision_config")
        auto = transformers.AutoModelForImageTextToText if nested else transformers.AutoModelForCausalLM
        eager = dict(attn_implementation="eager", experts_implementation="eager")
        self.model = auto.from_pretrained(path, dtype=stored_as, **eager).to(dtype).eval()
        self.body = next(m for m in self.model.modules() if hasattr(m, "embed_tokens") and hasattr(m, "rotary_emb"))
        if dtype is torch.float64: recompute_rotary_frequencies(self.body.rotary_emb)

    def margin(self, router, x):
        """Of the router module for its input x."""
        c, x = self.body.config, x.flatten(0, -2)
        keys = x @ router.weight.T.to(x.dtype)
        if getattr(router, "bias", None) is not None: keys = keys + router.bias
        if not hasattr(router, "e_score_correction_bias"): return margin_of(keys, c.num_experts_per_tok)
        keys, among_groups = within_groups(torch.sigmoid(keys.double()) + router.e_score_correction_bias, c.n_group, c.topk_group)
        return torch.minimum(margin_of(keys, c.num_experts_per_tok), among_groups)

    def __call__(self, tokens):
        margins, states = [], []
        hooks = [self.body.norm.register_forward_hook(lambda norm, args, out: states.append(out[0]))]
        for name, module in self.body.named_modules():
            if name.endswith(("mlp.gate", "mlp.router", "feed_forward.router")):
                see = lambda router, args, _: margins.append(self.margin(router, args[0]))
                hooks.append(module.register_forward_hook(see))
        with nothing_in_float32() if self.model.dtype is torch.float64 else contextlib.nullcontext():
            logits = self.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0]
        for hook in hooks: hook.remove()
        assert margins, "no router seen"
        return states[0].double(), logits.double(), torch.stack(margins).amin(0)


# ---- records and expected results -------------------------------------------------------------------------------------------------

def random_records(seed, vocab_size, lengths):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, vocab_size, n).tolist() for n in lengths]


def clear_records(forward, seed, vocab_size, lengths, margin=CLEAR):
    """Random records in which no router has to choose between near equals: drawn again from the first such token on."""
    rng, records = np.random.default_rng(seed), []
    for length in lengths:
        record, clear = np.zeros(length, np.int64), 0
        while clear < length:
            record[clear:] = rng.integers(0, vocab_size, length - clear)
            unclear = np.flatnonzero((forward(record.tolist())[2] < margin).numpy())
            clear = int(unclear[0]) if len(unclear) else length
        records.append(record.tolist())
    return records


def follow(forward, start, length):
    """`start`, continued with the most likely token each time."""
    record = list(start)
    while len(record) < length: record.append(int(forward(record)[1][-1].argmax()))
    return record


def clear_follow(forward, seed, vocab_size, context, length, margin=CLEAR, lead=0.02):
    """As `follow` from a random start, where neither a router nor the most likely token is in doubt."""
    while True:
        record = follow(forward, random_records(seed, vocab_size, [context])[0], length)
        result = scored(forward, record, context)
        if result["router_margin"].min() > margin and result["top_gap"].min() > lead: return record
        seed += 1000


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


# ---- gradients --------------------------------------------------------------------------------------------------------------------

def write_gradient(model_path, out):
    """grad.safetensors: of the mean negative log-probability over all scored tokens of out/input.h5, named as the checkpoint's weights."""
    truth = Transformers(model_path, torch.float64)
    with h5py.File(out / "input.h5") as h:
        records, contexts = np.split(h["tokens/values"][:], h["tokens/offsets"][1:-1].astype(int)), h["context"][:].tolist()
    model, loss, count = truth.model.requires_grad_(True), 0.0, sum(len(r) - c for r, c in zip(records, contexts))
    with torch.enable_grad(), nothing_in_float32():
        for record, context in zip(records, contexts):
            tokens = torch.tensor(record.astype(np.int64))
            logits = model(input_ids=tokens[None], use_cache=False).logits[0, context - 1:-1]
            loss = loss + torch.nn.functional.cross_entropy(logits, tokens[context:], reduction="sum") / count
        loss.backward()
    for p in model.parameters(): p.data = torch.zeros_like(p) if p.grad is None else p.grad
    with tempfile.TemporaryDirectory() as gradients:
        model.float().save_pretrained(gradients)
        tensors = load_file(Path(gradients, "model.safetensors"))
    save_file(tensors, out / "grad.safetensors",
              metadata=dict(records=str(len(records)), scored_tokens=str(count), loss=repr(float(loss))))
    print(out.name, f"gradient of {float(loss):.6f}, {len(tensors)} tensors")
