#!/usr/bin/env python3
"""Old and new model on held-out records, paired: compare.py NAME … --tolerance BITS --output FILE reads
before-NAME/results.h5 and after-NAME/results.h5 and says whether the new one is to be published: `new` must have become
better, and no other set worse by more than BITS a token, by the ends of the 95 % intervals.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import h5py
import numpy as np

from intervals import interval, resamples

BLOCK = 4  # consecutive records of a text


def bits(run):
    """Of each record: bits, and tokens."""
    with h5py.File(Path(run) / "results.h5") as file:
        return file["record"][:], -file["logprob"][:] / math.log(2), file["tokens"][:]


def compare(name, rng):
    """Bits a token before and after, and the change with its interval."""
    (records, before, tokens), (same, after, _) = bits(f"before-{name}"), bits(f"after-{name}")
    if not np.array_equal(records, same):
        raise SystemExit(f"{name}: before and after are of different records")
    places = resamples(len(records), BLOCK, rng)
    low, high = interval((after - before)[places].sum(axis=1) / tokens[places].sum(axis=1))
    old, new = before.sum() / tokens.sum(), after.sum() / tokens.sum()
    return {"before": old, "after": new, "change": new - old, "interval": [low, high]}


def reasons(sets, tolerance):
    """Why not, if anything."""
    if sets["new"]["interval"][1] >= 0:
        yield "new: not better"
    for name, found in sets.items():
        if name != "new" and found["interval"][1] > tolerance:
            yield f"{name}: may be worse by {found['interval'][1]:.3f} bits a token, {tolerance} allowed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--tolerance", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    o = parser.parse_args()
    if "new" not in o.names:
        raise SystemExit(f"held-out sets {', '.join(o.names)}: expected one that is called new")
    sets = {name: compare(name, np.random.default_rng(1)) for name in o.names}
    for name, found in sets.items():
        low, high = found["interval"]
        print(f"  {name}: {found['before']:.3f} -> {found['after']:.3f} ({found['change']:+.3f} [{low:+.3f}, {high:+.3f}])", file=sys.stderr)
    why = list(reasons(sets, o.tolerance))
    unfinished = o.output.with_suffix(".new")
    unfinished.write_text(json.dumps({"publish": not why, "why": "; ".join(why), "sets": sets}, indent=1) + "\n")
    unfinished.replace(o.output)


if __name__ == "__main__":
    main()
