"""How often each diagnosis is raised on runs that ended well, on runs that did not, and on others'.

    python -m benchmarks.diagnoses --write docs/evidence/policy.md

Only diagnoses from the trajectory are measured: the tables hold no data and no model. Good runs of
the packaged reference with clean labels count as false alarms of "noisy labels"; warnings are
counted, hints are in brackets.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.run_tables import Run, bert_seeds, curves, curves_accuracy, reference
from benchmarks.watched import write_table
from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.text import percent

DEPTHS = (0.2, 0.5, 1.0)
TRAJECTORY = (
    "diverging",
    "not_learning",
    "collapsed",
    "overfitting",
    "noisy_labels",
    "too_few_steps",
)


def is_good(run: Run) -> bool:
    return run.goal.meets(run.outcome, run.record.baseline(run.goal))


def populations() -> dict[str, list[Run]]:
    packaged = reference()
    seeds = bert_seeds()
    return {
        "packaged, good": [run for run in packaged if is_good(run)],
        "packaged, poor": [run for run in packaged if not is_good(run)],
        "BERT-large, good": [run for run in seeds if is_good(run)],
        "BERT-large, poor": [run for run in seeds if not is_good(run)],
        "public, eval_loss": curves(),
        "public, a rate": curves_accuracy(),
    }


def raised(runs: Sequence[Run], depth: float) -> tuple[Counter[str], Counter[str]]:
    """Runs with a warning, and with a hint, by name."""
    warned: Counter[str] = Counter()
    hinted: Counter[str] = Counter()
    forecaster = Forecaster.default()
    for run in runs:
        prefix = run.record.prefix(depth * run.record.max_steps)
        for diagnosis in diagnose(prefix, run.goal, forecaster=forecaster):
            (hinted if diagnosis.severity == "info" else warned)[diagnosis.name] += 1
    return warned, hinted


def alarm_table() -> str:
    lines = [
        f"| runs | number | depth | {' | '.join(name.replace('_', ' ') for name in TRAJECTORY)} |",
        f"| --- | ---: | ---: | {' | '.join('---:' for _ in TRAJECTORY)} |",
    ]
    for name, runs in populations().items():
        for depth in DEPTHS:
            warned, hinted = raised(runs, depth)
            cells = [_cell(warned[which], hinted[which], len(runs)) for which in TRAJECTORY]
            lines.append(f"| {name} | {len(runs)} | {percent(depth)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(warned: int, hinted: int, total: int) -> str:
    hint = f" ({percent(hinted / total)})" if hinted else ""
    return f"{percent(warned / total)}{hint}"


def noise_table() -> str:
    """Noisy labels found, by the share of training labels that were redrawn."""
    lines = [
        "| labels redrawn | good runs | told at the end | poor runs | told at the end |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    runs = reference()
    for noise in sorted({float(run.record.settings["label_noise"]) for run in runs}):
        cells = []
        for good in (True, False):
            chosen = [
                run
                for run in runs
                if run.record.settings["label_noise"] == noise and is_good(run) == good
            ]
            count = sum(
                any(d.name == "noisy_labels" for d in diagnose(run.record, run.goal))
                for run in chosen
            )
            cells += [str(len(chosen)), percent(count / len(chosen)) if chosen else "-"]
        lines.append(f"| {percent(noise)} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"alarms": alarm_table, "noise": noise_table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the page that has marks for the tables")
    options = parser.parse_args()
    for name, build in TABLES.items():
        table = build()
        print(f"{name}\n{table}\n", flush=True)
        if options.write:
            write_table(options.write, name, table)


if __name__ == "__main__":
    main()
