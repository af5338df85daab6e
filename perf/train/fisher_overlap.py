#!/usr/bin/env python3
"""How much of an exact Fisher information's top tenth an estimate finds: of what --freeze chooses from.

    perf/train/fisher_overlap.py EXACT/fisher.h5 FISHER.h5 …      needs numpy and h5py
"""
import sys

import h5py
import numpy as np


def eligible(path):
    """All matrices but the routers."""
    with h5py.File(path) as f:
        of = f["fisher"]
        return np.concatenate([of[name][:].ravel() for name in sorted(of)
                               if of[name].ndim == 2 and not name.endswith("mlp.gate.weight")])


def top_tenth(values):
    chosen = np.zeros(len(values), bool)
    chosen[np.argsort(-values, kind="stable")[:len(values) // 10]] = True
    return chosen


exact = eligible(sys.argv[1])
wanted = top_tenth(exact)
for path in sys.argv[2:]:
    estimate = eligible(path)
    print(f"{path}: overlap {(top_tenth(estimate) & wanted).sum() / wanted.sum():.3f}, "
          f"relative distance {np.linalg.norm(estimate - exact) / np.linalg.norm(exact):.3f}")
