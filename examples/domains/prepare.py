#!/usr/bin/env python3
"""Makes the study's data and its sweep: prepare.py DIR [--quick] writes DIR/data, DIR/plan.json and DIR/sweep.cfg.

The program is `switchyard`, or what SWITCHYARD names.
"""

import json
from pathlib import Path

from texts import TOKENS, Text
from updates import Settings, arguments, updates, write_input, write_sweep

HERE = Path(__file__).resolve().parent


def runs_of_a_point(settings, texts):
    """After every round all texts are scored: R[round, text]."""
    file = "{{files}}/{}.h5".format
    yield f"fisher --run fisher-old --data {file(texts[0])} {settings.fisher}"
    yield f"score --run none-all --input {file('held-out')}"
    rounds = [(file(text), {"all": file("held-out")}) for text in texts[1:]]
    for method in settings.methods:
        yield from updates(method, settings, rounds, file(texts[0]))


def main():
    parser = arguments(__doc__)
    parser.add_argument("--tune", action="store_true", help="score the windows that are for tuning, seed 0 alone")
    chosen = parser.parse_args()
    settings, folder = Settings(HERE / "study.ini", chosen), chosen.folder.resolve()
    if chosen.tune:
        settings.seeds = ["0"]
    names = [settings.config["texts"]["old"], *settings.config["texts"]["new"].split()]
    texts = [Text(name, settings.config["windows"]) for name in names]
    held_out = [text.tuned_by if chosen.tune else text.judged for text in texts]
    for name, text in zip(names, texts):
        write_input(folder / f"data/{name}.h5", text.learnt, *TOKENS)
    write_input(folder / "data/held-out.h5", sum(held_out, []), *TOKENS)
    plan = {**settings.plan(), "texts": names, "held-out": [len(records) for records in held_out]}
    (folder / "plan.json").write_text(json.dumps(plan, indent=1) + "\n")
    write_sweep(
        folder / "sweep.cfg",
        settings,
        {"files": folder / "data"},
        f"{{files}}/{names[0]}.h5",
        runs_of_a_point(settings, names),
        ["metric = none-all.bits_per_token"],
    )


if __name__ == "__main__":
    main()
