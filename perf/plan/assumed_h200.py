#!/usr/bin/env python3
"""Writes a profile of a cluster of H200s that nobody has calibrated, for docs/planning.md's simulated study.

usage: assumed_h200.py > h200.json

Every rate is a roofline: the larger of operations over a rate and bytes over a bandwidth, and a launch. What the rates come from:
  measured on one H200 (perf/results/2026-11-28-h200-wgmma.md): experts' products 450 TFLOP/s, projections 400, the vocabulary 300, attention 150, copying 4.26 TB/s
  assumed: 5 us a launch; all-to-all in a node 150 GB/s a GPU and 30 us + 2 us a peer, between nodes 35 GB/s a GPU and 60 us + 4 us a peer; files 2 GB/s a rank
"""
import itertools
import json

TERA, GIGA, LAUNCH, COPY = 1e12, 1e9, 5e-6, 4.26e12
tables = {}


def add(name, dtype, size, amount, seconds):
    tables.setdefault((name, dtype), []).append({"size": [float(s) for s in size], "amount": float(amount), "seconds": float(seconds), "count": 1})


def powers(first, last, step=4):
    value = first
    while value <= last:
        yield value
        value *= step


def product(name, rate, dtype="bf16", width=2):
    for r, n, k in itertools.product(powers(1, 65536), powers(128, 262144, 8), powers(512, 8192)):
        amount = 2 * r * n * k
        add(name, dtype, (r, n, k), amount, LAUNCH + max(amount / rate, n * k * width / COPY))


product("gemm", 400 * TERA)
product("gemm", 40 * TERA, "f32", 4)  # the router
product("cross_entropy", 300 * TERA)
for r, g, d, f in itertools.product(powers(1, 16384), (1, 4, 16, 128), (1024, 2048, 4096, 8192), (512, 2048, 8192)):
    amount = 6 * r * g * d * f
    add("grouped_ffn", "bf16", (r, g, d, f), amount, 2 * LAUNCH + max(amount / (450 * TERA), g * 6 * d * f / COPY))
for keys, dims, group, queries in itertools.product(powers(1, 65536), (128, 256), (1, 8, 16), (1024, 1048576)):
    amount = 2 * queries * keys * dims
    add("attention", "bf16", (keys, dims, group, queries), amount, LAUNCH + max(amount / (150 * TERA), queries * dims * 4 / COPY))
for name in ("rms_norm", "rms_norm_rounded", "prepare_heads", "embedding", "gather_rows", "cast", "combine", "router_top_k", "group_by_expert", "scale_rows", "add_bias", "copy_columns"):
    for size in powers(1024, 1 << 34, 16):
        add(name, "f32", (size,), size, LAUNCH + size / COPY)
for tokens, width in itertools.product(powers(1, 65536), (512, 8192)):
    add("between_ops", "f32", (tokens, width), 1000, 1000 * 2e-6)
for name, dtype, rate in (("load", "bf16", 2 * GIGA), ("commit", "f32", 1 * GIGA)):
    for size in (1 << 20, 1 << 30, 1 << 36):
        add(name, dtype, (size,), size, 1e-3 + size / rate)
node = dict(tables)
tables = {}
for size in powers(1024, 1 << 32, 16):
    add("exchange", "f32", (size, 8), size, 30e-6 + 7 * 2e-6 + size / (150 * GIGA))
node[("exchange", "f32")] = tables[("exchange", "f32")]
tables = {}
for size in powers(1024, 1 << 32, 16):  # half of a rank's bytes leave the node
    add("exchange", "f32", (size, 16), size, 60e-6 + 15 * 4e-6 + size / 2 / (35 * GIGA))


def layout(hosts, rates):
    return {"hosts": hosts, "ranks_on_host": 8, "threads": 8,
            "rates": [{"work": name, "dtype": dtype, "samples": samples} for (name, dtype), samples in rates.items()]}


print(json.dumps({
    "format": "switchyard profile 1", "made_by": "perf/plan/assumed_h200.py",
    "machine": {"cpu": "any", "cpu_isa": "any", "device": "NVIDIA H200", "cores": 64, "memory_bytes": 1 << 40, "device_memory_bytes": 132 << 30},
    "assumed": "rooflines from one H200's measurements; links and files by their makers' figures, see perf/plan/assumed_h200.py",
    "layouts": [layout(1, node), layout(2, tables)]}))
