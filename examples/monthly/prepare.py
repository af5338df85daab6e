#!/usr/bin/env python3
"""Makes an example's data and settings: prepare.py DIR [--quick] writes DIR/data, DIR/months and DIR/base.conf.

The base learns the beginning of the King James Bible. Two months bring a novel of Jane Austen's each, between verses
that the base has not seen; the third one's novel has the letters of its words in disorder.
"""

import argparse
import json
import random
import shlex
from configparser import ConfigParser
from pathlib import Path

from texts import Text

DOMAINS = Path(__file__).resolve().parent.parent / "domains"
MONTHS = {"2026-01": "emma", "2026-02": "persuasion", "2026-03": "northanger-abbey"}
SPOILT = "2026-03"
BASE_RECORDS, OLD, NEW = 2400, 128, 384


def disordered(record, chance):
    words = record["text"].split(" ")
    return {"text": " ".join("".join(chance.sample(word, len(word))) for word in words)}


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def words(items):
    return "(" + " ".join(shlex.quote(str(item)) for item in items) + ")"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true", help="a base that has learnt little")
    o = parser.parse_args()
    folder, chance = o.folder.resolve(), random.Random(1)
    windows = {"bytes": "256", "held-out-of": "8", "judged": "64"}
    config = ConfigParser()
    config.read_dict({"windows": windows})
    text = lambda name: Text(name, config["windows"])
    bible, data = text("kjv"), folder / "data"
    held_out_old = write(data / "held-out-old.jsonl", bible.judged)
    base = write(data / "base.jsonl", bible.learnt[:BASE_RECORDS])
    unseen = iter(bible.learnt[BASE_RECORDS:])
    for month, novel in MONTHS.items():
        new = text(novel)
        learnt = [disordered(record, chance) for record in new.learnt] if month == SPOILT else new.learnt
        records = learnt[:NEW] + [next(unseen) for _ in range(OLD)]
        chance.shuffle(records)
        held_out = write(data / f"held-out-{month}.jsonl", new.judged)
        arrived = write(data / f"{month}.jsonl", records)
        (folder / "months" / month).mkdir(parents=True, exist_ok=True)
        (folder / "months" / month / "month.conf").write_text(
            f"model={shlex.quote(str(folder / 'base/model'))}\n"
            f"published={shlex.quote(str(folder / 'published'))}\n"
            f"new={shlex.quote(str(arrived))}\n"
            f"replay={shlex.quote(str(base))}\n"
            f"held_out={words([f'new={held_out}', f'old={held_out_old}'])}\n"
        )
    steps = 100 if o.quick else 800
    options = f"--step-records 16 --max-steps {steps} --learning-rate 3e-3 --warmup-steps {steps // 10} --balance 0.1"
    options += " --tokenizer bytes --bos 256 --max-tokens 257 --eval-steps 0 --save-steps 100"
    lines = f"base={words(['--init', DOMAINS / 'model', '--data', base, *options.split()])}\n"
    (folder / "base.conf").write_text(lines)


if __name__ == "__main__":
    main()
