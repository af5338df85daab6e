#!/usr/bin/env python3
"""Makes the study's data and its sweep: prepare.py DIR [--quick] writes DIR/data, DIR/plan.json and DIR/sweep.cfg.

The program is `switchyard`, or what SWITCHYARD names.
"""

import argparse
import configparser
import json
import math
import os
import subprocess
from pathlib import Path

import series

STRIDE = 16  # days from one window of the pre-training data to the next


def settings(quick):
    config = configparser.ConfigParser()
    config.read(series.HERE / "study.ini")
    chosen = "quick" if quick else "origins"
    return {
        "history": config.getint("series", "history"),
        "bins": config.getint("series", "bins"),
        "origins": config[chosen]["days"].split(),
        "updates": config.getint(chosen, "updates"),
        "hold_out": config.getint("origins", "hold-out"),
        "hold_out_ends": config.getint("origins", "hold-out-ends"),
        "seeds": [int(seed) for seed in config["quick" if quick else "seeds"]["values"].split()],
        "pretrain": config["pretrain"]["options"],
        "update": config["update"]["options"],
        "methods": {
            name.split(maxsplit=1)[1]: dict(config[name]) for name in config.sections() if name.startswith("method ")
        },
    }


def month_ends(dates, first, count):
    """[first, …]: where the `count` months from day `first` on end, as places in `dates`."""
    ends, day = [], first
    for _ in range(count):
        month = dates[day][:7]
        while day < len(dates) and dates[day][:7] == month:
            day += 1
        ends.append(day)
    if ends[-1] == len(dates):
        raise SystemExit(f"{dates[first]}: the series ends within its {count} months")
    return ends


def text(values):
    return " ".join(f"{value:.6f}" for value in values)


def write(path, records, s):
    """A scoring input: imported once, not by every run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    program = os.environ.get("SWITCHYARD", "switchyard")
    command = [program, "import", "--jsonl", "-", "--tokenizer", s["tokenizer"], "--output", str(path)]
    done = subprocess.run(command, input=lines, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")


def forecasts(y, days, history):
    """A record a day: what came before is given, the day is scored."""
    return [{"context": text(y[day - history : day]), "continuation": " " + text([y[day]])} for day in days]


def origin_data(folder, dates, y, origin, s):
    """An origin's files; its days by name."""
    history, first = s["history"], next(i for i, date in enumerate(dates) if date >= origin)
    ends = month_ends(dates, first, s["updates"] + 1)
    hold_out = range(first - s["hold_out_ends"] - s["hold_out"], first - s["hold_out_ends"])
    windows = [
        range(begin, begin + history + 1)
        for begin in range(0, first - history, STRIDE)
        if begin + history < hold_out.start or begin >= hold_out.stop  # no day of the hold-out is learnt
    ]
    write(folder / "pretrain.h5", [{"text": text(y[w.start : w.stop])} for w in windows], s)
    write(folder / "hold-out.h5", forecasts(y, hold_out, history), s)
    months = [range(begin, end) for begin, end in zip([first, *ends], ends)]
    for number, month in enumerate(months, 1):
        before, days = y[month.start - history : month.start], y[month.start : month.stop]
        write(folder / f"month-{number}.h5", [{"context": text(before), "continuation": " " + text(days)}], s)
        write(folder / f"forecast-{number}.h5", forecasts(y, month, history), s)
    write(folder / "forecasts.h5", [r for month in months for r in forecasts(y, month, history)], s)
    days = {f"forecast-{number}": list(month) for number, month in enumerate(months, 1)}
    return {"first": first, "hold_out": list(hold_out), **days}


def stages(name, method, s):
    """A method's six months: each update goes on from the last one, and is asked for the month that follows."""
    lines, model = [], "{point}/train/model"
    for month in range(1, s["updates"] + 1):
        run, data = f"{name}-{month}", ["month-" + str(month)]
        options = [s["update"], method["options"]]
        if method.get("fisher"):
            lines.append(f"fisher --run {run}-fisher --model {model} --data {{files}}/{{origin}}/{data[0]}.h5 --draws 4")
            options.append(f"--fisher-{method['fisher']} {{point}}/{run}-fisher/fisher.h5")
        if method.get("data"):
            data.append(method["data"])
        files = " ".join(f"{{files}}/{{origin}}/{file}.h5" for file in data)
        lines.append(f"train --run {run} --model {model} --data {files} " + " ".join(options))
        model = f"{{point}}/{run}/model"
        lines.append(f"score --run {run}-next --model {model} --input {{files}}/{{origin}}/forecast-{month + 1}.h5")
    lines.append(f"score --run {name}-hold-out --model {model} --input {{files}}/{{origin}}/hold-out.h5")
    return lines


def once(options):
    """Where an option is given twice, the method's own."""
    groups = []
    for word in options.split():
        if word.startswith("--"):
            groups = [group for group in groups if group[0] != word]
            groups.append([word])
        else:
            groups[-1].append(word)
    return " ".join(word for group in groups for word in group)


def then(line):
    job, rest = line.split(maxsplit=1)
    own = {
        "train": "--seed {seed} --eval-steps 0 --save-steps 0 --save-total-limit 1",
        "fisher": "--seed {seed}",
        "score": "--quantiles 0.05,0.5,0.95",
    }[job]
    return f"then = {job} {once(rest)} {own} --dtype f32 --quiet\n"


def sweep(folder, s):
    lines = [
        f"let files = {folder}/data\n",
        f"let origin = [{', '.join(s['origins'])}]\n",
        f"seed = [{', '.join(map(str, s['seeds']))}]\n",
        "data = {files}/{origin}/pretrain.h5\n",
        "dtype = f32\nquiet = true\neval-steps = 0\nsave-steps = 0\nsave-total-limit = 1\n",
    ]
    words = s["pretrain"].replace("{model-config}", str(series.HERE / "model")).split()
    lines += [f"{name[2:]} = {value}\n" for name, value in zip(words[::2], words[1::2])]
    before = [
        "fisher --run fisher-old --data {files}/{origin}/pretrain.h5",
        "score --run none-next --input {files}/{origin}/forecasts.h5",
        "score --run none-hold-out --input {files}/{origin}/hold-out.h5",
    ]
    runs = before + [line for name, method in s["methods"].items() for line in stages(name, method, s)]
    lines += [then(line) for line in runs]
    lines.append("metric = none-next.loss\nretention = none-hold-out.loss\n")
    return "".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="2 origins, 2 updates, 2 seeds")
    parser.add_argument("--origins", nargs="+", metavar="DAY", help="others than study.ini's, for tuning")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="some of them")
    parser.add_argument("--update", metavar="OPTIONS", help="of every update, beside study.ini's")
    arguments = parser.parse_args()
    s, folder = settings(arguments.quick), arguments.folder.resolve()
    s["origins"] = arguments.origins or s["origins"]
    s["methods"] = {name: s["methods"][name] for name in arguments.methods or s["methods"]}
    s["update"] = f"{s['update']} {arguments.update or ''}"
    dates, y = series.load()
    before = y[: next(i for i, date in enumerate(dates) if date >= min(s["origins"]))]
    low, high = math.floor(4 * before.min()) / 4 - 0.25, math.ceil(4 * before.max()) / 4 + 0.25
    s["tokenizer"] = f"bins:{s['bins']}:{low}:{high}"
    s["days"] = {origin: origin_data(folder / "data" / origin, dates, y, origin, s) for origin in s["origins"]}
    (folder / "plan.json").write_text(json.dumps(s, indent=1) + "\n")
    (folder / "sweep.cfg").write_text(sweep(folder, s))


if __name__ == "__main__":
    main()
