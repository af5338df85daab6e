"""Holds RUN/tensorboard, as TensorBoard's own reader (pip install tensorboard) reads it, to RUN/metrics.jsonl.

usage: check_events.py RUN
"""
import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FIELDS = {"train/loss": "loss", "train/balance_loss": "balance", "train/grad_norm": "grad_norm",
          "train/learning_rate": "learning_rate", "train/expert_load": "expert_load", "eval/loss": "eval_loss"}


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


run = pathlib.Path(sys.argv[1])
lines = [json.loads(line) for line in open(run / "metrics.jsonl")]
events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
tags = events.Tags()["scalars"]
for tag, field in FIELDS.items():
    want = [(line["step"], single(line[field])) for line in lines if field in line]
    got = [(event.step, event.value) for event in events.Scalars(tag)] if tag in tags else []
    if got != want:
        sys.exit(f"{tag}: expected {len(want)} values, found {len(got)}; first difference: "
                 f"{next((pair for pair in zip(want, got) if pair[0] != pair[1]), None)}")
    print(f"{tag}: {len(got)} values as in metrics.jsonl")
speed = [event.step for event in events.Scalars("perf/tokens_per_second")]
if len(set(speed)) != len(speed):
    sys.exit(f"perf/tokens_per_second: steps more than once: {speed}")
print(f"perf/tokens_per_second: {len(speed)} values")
