#!/usr/bin/env python3
"""Training steps of PyTorch transformers on the work of bench_train, a JSON line. Needs torch and transformers.

usage: transformers_training.py [--experts eager|batched_mm|grouped_mm] [--compile] [--dtype f32|autocast|bf16]
                                [--dim d] [--ffn f] [--head_dim n] [--kv_share n] [--vocab n] [--records n] [--length n] [--steps n] [--threads n]
autocast: bf16 products over f32 weights, as bench_train --dtype bf16; bf16: weights and moments too.
"""
import argparse
import json
import os
import time

import torch
import transformers


def parsed():
    parser = argparse.ArgumentParser()
    parser.add_argument("--experts", default="grouped_mm")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--dtype", default="f32", choices=["f32", "autocast", "bf16"])
    for name, value in dict(dim=256, ffn=128, head_dim=32, kv_share=2, vocab=257, records=8, length=256, steps=12, threads=len(os.sched_getaffinity(0))).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def model_of(o):
    config = transformers.Qwen3MoeConfig(
        vocab_size=o.vocab, hidden_size=o.dim, num_hidden_layers=4, num_attention_heads=o.dim // o.head_dim,
        num_key_value_heads=o.dim // o.head_dim // o.kv_share, head_dim=o.head_dim,
        num_experts=128, num_experts_per_tok=4, moe_intermediate_size=o.ffn, norm_topk_prob=True, max_position_embeddings=o.length,
        tie_word_embeddings=False, use_cache=False)
    model = transformers.Qwen3MoeForCausalLM(config).train()
    model.set_experts_implementation(o.experts)
    return model.to(torch.bfloat16) if o.dtype == "bf16" else model


def main():
    o = parsed()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    model = model_of(o)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    forward = torch.compile(model) if o.compile else model
    tokens = torch.randint(0, o.vocab, (o.records, o.length))
    seconds = []
    for step in range(o.steps + 2):
        begin = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=o.dtype == "autocast"):
            loss = forward(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step >= 2:  # memory is touched for the first time, and compiled
            seconds.append(time.perf_counter() - begin)
    count = o.records * o.length
    print(json.dumps(dict(
        peer=f"transformers {transformers.__version__}, torch {torch.__version__}", experts=o.experts, compile=o.compile, dtype=o.dtype, dim=o.dim,
        tokens=count, threads=o.threads, allocator=os.environ.get("LD_PRELOAD", ""), tokens_per_second=round(count / min(seconds), 1),
        median_tokens_per_second=round(count / sorted(seconds)[len(seconds) // 2], 1), loss=round(float(loss), 4))))


if __name__ == "__main__":
    main()
