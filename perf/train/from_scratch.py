#!/usr/bin/env python3
"""A byte model from scratch: bits per byte of held-out text, and how evenly its experts are used in the end.

A record is a window of 257 bytes of which the first is given, drawn from each NAME.train.txt of TEXTS in turn by numpy's
default_rng(seed), 16 a step, in file order; held out are the first 64 consecutive windows of each NAME.heldout.txt. The model:
Qwen3-MoE, d 64, 2 layers, 128 experts, k 4, f 32. AdamW to 3e-3 over 200 steps, then cosine to a tenth. (Another program that
draws its windows so sees the same bytes in the same steps.) Needs numpy and h5py.

    perf/train/from_scratch.py SWITCHYARD TEXTS WORK [--names kjv,austen] [--steps 4000] [--balance 0.1]
"""
import argparse
import json
import math
import subprocess
from pathlib import Path

import h5py
import numpy as np

WINDOW, STEP_RECORDS, HELD_OUT = 256, 16, 64
CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 64, "head_dim": 16,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2, "num_experts": 128,
    "num_experts_per_tok": 4, "moe_intermediate_size": 32, "intermediate_size": 256, "norm_topk_prob": True,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 257, "max_position_embeddings": 2048,
    "rope_theta": 10000.0, "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": False,
    "initializer_range": 0.02, "torch_dtype": "bfloat16", "bos_token_id": 256, "eos_token_id": 256}


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("switchyard", type=Path)
    p.add_argument("texts", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--names", default="kjv,austen", type=lambda names: names.split(","))
    p.add_argument("--steps", type=int, default=4000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--balance", type=float, default=0.1)
    p.add_argument("--threads", type=int, default=0)
    return p.parse_args()


def bytes_of(path):
    return np.frombuffer(path.read_bytes(), np.uint8)


def write_records(path, windows):
    rows = np.stack(windows).astype(np.int32)
    with h5py.File(path, "w") as file:
        file["tokens/values"] = rows.reshape(-1)
        file["tokens/offsets"] = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
        file["context"] = np.ones(len(rows), np.int32)


def write_inputs(o):
    """Returns the file to learn and those that are held out."""
    train = [bytes_of(o.texts / f"{name}.train.txt") for name in o.names]
    random = np.random.default_rng(o.seed)
    windows = []
    for _ in range(o.steps):
        for i in range(STEP_RECORDS):
            text = train[i % len(train)]
            at = int(random.integers(0, len(text) - WINDOW))
            windows.append(text[at:at + WINDOW + 1])
    write_records(o.work / "train.h5", windows)
    held_out = []
    for name in o.names:
        text = bytes_of(o.texts / f"{name}.heldout.txt")
        count = min(HELD_OUT, (len(text) - 1) // WINDOW)
        held_out.append(o.work / f"{name}.h5")
        write_records(held_out[-1], [text[i * WINDOW:(i + 1) * WINDOW + 1] for i in range(count)])
    return o.work / "train.h5", held_out


def main():
    o = options()
    o.work.mkdir(parents=True, exist_ok=True)
    (o.work / "config.json").write_text(json.dumps(CONFIG))
    data, held_out = write_inputs(o)
    run = o.work / f"run-{o.seed}-{o.steps}-{o.balance:g}"
    command = [o.switchyard, "train", "--init", o.work / "config.json", "--run", run, "--data", data, "--data-order", "file"]
    for path in held_out:
        command += ["--eval-data", path]
    command += ["--step-records", STEP_RECORDS, "--max-steps", o.steps, "--eval-steps", max(o.steps // 4, 1),
                "--save-steps", max(o.steps // 4, 1), "--learning-rate", 3e-3, "--warmup-steps", min(200, o.steps // 2),
                "--min-lr-ratio", 0.1, "--weight-decay", 0.1, "--adam-beta2", 0.95, "--max-grad-norm", 1, "--dtype", "f32",
                "--export", "f32", "--balance", o.balance, "--seed", o.seed]
    if o.threads > 0:
        command += ["--threads", o.threads]
    subprocess.run([str(word) for word in command], check=True)
    steps = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    late = [step["expert_load"] for step in steps[-100:]]
    print(json.dumps({
        "benchmark": "from_scratch", "steps": o.steps, "balance": o.balance, "seed": o.seed,
        "bits_per_byte": {name: loss / math.log(2) for name, loss in zip(o.names, steps[-1]["eval_losses"])},
        "load_of_last_steps": sum(late) / len(late)}))


if __name__ == "__main__":
    main()
