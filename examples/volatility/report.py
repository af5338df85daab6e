#!/usr/bin/env python3
"""What the study has come to: report.py DIR prints DIR/report.md.

Errors are a day's, averaged over seeds: days are the sample, seeds are not. Intervals are of a paired bootstrap over
blocks of 22 consecutive days within an origin.
"""

import argparse
import json
from pathlib import Path

import h5py
import numpy as np

import series
from intervals import interval, resamples

BLOCK = 22
CLAIM = 'The claim: the error on old data rises by "+0.03 with 90/10 freezing against +0.17 without".'


def medians(run, levels=3):
    """A forecast a record: the middle one of its quantiles."""
    with h5py.File(run / "results.h5") as file:
        return file["quantiles/values"][:].reshape(-1, levels)[:, levels // 2].astype(float)


class Study:
    def __init__(self, folder):
        self.folder, self.plan = folder, json.loads((folder / "plan.json").read_text())
        _, self.y = series.load()

    def points(self, origin):
        """The origin's runs, one a seed: seeds change first in the sweep."""
        seeds = len(self.plan["seeds"])
        first = list(self.plan["origins"]).index(origin) * seeds
        return [self.folder / "runs/points" / str(first + i) for i in range(seeds)]

    def error(self, days, forecasts):
        """[unit, day], the mean over seeds."""
        return np.mean([series.errors(forecast, self.y[days]) for forecast in forecasts], axis=0)

    def next_days(self, origin):
        """The days that updated models are asked for: the months behind each update's."""
        return [np.array(month) for month in self.plan["origins"][origin]["months"][1:]]

    def errors_of(self, method):
        """By origin: errors on the next months, and on the hold-out after the last update."""
        after, held = [], []
        for origin, plan in self.plan["origins"].items():
            days, hold_out = self.next_days(origin), np.array(plan["hold-out"])
            runs = self.points(origin)
            if method == "none":
                skip, last = len(plan["months"][0]), "none"
                forecasts = [medians(run / "none-next")[skip:] for run in runs]
            else:
                numbers, last = range(1, self.plan["rounds"] + 1), f"{method}-{self.plan['rounds']}"
                forecasts = [np.concatenate([medians(run / f"{method}-{i}-next") for i in numbers]) for run in runs]
            after.append(self.error(np.concatenate(days), forecasts))
            held.append(self.error(hold_out, [medians(run / f"{last}-hold-out") for run in runs]))
        return after, held

    def baseline(self, forecast):
        """forecast(known, days): of days, from what is known before the first of them."""
        after, held = [], []
        for origin, plan in self.plan["origins"].items():
            hold_out, first = np.array(plan["hold-out"]), plan["first"]
            learnt = [day for day in range(series.MONTH, first) if day not in set(plan["hold-out"])]
            months = self.next_days(origin)
            parts = [forecast(learnt, list(range(first, month[0])), month) for month in months]
            after.append(self.error(np.concatenate(months), [np.concatenate(parts)]))
            held.append(self.error(hold_out, [forecast(learnt, [], hold_out)]))
        return after, held


def bootstrap(differences, rng):
    """[unit] means and their intervals; differences: by origin, [unit, day]."""
    sums = [days[:, resamples(days.shape[1], BLOCK, rng)].sum(axis=2) for days in differences]
    together = np.concatenate(differences, axis=1)
    return together.mean(axis=1), interval(sum(sums).T / together.shape[1])


def row(name, errors, base, rng):
    """Mean errors, then the differences to `base` with their intervals."""
    cells = []
    for part in (0, 1):
        mean = np.concatenate(errors[part], axis=1).mean(axis=1)
        cells.append(f"{mean[0]:.3f} / {mean[1]:.2f}")
        if errors is base:
            cells.append("")
            continue
        change, interval = bootstrap([a - b for a, b in zip(errors[part], base[part])], rng)
        cells.append(
            f"{change[0]:+.3f} [{interval[0][0]:+.3f}, {interval[1][0]:+.3f}] / "
            f"{change[1]:+.2f} [{interval[0][1]:+.2f}, {interval[1][1]:+.2f}]"
        )
    return f"| {name} | " + " | ".join(cells) + " |\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    study = Study(parser.parse_args().folder)
    y, rng, plan = study.y, np.random.default_rng(1), study.plan
    none = study.errors_of("none")
    methods = {name: study.errors_of(name) for name in plan["methods"]}
    har = lambda known, _, days: series.har_forecast(y, days, series.har_fit(y, known))
    refit = lambda known, since, days: series.har_forecast(y, days, series.har_fit(y, known + since))
    walk = lambda _, __, days: y[days - 1]
    lines = [
        f"{len(plan['origins'])} origins × {plan['rounds']} monthly updates × {len(plan['seeds'])} seeds. "
        "Mean absolute errors in log σ / volatility points; behind each its change against the model that is not updated.\n\n",
        "| method | next month | change | old hold-out, after the last update | change |\n|---|---|---|---|---|\n",
        row("none", none, none, rng),
        *(row(name, errors, none, rng) for name, errors in methods.items()),
        row("HAR, fitted at the origin", study.baseline(har), none, rng),
        row("HAR, fitted anew each month", study.baseline(refit), none, rng),
        row("random walk", study.baseline(walk), none, rng),
        f"\n{CLAIM} What came out stands in the last column, of `element`, `row`, `expert` against `full`.\n",
        "\nChange of `element` against `full`, paired: ",
    ]
    if "element" in methods and "full" in methods:
        for part, name in ((0, "next month"), (1, "old hold-out")):
            change, interval = bootstrap([a - b for a, b in zip(methods["element"][part], methods["full"][part])], rng)
            lines.append(f"{name} {change[0]:+.4f} [{interval[0][0]:+.4f}, {interval[1][0]:+.4f}] log σ; ")
    report = "".join(lines) + "\n"
    (study.folder / "report.md").write_text(report)
    print(report)


if __name__ == "__main__":
    main()
