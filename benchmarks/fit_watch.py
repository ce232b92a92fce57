"""Fit the rule that judges the first fifth of a watched run by its parts, and measure it.

    python -m benchmarks.fit_watch cases [--shards recordings]  # looks at all long runs
    python -m benchmarks.fit_watch fit                          # into the package
    python -m benchmarks.fit_watch table [--write docs/evidence/policy.md]

Run it from the repository root, after ``benchmarks.fit_preflight signals``. Looks hold forecasts by
forecasters fitted without the run's data set, which takes all tables of runs; the fit and the
table need nothing that is not in the repository.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.decisions.watching import (
    LOOKS_FILE,
    LookCase,
    calibrated_looks,
    looks_of,
    read_looks,
    stops_by_parts,
    write_looks,
)
from benchmarks.watched import write_table
from hf_ftrisk.policy.parts.parts import Parts
from hf_ftrisk.policy.parts.rule import WATCH_FILE
from hf_ftrisk.text import percent

_NO_SHARDS = Path("benchmarks/recordings/none")
RATES = (0.05, 0.1)
EARLY = 0.2
# What the parts are without the untrained model's signals.
_UNKNOWN = dict.fromkeys(("signal", "reach", "rows", "movement", "simulated", "heat"))


def _as_they_are(parts: Parts) -> Parts:
    return parts


def _without_signals(parts: Parts) -> Parts:
    return replace(parts, **_UNKNOWN)


def _without_forecast(parts: Parts) -> Parts:
    return replace(parts, forecast=None)


def _signals_alone(parts: Parts) -> Parts:
    return replace(parts, learning=None, progress=None, stability=None, forecast=None)


VARIANTS: dict[str, Callable[[Parts], Parts]] = {
    "without the untrained model's signals": _without_signals,
    "signals and plan alone": _signals_alone,
    "without the forecast": _without_forecast,
    "all parts (used)": _as_they_are,
}


def table(looks: Sequence[LookCase]) -> str:
    """Good runs kept and poor ones stopped, by variant, goals and allowed rate."""
    lines = [
        "| judged by | goals | allowed | good | kept | poor | stopped | by 20 % | steps saved |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, change in VARIANTS.items():
        changed = [replace(look, parts=change(look.parts)) for look in looks]
        one_of = {look.judged: look for look in changed}
        for rate, stops_of in stops_by_parts(changed, RATES).items():
            stops = [(one_of[key], stop) for key, stop in stops_of.items()]
            lines.append(_row(name, "all", rate, stops))
            baseline = [pair for pair in stops if pair[0].target == "none"]
            lines.append(_row(name, "baseline", rate, baseline))
    runs, sets = len({look.run_id for look in looks}), len({look.dataset for look in looks})
    return f"{runs} long runs of {sets} data sets.\n\n" + "\n".join(lines)


def _row(name: str, goals: str, rate: float, stops: Sequence[tuple[LookCase, float | None]]) -> str:
    good = [stop for look, stop in stops if look.good]
    poor = [stop for look, stop in stops if not look.good]
    kept = np.mean([stop is None for stop in good])
    stopped = np.mean([stop is not None for stop in poor])
    early = np.mean([stop is not None and stop <= EARLY for stop in poor])
    saved = np.mean([0.0 if stop is None else 1.0 - stop for _, stop in stops])
    return (
        f"| {name} | {goals} | {rate:g} | {len(good)} | {percent(kept, '.1f')} "
        f"| {len(poor)} | {percent(stopped, '.1f')} "
        f"| {percent(early, '.1f')} | {percent(saved, '.1f')} |"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["cases", "fit", "table"])
    parser.add_argument("--shards", type=Path, default=_NO_SHARDS, help="shards not packed yet")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    options = parser.parse_args(arguments)
    if options.what == "cases":
        write_looks(looks_of(options.shards))
        print(f"{LOOKS_FILE}: {len(read_looks())} looks")
    elif options.what == "fit":
        rule = calibrated_looks(read_looks())
        WATCH_FILE.write_text(json.dumps(rule.to_dict(), indent=1) + "\n", encoding="utf-8")
        print(
            f"{rule.runs} runs of {rule.data_sets} data sets; NO_GO below {rule.no_go(0.025):.3f}"
        )
    else:
        text = table(read_looks())
        print(text)
        if options.write is not None:
            write_table(options.write, "signals", text)


if __name__ == "__main__":
    main()
