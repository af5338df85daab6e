#!/usr/bin/env python3
"""The records that a model finds hardest: those with the most bits a token, as a scoring input of their own.

    select_records.py INPUT RESULTS --share 0.5 --output FILE
"""

import argparse
from pathlib import Path

import h5py
import numpy as np


def hardest(results, share):
    """Places in the input, in its order; of equally hard ones the first."""
    bits = -results["logprob"][:] / np.maximum(results["tokens"][:], 1)
    count = max(1, round(share * len(bits)))
    return np.sort(results["record"][:][np.argsort(-bits, kind="stable")[:count]])


def copy(records, source, target):
    offsets = source["tokens/offsets"][:].astype(np.int64)
    parts = [source["tokens/values"][offsets[i] : offsets[i + 1]] for i in records]
    target["tokens/values"] = np.concatenate(parts)
    target["tokens/offsets"] = np.cumsum([0, *map(len, parts)])
    for name in ("context", "id", "label"):
        if name in source:
            target.create_dataset(name, data=source[name][:][records], dtype=source[name].dtype)
    for name, value in source.attrs.items():
        target.attrs[name] = value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--share", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    o = parser.parse_args()
    unfinished = o.output.with_suffix(".new")
    with h5py.File(o.input) as source, h5py.File(o.results) as results, h5py.File(unfinished, "w") as target:
        records = hardest(results, o.share)
        copy(records, source, target)
        print(f"{len(records)} of {len(source['tokens/offsets']) - 1} records")
    unfinished.replace(o.output)


if __name__ == "__main__":
    main()
