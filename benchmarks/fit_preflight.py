"""Fit the rule of a pre-flight on recorded pairs, and write it into the package.

    python -m benchmarks.fit_preflight signals [--shards recordings]  # what older records lack
    python -m benchmarks.fit_preflight orderings [--shards recordings]
    python -m benchmarks.fit_preflight cases [--shards recordings]
    python -m benchmarks.fit_preflight other_cases [--shards recordings]  # of other tasks
    python -m benchmarks.fit_preflight fit

Run it from the repository root. Pairs are read from benchmarks/recordings and, with --shards, from
a folder of shards that are not packed yet. Cases hold the forecast of each probe by a forecaster
fitted without its data set, which takes all tables of runs (`benchmarks.run_tables`); the fit
itself needs nothing that is not in the repository.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.decisions.cases import OTHER_CASES_FILE, read_cases, write_cases
from benchmarks.decisions.examples import examples_of
from benchmarks.decisions.fitting import OTHERS_PRIOR, calibrated
from benchmarks.decisions.sources import (
    keep_orderings,
    keep_signals,
    knowing_none,
    known_orderings,
    known_signals,
    long_runs,
    other_runs,
    short_key,
    short_runs,
)
from benchmarks.longruns import store
from hf_ftrisk.policy.parts.rule import OTHERS_FILE, PREFLIGHT_FILE, PartsRule
from hf_ftrisk.reference import load_reference
from hf_ftrisk.signals.ordering import ORDERING

# Shares of the run that probes train within budgets of 2, 5 and 10 %: most of them.
DEPTHS = (0.02, 0.05, 0.1)
_NO_SHARDS = Path("benchmarks/recordings/none")


def cases(shards: Path) -> None:
    """Read the cases off all recorded pairs, and keep them."""
    runs = [*short_runs(), *(run for depth in DEPTHS for run in long_runs(depth, shards))]
    write_cases(examples_of(runs, knowing_none))


def other_cases(shards: Path) -> None:
    """The same of other tasks."""
    runs = [run for depth in DEPTHS for run in other_runs(depth, shards)]
    write_cases(examples_of(runs, knowing_none), OTHER_CASES_FILE)


def fitted() -> PartsRule:
    """The rule on the cases that are kept."""
    return calibrated(read_cases())


def fitted_to_others() -> PartsRule:
    """The rule on the kept cases of other tasks."""
    return calibrated(read_cases(OTHER_CASES_FILE), prior=OTHERS_PRIOR)


def fit() -> None:
    """Fit, and write the packaged rules."""
    _write(fitted(), PREFLIGHT_FILE)
    _write(fitted_to_others(), OTHERS_FILE)


def _write(rule: PartsRule, file: Path) -> None:
    text = json.dumps(rule.to_dict(), indent=1)
    file.write_text(text + "\n", encoding="utf-8")
    weights = {name: round(value, 3) for name, value in rule.weights.items()}
    print(f"{rule.runs} runs of {rule.data_sets} data sets; weights {weights}")
    print(f"NO_GO below {rule.no_go(0.05):.3f}, GO from {rule.go:.3f}")


def signals(shards: Path) -> None:
    """Measure the signals that runs lack, one setting after the other."""
    import torch

    from benchmarks.longruns.plan import plan as long_plan
    from benchmarks.longruns.train import untrained_signals as of_long
    from benchmarks.recording.plan import plan as short_plan
    from benchmarks.recording.train import untrained_signals as of_short

    torch.set_num_threads(1)
    settings = {(s.setting_id, s.seed): s for s in short_plan()}
    for run in load_reference():
        setting = settings.get((run.settings["setting_id"], run.settings["seed"]))
        key = short_key(run)
        if run.settings["model"] == "minilm" and setting and key not in known_signals():
            keep_signals({key: of_short(setting)})
    planned = {s.run_id: s for s in long_plan() if s.kind in ("single", "pair")}
    for run_id, runs in store.read_all(shards).items():
        static = {**runs[0].record.static, **known_signals().get(run_id, {})}
        if "simulated_score" not in static and run_id in planned:
            keep_signals({run_id: of_long(planned[run_id])})


def orderings(shards: Path) -> None:
    """Train the probes anew of which it is not known how well their scores order rows."""
    import torch

    from benchmarks.longruns.plan import plan
    from benchmarks.longruns.train import jump_orderings

    torch.set_num_threads(1)
    planned = {setting.run_id: setting for setting in plan()}
    for run in long_runs(DEPTHS[0], shards):
        is_known = ORDERING in run.probe.evals or run.run_id in known_orderings()
        if run.run_id in planned and not is_known:
            keep_orderings({run.run_id: jump_orderings(planned[run.run_id])})


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("signals", "orderings", "cases", "other_cases", "fit"))
    parser.add_argument("--shards", type=Path, default=_NO_SHARDS, help="shards not packed yet")
    options = parser.parse_args(arguments)
    if options.command == "fit":
        fit()
    else:
        commands = {
            "signals": signals,
            "orderings": orderings,
            "cases": cases,
            "other_cases": other_cases,
        }
        commands[options.command](options.shards)


if __name__ == "__main__":
    main()
