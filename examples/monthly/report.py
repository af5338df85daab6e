#!/usr/bin/env python3
"""What months have come to: report.py MONTH …, each a folder that has a verdict.json."""

import json
import sys
from pathlib import Path


def main():
    print("| month | held out | bits per byte before | after | change | |\n|---|---|---|---|---|---|")
    for month in map(Path, sys.argv[1:]):
        verdict = json.loads((month / "verdict.json").read_text())
        end = "published" if verdict["publish"] else f"not published: {verdict['why']}"
        for name, found in verdict["sets"].items():
            low, high = found["interval"]
            change = f"{found['change']:+.3f} [{low:+.3f}, {high:+.3f}]"
            print(f"| {month.name} | {name} | {found['before']:.3f} | {found['after']:.3f} | {change} | {end} |")
            end = ""


if __name__ == "__main__":
    main()
