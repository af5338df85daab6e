#!/usr/bin/env python3
"""Makes the study's data and its sweep: prepare.py DIR [--quick] writes DIR/data, DIR/plan.json and DIR/sweep.cfg.

The program is `switchyard`, or what SWITCHYARD names.
"""

import json
import math

import series
from updates import Settings, arguments, updates, write_input, write_sweep

STRIDE = 16  # days from one window of the pre-training data to the next


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


def forecasts(y, days, history):
    """A record a day: what came before is given, the day is scored."""
    return [{"context": text(y[day - history : day]), "continuation": " " + text([y[day]])} for day in days]


def origin_data(folder, dates, y, first, tokenizer, config):
    """Writes an origin's files; its days by name."""
    history, updates = config.getint("series", "history"), config.getint("origins", "updates")
    ends = month_ends(dates, first, updates + 1)
    last = first - config.getint("origins", "hold-out-ends")
    hold_out = range(last - config.getint("origins", "hold-out"), last)
    windows = [
        range(begin, begin + history + 1)
        for begin in range(0, first - history, STRIDE)
        if begin + history < hold_out.start or begin >= hold_out.stop  # no day of the hold-out is learnt
    ]
    months = [range(begin, end) for begin, end in zip([first, *ends], ends)]
    write = lambda name, records: write_input(folder / f"{name}.h5", records, "--tokenizer", tokenizer)
    write("pretrain", [{"text": text(y[w.start : w.stop])} for w in windows])
    write("hold-out", forecasts(y, hold_out, history))
    for number, month in enumerate(months, 1):
        before, days = y[month.start - history : month.start], y[month.start : month.stop]
        write(f"month-{number}", [{"context": text(before), "continuation": " " + text(days)}])
        write(f"forecast-{number}", forecasts(y, month, history))
    write("forecasts", [r for month in months for r in forecasts(y, month, history)])
    return {"first": first, "hold-out": list(hold_out), "months": [list(month) for month in months]}


def runs_of_a_point(settings, rounds):
    """After each month's update the month that follows is forecast, in the end the old regime."""
    yield "fisher --run fisher-old --data {files}/{origin}/pretrain.h5 --draws 1"
    yield "score --run none-next --input {files}/{origin}/forecasts.h5"
    yield "score --run none-hold-out --input {files}/{origin}/hold-out.h5"
    file = "{{files}}/{{origin}}/{}.h5".format
    months = [(file(f"month-{i}"), {"next": file(f"forecast-{i + 1}")}) for i in range(1, rounds + 1)]
    months[-1][1]["hold-out"] = file("hold-out")
    for method in settings.methods:
        yield from updates(method, settings, months, file("pretrain"))


def main():
    parser = arguments(__doc__)
    parser.add_argument("--origins", nargs="+", metavar="DAY", help="others than study.ini's, for tuning")
    chosen = parser.parse_args()
    settings, folder = Settings(series.HERE / "study.ini", chosen), chosen.folder.resolve()
    config = settings.config
    origins, rounds = chosen.origins or config["origins"]["days"].split(), config.getint("origins", "updates")
    dates, y = series.load()
    firsts = {origin: next(i for i, date in enumerate(dates) if date >= origin) for origin in origins}
    before = y[: min(firsts.values())]
    low, high = math.floor(4 * before.min()) / 4 - 0.25, math.ceil(4 * before.max()) / 4 + 0.25
    tokenizer = f"bins:{config['series']['bins']}:{low}:{high}"
    data = folder / "data"
    days = {origin: origin_data(data / origin, dates, y, firsts[origin], tokenizer, config) for origin in origins}
    (folder / "plan.json").write_text(json.dumps({**settings.plan(), "rounds": rounds, "origins": days}, indent=1) + "\n")
    write_sweep(
        folder / "sweep.cfg",
        settings,
        {"files": data, "origin": f"[{', '.join(origins)}]"},
        "{files}/{origin}/pretrain.h5",
        runs_of_a_point(settings, rounds),
        ["metric = none-next.loss", "retention = none-hold-out.loss"],
    )


if __name__ == "__main__":
    main()
