#!/usr/bin/env python3
"""Steps of which a tenth of the parameters learns beside steps of which all do, in turns.

A Qwen3-MoE of d 256, 4 layers, 128 experts, k 4, f 128 learns TEXTS/kjv.txt in 300 steps of 8 records of 257 bytes; its
Fisher information is of 256 records of TEXTS/austen.txt, which the runs then learn. What WORK has already is taken as it is.
A row is a run of 12 steps: the best and the median of all but the first two, by timing.jsonl, and its ratio to the dense
run of the same round.

    perf/train/incremental.py SWITCHYARD TEXTS WORK [--records 8] [--rounds 4] [--only dense,element]
"""
import argparse
import json
import shutil
import statistics
import subprocess
from pathlib import Path

CONFIG = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 256, "head_dim": 32,
    "num_attention_heads": 8, "num_key_value_heads": 4, "num_hidden_layers": 4, "num_experts": 128,
    "num_experts_per_tok": 4, "moe_intermediate_size": 128, "intermediate_size": 16, "norm_topk_prob": True,
    "decoder_sparse_step": 1, "mlp_only_layers": [], "vocab_size": 256, "max_position_embeddings": 512,
    "rope_theta": 10000, "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": False,
    "initializer_range": 0.02, "torch_dtype": "float32"}
RECORDS = ["--tokenizer", "bytes", "--max-tokens", "257"]
KINDS = {"dense": [], "element": ["--freeze", "0.9"], "row": ["--freeze", "0.9", "--granularity", "row"],
         "expert": ["--freeze", "0.9", "--granularity", "expert"], "random": ["--freeze", "0.9", "--select", "random"]}
PHASES = "forward", "head", "backward", "update"


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("switchyard", type=Path)
    p.add_argument("texts", type=Path)
    p.add_argument("work", type=Path)
    p.add_argument("--records", type=int, default=8, help="of 257 bytes a step")
    p.add_argument("--rounds", type=int, default=4)
    p.add_argument("--only", default=",".join(KINDS), type=lambda names: names.split(","))
    return p.parse_args()


def prepare(o, run):
    """The model that has learnt, and its Fisher information."""
    config, base, fisher = o.work / "config.json", o.work / "base", o.work / "fisher"
    if not (base / "model").is_dir():
        config.write_text(json.dumps(CONFIG))
        run("train", "--init", config, "--data", o.texts / "kjv.txt", *RECORDS, "--step-records", 8, "--max-steps", 300,
            "--learning-rate", 1e-3, "--warmup-steps", 20, "--save-steps", 0, "--export", "f32", "--run", base)
    if not (fisher / "fisher.h5").is_file():
        run("fisher", "--model", base / "model", "--data", o.texts / "austen.txt", *RECORDS, "--max-records", 256,
            "--step-records", 8, "--run", fisher)
    return base / "model", fisher / "fisher.h5"


def step_seconds(o, run, model, fisher, kind):
    """(best, median, phases of the best) of a run's steps."""
    at = o.work / f"run-{kind}"
    shutil.rmtree(at, ignore_errors=True)
    chosen = [] if kind in ("dense", "random") else ["--fisher-new", fisher]
    run("train", "--model", model, "--data", o.texts / "austen.txt", *RECORDS, "--step-records", o.records, "--max-steps", 12,
        "--learning-rate", 1e-4, "--save-steps", 0, "--export", "f32", "--run", at, *KINDS[kind], *chosen)
    steps = [json.loads(line) for line in (at / "timing.jsonl").read_text().splitlines()][2:]
    steps.sort(key=lambda step: sum(step[phase] for phase in PHASES))
    seconds = [sum(step[phase] for phase in PHASES) for step in steps]
    return seconds[0], statistics.median(seconds), {phase: round(steps[0][phase], 3) for phase in PHASES}


def main():
    o = options()
    o.work.mkdir(parents=True, exist_ok=True)

    def run(*words):
        subprocess.run([str(word) for word in (o.switchyard, *words, "--quiet")], check=True, stdout=subprocess.DEVNULL)

    model, fisher = prepare(o, run)
    for turn in range(1, o.rounds + 1):
        dense = None
        for kind in o.only:
            best, median, phases = step_seconds(o, run, model, fisher, kind)
            dense = dense or (best, median)
            print(f"{turn} {kind:8} best {best:.3f} ({best / dense[0]:.3f})  median {median:.3f} ({median / dense[1]:.3f})",
                  phases, flush=True)


if __name__ == "__main__":
    main()
