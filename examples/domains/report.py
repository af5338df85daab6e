#!/usr/bin/env python3
"""What the study has come to: report.py DIR prints DIR/report.md.

R[t, i] are bits per byte of text i's held-out windows after update t, text 0 the old one, update 0 none; the mean over
seeds: windows are the sample, seeds are not. Intervals are of a paired bootstrap over blocks of 4 consecutive windows
of a text.
"""

import argparse
import json
import math
from pathlib import Path

import h5py
import numpy as np

from intervals import interval, resamples

BLOCK = 4
CLAIM = 'The claim: the loss on old data rises by "+0.03 with 90/10 freezing against +0.17 without".'

# Of R, whose last two dimensions are [update, text]. Bits, so less is better.
MEASURES = {
    "new text, right after": lambda R: np.diagonal(R, axis1=-2, axis2=-1)[..., 1:].mean(-1),
    "new texts, in the end": lambda R: R[..., -1, 1:].mean(-1),
    "old text, in the end": lambda R: R[..., -1, 0],
    "backward transfer": lambda R: (np.diagonal(R, axis1=-2, axis2=-1) - R[..., -1, :])[..., :-1].mean(-1),
    "forgetting": lambda R: (R[..., -1, :] - R.min(-2))[..., :-1].mean(-1),
}


class Study:
    def __init__(self, folder):
        self.folder, self.plan = folder, json.loads((folder / "plan.json").read_text())
        self.rounds, counts = len(self.plan["texts"]) - 1, self.plan["held-out"]
        self.parts = np.cumsum(counts)[:-1]
        rng = np.random.default_rng(1)
        self.places = [resamples(count, BLOCK, rng) for count in counts]

    def bits(self, run):
        """By text: bits per byte of every window, the mean over seeds."""
        runs = [self.folder / "runs/points" / str(i) / run for i in range(len(self.plan["seeds"]))]
        windows = []
        for path in runs:
            with h5py.File(path / "results.h5") as file:
                windows.append(-file["logprob"][:] / file["tokens"][:] / math.log(2))
        return np.split(np.mean(windows, axis=0), self.parts)

    def matrix(self, method):
        """R, and R of every resample."""
        last = lambda t: "none-all" if t == 0 or method == "none" else f"{method}-{t}-all"
        updates = [self.bits(last(t)) for t in range(self.rounds + 1)]
        mean = np.array([[text.mean() for text in texts] for texts in updates])
        again = [[text[places].mean(axis=1) for text, places in zip(texts, self.places)] for texts in updates]
        return mean, np.array(again).transpose(2, 0, 1)


def cells(matrix, base):
    """Every measure, and its change against the base's, paired."""
    (mean, again), (base_mean, base_again) = matrix, base
    for measure in MEASURES.values():
        text = f"{measure(mean):+.3f}" if measure(base_mean) == 0 else f"{measure(mean):.3f}"
        if matrix is not base:
            low, high = interval(measure(again) - measure(base_again))
            text += f" ({measure(mean) - measure(base_mean):+.4f} [{low:+.4f}, {high:+.4f}])"
        yield text


def table(study, names, base):
    matrices = {name: study.matrix(name) for name in names}
    lines = ["| method | " + " | ".join(MEASURES) + " |\n", "|---" * (len(MEASURES) + 1) + "|\n"]
    lines += [f"| {name} | " + " | ".join(cells(matrices[name], matrices[base])) + " |\n" for name in names]
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    study = Study(parser.parse_args().folder)
    plan, methods = study.plan, study.plan["methods"]
    report = (
        f"{plan['texts'][0]}, then {study.rounds} updates; {len(plan['seeds'])} seeds. Bits per byte of held-out windows, in "
        "brackets the change against the model that is not updated.\n\n" + table(study, ["none", *methods], "none")
    )
    if "full" in methods and len(methods) > 1:
        report += "\nThe same, in brackets the change against the full update.\n\n" + table(study, methods, "full")
    report += f"\n{CLAIM} Here: see `old text, in the end`.\n"
    (study.folder / "report.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
