#!/usr/bin/env python3
"""Holds plans against runs: two models, two dtypes, two mixes of lengths, eight times the tokens, scoring and training.

usage: validate.py predict SWITCHYARD PROFILE WORK [RANKS ...]    writes WORK/predictions.json: to be committed first
       validate.py measure SWITCHYARD PROFILE WORK                runs what was predicted, and compares

RANKS: 1, with all cores, unless told; 2, with a core each. The profile has been calibrated for each, on the same day. On more ranks than
cores, planned as one a node, memory alone is compared. Wants numpy, h5py, safetensors and ml_dtypes.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

import h5py
import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

VERB, PROGRAM, PROFILE, WORK = *sys.argv[1:4], pathlib.Path(sys.argv[4])
RANKS = [int(word) for word in sys.argv[5:]] or [1]
CORES = len(os.sched_getaffinity(0))
ENVIRONMENT = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
MODELS = {"A": dict(d=512, layers=6, experts=128, k=8, f=128, heads=8, kv=2, head_dim=64, vocab=32000),
          "B": dict(d=1024, layers=4, experts=64, k=4, f=384, heads=16, kv=4, head_dim=128, vocab=16000)}


def write_model(path, seed, d, layers, experts, k, f, heads, kv, head_dim, vocab):
    random = np.random.default_rng(seed)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(dict(
        model_type="qwen3_moe", architectures=["Qwen3MoeForCausalLM"], vocab_size=vocab, hidden_size=d, intermediate_size=4 * f,
        moe_intermediate_size=f, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv, head_dim=head_dim,
        num_experts=experts, num_experts_per_tok=k, norm_topk_prob=True, rms_norm_eps=1e-6, rope_theta=1e6, hidden_act="silu",
        max_position_embeddings=8192, tie_word_embeddings=False, torch_dtype="bfloat16", attention_bias=False)))

    def matrix(*shape):
        return (random.standard_normal(shape, dtype=np.float32) * 0.02).astype(ml_dtypes.bfloat16)

    def ones(n):
        return np.ones(n, dtype=ml_dtypes.bfloat16)

    tensors = {"model.embed_tokens.weight": matrix(vocab, d), "lm_head.weight": matrix(vocab, d), "model.norm.weight": ones(d)}
    for layer in range(layers):
        name = f"model.layers.{layer}."
        for norm, size in (("input_layernorm", d), ("post_attention_layernorm", d), ("self_attn.q_norm", head_dim), ("self_attn.k_norm", head_dim)):
            tensors[f"{name}{norm}.weight"] = ones(size)
        for projection, rows in (("q", heads), ("k", kv), ("v", kv)):
            tensors[f"{name}self_attn.{projection}_proj.weight"] = matrix(rows * head_dim, d)
        tensors[f"{name}self_attn.o_proj.weight"] = matrix(d, heads * head_dim)
        tensors[f"{name}mlp.gate.weight"] = matrix(experts, d)
        for expert in range(experts):
            for projection, shape in (("gate", (f, d)), ("up", (f, d)), ("down", (d, f))):
                tensors[f"{name}mlp.experts.{expert}.{projection}_proj.weight"] = matrix(*shape)
    save_file(tensors, path / "model.safetensors")


def write_input(path, seed, tokens, length):
    random, lengths = np.random.default_rng(seed), []
    while sum(lengths) < tokens:
        lengths.append(length(random))
    with h5py.File(path, "w") as file:
        file["tokens/values"] = random.integers(0, 16000, sum(lengths)).astype(np.int32)
        file["tokens/offsets"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def prepare():
    for seed, (name, sizes) in enumerate(MODELS.items()):
        if not (WORK / name).exists():
            write_model(WORK / name, seed, **sizes)
    mixes = {"short": lambda r: int(r.integers(16, 160)), "mixed": lambda r: int(min(4000, max(32, np.exp(r.normal(6, 1)))))}
    for name, length in mixes.items():
        write_input(WORK / f"{name}.h5", 1, 60_000, length)
    write_input(WORK / "short8.h5", 2, 480_000, mixes["short"])


def cases(ranks):
    def of(job, model, data, dtype, more=()):
        option = "--input" if job == "score" else "--data"
        arguments = ["--model", WORK / model, option, WORK / f"{data}.h5", "--dtype", dtype, "--ep", ranks, *more]
        return {"job": job, "ranks": ranks, "name": f"{job}-{model}-{data}-{dtype}-{ranks}", "arguments": words(*arguments)}

    def training(model, data, dtype, records, more=()):
        return of("train", model, data, dtype, ["--step-records", records, "--max-steps", 8, "--eval-steps", 0, "--save-steps", 0, *more])

    if ranks > CORES:
        one = ["--threads", 1]
        return [of("score", "A", "short", "f32", one), of("score", "B", "mixed", "bf16", one), training("A", "mixed", "bf16", 8, one)]
    every = [of("score", m, i, d) for m in MODELS for i in ("short", "mixed") for d in ("f32", "bf16")]
    every += [training(m, data, d, records) for m, data, records in (("A", "mixed", 8), ("B", "short", 32)) for d in ("f32", "bf16")]
    return [*every, of("score", "A", "short8", "bf16")]


def words(*all_words):
    return [str(word) for word in all_words]


def predict(case):
    nodes = 1 if case["ranks"] <= CORES else case["ranks"]
    command = words(PROGRAM, "plan", case["job"], "--profile", PROFILE, "--nodes", nodes, "--tasks-per-node", case["ranks"] // nodes, "--json",
                    *case["arguments"])
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout)["layouts"][0]


def measure(case):
    run = WORK / f"run-{case['name']}"
    shutil.rmtree(run, ignore_errors=True)
    command = words(PROGRAM, case["job"], "--run", run, "--quiet", *case["arguments"])
    if case["ranks"] > 1:
        binding = ["--bind-to", "core"] if case["ranks"] <= CORES else ["--oversubscribe"]
        command = words("mpirun", "-np", case["ranks"], *binding, *command)
    subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    return json.loads((run / "ranks.json").read_text())["ranks"]


def compare(cases_with_plans):
    errors, by_operations = [], []
    for case in cases_with_plans:
        measured, predicted = measure(case), case["predicted"]
        work, load, memory = (max(rank[key] for rank in measured) for key in ("work", "load", "memory_bytes"))
        line = f"{case['name']:26} memory {memory / 1e6:.0f} MB, {predicted['memory_bytes'] / 1e6:.0f}"
        if case["ranks"] <= CORES:
            errors.append(predicted["work"] / work - 1)
            by_operations.append(predicted["flop_seconds"] / work - 1)
            line += (f"; work {work:7.2f} s, predicted {predicted['work']:7.2f} ({errors[-1]:+.1%}), by operations alone {by_operations[-1]:+.0%};"
                     f" load {load:.2f} s, {predicted['load']:.2f}")
        print(line, flush=True)
    print(f"median error {statistics.median(map(abs, errors)):.1%}, worst {max(map(abs, errors)):.1%} of {len(errors)};"
          f" by operations alone {statistics.median(map(abs, by_operations)):.1%}, {max(map(abs, by_operations)):.1%}")


if VERB == "predict":
    prepare()
    every = [case for ranks in RANKS for case in cases(ranks)]
    for case in every:
        case["predicted"] = predict(case)
    (WORK / "predictions.json").write_text(json.dumps(every, indent=1) + "\n")
elif VERB == "measure":
    compare(json.loads((WORK / "predictions.json").read_text()))
else:
    sys.exit(__doc__)
