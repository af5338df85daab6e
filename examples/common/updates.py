"""What prepare.py of a study needs: settings, scoring inputs, and a sweep whose points are pre-trainings with all
methods' updates one after the other behind them."""

import argparse
import configparser
import json
import os
import subprocess
from pathlib import Path


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="study.ini's short form")
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="some of them")
    parser.add_argument("--update", default="", metavar="OPTIONS", help="of every update, beside study.ini's")
    return parser


class Settings:
    """study.ini; --quick puts its `section.name` values in place."""

    def __init__(self, path, chosen):
        self.config = configparser.ConfigParser()
        self.config.read(path)
        if chosen.quick:
            for name, value in self.config["quick"].items():
                section, key = name.split(".")
                self.config[section][key] = value
        sections = {name.removeprefix("method "): dict(self.config[name]) for name in self.config.sections()
                    if name.startswith("method ")}
        self.methods = {name: sections[name] for name in chosen.methods or sections}
        self.seeds = self.config["seeds"]["values"].split()
        self.pretrain = self.config["pretrain"]["options"].replace("{model}", str(path.parent / "model"))
        self.update = f"{self.config['update']['options']} {chosen.update}"
        self.fisher = self.config["fisher"]["options"]

    def plan(self):
        return {"methods": list(self.methods), "seeds": self.seeds}


def write_input(path, records, *options):
    """A scoring input: imported once, not by every run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    program = os.environ.get("SWITCHYARD", "switchyard")
    command = [program, "import", "--jsonl", "-", "--output", str(path), *options]
    done = subprocess.run(command, input=lines, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: {done.stderr}")


def last_of_each(options):
    """Of an option that is given twice, the last one: a method's own words follow those of all."""
    chosen = {}
    for word in options.split():
        if word.startswith("--"):
            chosen.pop(word, None)
            chosen[word] = values = []
        else:
            values.append(word)
    return " ".join(word for name, values in chosen.items() for word in (name, *values))


def updates(name, settings, rounds, old_data):
    """A method's rounds, each (training data, {score's name: input}): an update goes on from the last one."""
    method, model = settings.methods[name], "{point}/train/model"
    for number, (data, inputs) in enumerate(rounds, 1):
        run, options = f"{name}-{number}", f"{settings.update} {method['options']}"
        if "fisher" in method:
            yield f"fisher --run {run}-fisher --model {model} --data {data} {settings.fisher}"
            options += f" --fisher-{method['fisher']} {{point}}/{run}-fisher/fisher.h5"
        files = f"{data} {old_data}" if "replay" in method else data
        yield f"train --run {run} --model {model} --data {files} {options}"
        model = f"{{point}}/{run}/model"
        for score, path in inputs.items():
            yield f"score --run {run}-{score} --model {model} --input {path}"


def write_sweep(path, settings, variables, data, runs, ranked):
    """runs: what follows a point's pre-training on `data`, a line each; ranked: lines of the sweep file's end."""
    own = {"train": "--seed {seed} --eval-steps 0 --save-steps 0 --save-total-limit 1", "fisher": "--seed {seed}",
           "score": settings.config["score"]["options"]}  # fmt: skip
    lines = [f"let {name} = {value}" for name, value in variables.items()]
    lines += [f"seed = [{', '.join(settings.seeds)}]", f"data = {data}", "dtype = f32", "quiet = true",
              "eval-steps = 0", "save-steps = 0", "save-total-limit = 1"]  # fmt: skip
    words = settings.pretrain.split()
    lines += [f"{name[2:]} = {value}" for name, value in zip(words[::2], words[1::2])]
    for run in runs:
        job, options = run.split(maxsplit=1)
        lines.append(f"then = {job} {last_of_each(options)} {own[job]} --dtype f32 --quiet")
    path.write_text("\n".join(lines + ranked) + "\n")
