"""What each part of a pre-flight's rule is worth, and how far the penalty on its weights matters.

    python -m benchmarks.preflight_choices --write docs/evidence/preflight.md

On the kept cases (`benchmarks.decisions.cases`) of classes and of other tasks, data sets left out
in turn; no other data is needed.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.decisions.cases import OTHER_CASES_FILE, Case, read_cases
from benchmarks.decisions.fitting import LONG, OTHERS_PRIOR, PRIOR, STRENGTH, held_out_probs
from benchmarks.watched import write_table
from hf_ftrisk.policy.parts.parts import part_names
from hf_ftrisk.text import percent

# Share of the good runs that a NO_GO is allowed to meet.
_RATE = 0.05


def without(cases: Sequence[Case], part: str) -> list[Case]:
    """The cases as if a part had never been measured."""
    return [replace(case, parts=replace(case.parts, **{part: None})) for case in cases]


def row(
    name: str,
    cases: Sequence[Case],
    strength: float = STRENGTH,
    prior: Mapping[str, float] = PRIOR,
) -> tuple[float, str]:
    """Log loss of a rule on the long runs, and its line of the table."""
    long = np.array([case.steps >= LONG for case in cases])
    probs = held_out_probs(cases, strength, prior)[long]
    long_cases = [case for case in cases if case.steps >= LONG]
    good = np.array([case.good for case in long_cases])
    runs = np.array([case.run_id for case in long_cases])
    counts = Counter(runs.tolist())
    weights = np.array([1.0 / counts[run] for run in runs.tolist()])
    lowest = [probs[(runs == run) & good].min() for run in np.unique(runs[good])]
    refused = float(np.mean(probs < np.quantile(lowest, _RATE)))
    loss = float(log_loss(good, probs, sample_weight=weights))
    return loss, f"| {name} | {roc_auc_score(good, probs):.3f} | {loss:.3f} | {percent(refused)} |"


def choices_table(cases: Sequence[Case], prior: Mapping[str, float] = PRIOR) -> str:
    """The rule without each part and with other penalties, the worst first, then as it is.

    Args:
        cases: what it is fitted on.
        prior: weights that its penalty draws toward; where they are others than those of
            classifiers of rows, these are tried as well.
    """
    measured = [
        part for part in part_names() if any(getattr(c.parts, part) is not None for c in cases)
    ]
    others = [row(f"without {part}", without(cases, part), prior=prior) for part in measured]
    others += [
        row(f"{factor:g} times the penalty", cases, factor * STRENGTH, prior)
        for factor in (0.1, 0.3, 3.0, 10.0)
    ]
    if prior != PRIOR:
        others.append(row("`heat` and `stability` as of classes", cases, prior=PRIOR))
    lines = [line for _, line in sorted(others, reverse=True)]
    head = ["| rule | AUC | log loss | told |", "| --- | ---: | ---: | ---: |"]
    return "\n".join([*head, *lines, row("as it is", cases, prior=prior)[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    tables = {
        "choices": choices_table(read_cases()),
        "other choices": choices_table(read_cases(OTHER_CASES_FILE), OTHERS_PRIOR),
    }
    for name, table in tables.items():
        print(f"{table}\n")
        if options.write:
            write_table(options.write, name, table)


if __name__ == "__main__":
    main()
