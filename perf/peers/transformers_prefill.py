#!/usr/bin/env python3
"""PyTorch transformers on the work of `bench_gpu prefill`: log-probabilities of every token of 16 records of 1024 tokens.

The model has the configuration's shape and random weights drawn on the device. They are not the values that
switchyard's random_model makes, and need not be: the time of dense products does not depend on them, and both draw
routers that spread tokens almost evenly. One JSON line per implementation of the experts; those that this version of
transformers lacks, or that run out of memory, say so.

    perf/peers/transformers_prefill.py [--experts grouped_mm,eager] [--records 16] [--length 1024]
"""
import argparse
import json
import time

import torch
import transformers
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

SHAPES = {
    "qwen3-30b-a3b": dict(
        vocab_size=151936, hidden_size=2048, num_hidden_layers=48, num_attention_heads=32, num_key_value_heads=4,
        head_dim=128, num_experts=128, num_experts_per_tok=8, moe_intermediate_size=768, max_position_embeddings=40960,
        rope_theta=1e6),
    "tiny": dict(  # to try the script without a GPU
        vocab_size=503, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
        num_experts=8, num_experts_per_tok=2, moe_intermediate_size=32, max_position_embeddings=4096, rope_theta=1e6),
}


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shape", choices=SHAPES, default="qwen3-30b-a3b")
    p.add_argument("--experts", default="grouped_mm,eager", help="implementations, in this order")
    p.add_argument("--device", default="cuda")
    p.add_argument("--records", type=int, default=16)
    p.add_argument("--length", type=int, default=1024)
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--seconds", type=float, default=60, help="no further repeats of an implementation after this")
    return p.parse_args()


def random_model(shape, device):
    config = Qwen3MoeConfig(
        **SHAPES[shape], norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], tie_word_embeddings=False,
        rms_norm_eps=1e-6, use_cache=False)
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = Qwen3MoeForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():  # whatever its initialisation left at zero would make a router of ties
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.uniform_(-0.035, 0.035)
    return model


@torch.inference_mode()
def log_probabilities(model, tokens):
    """[records, length - 1] f32. Logits are widened one record at a time: their f32 copies together would not fit."""
    logits = model(input_ids=tokens, use_cache=False).logits
    rows = []
    for record, row in zip(tokens, logits):
        rows.append(-torch.nn.functional.cross_entropy(row[:-1].float(), record[1:], reduction="none"))
    return torch.stack(rows)


def seconds_of(work, synchronize):
    synchronize()
    start = time.perf_counter()
    result = work()
    synchronize()
    return time.perf_counter() - start, result


def measure(model, implementation, tokens, o, synchronize):
    model.set_experts_implementation(implementation)
    deadline = time.perf_counter() + o.seconds
    warm, scores = seconds_of(lambda: log_probabilities(model, tokens), synchronize)
    if not bool(torch.isfinite(scores).all()) or float(scores.std()) == 0:
        raise RuntimeError("log-probabilities are not finite, or all the same")
    times = []
    while len(times) < o.repeats and (not times or time.perf_counter() < deadline):
        times.append(seconds_of(lambda: log_probabilities(model, tokens), synchronize)[0])
    median = sorted(times)[len(times) // 2]
    return {"ms": 1e3 * median, "least_ms": 1e3 * min(times), "repeats": len(times), "first_ms": 1e3 * warm,
            "tokens_per_second": tokens.numel() / median,
            "summary": f"{1e3 * median:.1f} ms, {tokens.numel() / median:.0f} tokens/s"}


def main():
    o = options()
    synchronize = torch.cuda.synchronize if o.device == "cuda" else lambda: None
    model = random_model(o.shape, o.device)
    tokens = torch.randint(0, model.config.vocab_size, (o.records, o.length), device=o.device)
    for implementation in o.experts.split(","):
        line = {"benchmark": "peer",
                "case": f"transformers {transformers.__version__}, {implementation}, {o.shape}, {o.records} × {o.length}, bf16",
                "torch": torch.__version__, "experts": implementation, "attention": model.config._attn_implementation,
                "device": torch.cuda.get_device_name() if o.device == "cuda" else o.device}
        try:
            line |= measure(model, implementation, tokens, o, synchronize)
        except Exception as error:  # an implementation that is not there, or out of memory
            line["error"] = line["summary"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            if o.device == "cuda":
                torch.cuda.empty_cache()
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
