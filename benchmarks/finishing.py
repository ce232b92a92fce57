"""Ending runs that have nothing more to gain: the rule of `policy.finish` against others.

    python -m benchmarks.finishing --cache DIR --write docs/evidence/finishing.md
    python -m benchmarks.finishing --cache DIR --fit    # reference/gain.json

Sources are held out whole, in six folds: a case is judged by a classifier and by a threshold that
its fold had no part in (`benchmarks.finish.nested`). Data: `benchmarks.run_tables.data_folder`.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.finish.cases import Case, cases
from benchmarks.finish.folds import folds_of
from benchmarks.finish.growing import grow, weights
from benchmarks.finish.looks import COLUMNS, Looks
from benchmarks.finish.nested import CALIBRATES, Held, Trial, chances_without, held_out, trials
from benchmarks.finish.rules import (
    MORE,
    Ended,
    Row,
    Stop,
    ended_below,
    ended_by,
    patience,
    patient_pruner,
)
from benchmarks.watched import write_table
from hf_ftrisk.forecast.gain.model import MODEL_FILE

RATE = 0.05
RATES = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GROUPS = {
    "bert_seeds loss": "BERT-large, RTE and STS-B, eval_loss",
    "public loss": "public runs, eval_loss",
    "public score": "public runs, scores",
    "public": "public runs, all",
    "bert_seeds score": "BERT-large, RTE and STS-B, scores",
    "plm loss": "protein models, eval_loss",
    "plm score": "protein models, scores",
}
BASELINES: dict[str, Stop] = {
    **{f"patience {k}": patience(k) for k in (1, 3, 5, 10)},
    **{f"EarlyStopping {k}, threshold": patience(k, 1.0) for k in (1, 3, 5, 10)},
    **{f"Optuna's patient pruner {k}": patient_pruner(k) for k in (1, 3, 5, 10)},
}


def loaded(cache: Path | None) -> tuple[list[Case], Looks]:
    """All cases and their rows, from the cache where they are there."""
    file = None if cache is None else cache / "looks.pickle"
    if file is not None and file.exists():
        kept: tuple[list[Case], Looks] = pickle.loads(file.read_bytes())
        return kept
    found = cases()
    made = found, Looks.of(found)
    if file is not None:
        file.write_bytes(pickle.dumps(made))
    return made


def group_of(case: Case, group: str) -> bool:
    """Whether a case belongs to a group of the tables."""
    table, _, family = group.partition(" ")
    return case.table == table and case.family != "train_loss" and family in ("", case.family)


def finishing_table(every: Sequence[Case], rules: Mapping[str, Sequence[Ended]]) -> str:
    """Rules in rows under each group of runs, worst group of ours first."""
    lines = [
        "| runs | rule | lose more than the tolerance | steps saved | given up, tolerances |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    ours = next(iter(rules))
    picked = {g: [i for i, c in enumerate(every) if group_of(c, g)] for g in GROUPS}
    picked = {g: found for g, found in picked.items() if found}
    worst = sorted(picked, key=lambda g: -Row.of([rules[ours][i] for i in picked[g]]).lost)
    for group in worst:
        for name, ended in rules.items():
            row = Row.of([ended[i] for i in picked[group]])
            runs = f"{GROUPS[group]} ({row.runs})"
            lines.append(f"| {runs} | {name} | {row.cells()} |")
    return "\n".join(lines)


def curve_table(
    every: Sequence[Case],
    at_rates: Mapping[float, Sequence[Ended]],
    baselines: Mapping[str, Sequence[Ended]],
) -> str:
    """Each baseline beside what ours saves where it loses no more runs than that one."""
    lines = [
        "| runs | baseline | loses | saves | ours, loses | ours, saves |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for group, name in GROUPS.items():
        own = [i for i, case in enumerate(every) if group_of(case, group)]
        if not own:
            continue
        ours = [Row.of([ended[i] for i in own]) for ended in at_rates.values()]
        for rule, ended in baselines.items():
            row = Row.of([ended[i] for i in own])
            fair = [one for one in ours if one.lost <= row.lost]
            best = max(fair, key=lambda one: one.saved, default=Row(row.runs, 0.0, 0.0, 0.0))
            lines.append(
                f"| {name} | {rule} | {row.lost:.1%} | {row.saved:.1%} | {best.lost:.1%} "
                f"| {best.saved:.1%} |"
            )
    return "\n".join(lines)


def in_hindsight(tried: Sequence[Trial]) -> list[Ended]:
    """The oracle: the first look after which no more than the tolerance is gained."""
    return [ended_below(one.gains, one.at, one.gains, np.full(one.at.size, MORE)) for one in tried]


def best_of_forecast(tried: Sequence[Trial], fold: np.ndarray) -> list[Ended]:
    """Ending where a gain above the tolerance is less likely than not."""
    return [
        ended_below(one.chances[(int(k),)], one.at, one.gains, np.full(one.at.size, 0.5))
        if one.at.size
        else Ended()
        for one, k in zip(tried, fold, strict=True)
    ]


def measured(every: Sequence[Case], fold: np.ndarray, tried: Sequence[Trial]) -> dict[str, str]:
    """All tables, name -> Markdown."""
    baselines = {name: [ended_by(case, stop) for case in every] for name, stop in BASELINES.items()}
    baselines["best of the forecast"] = best_of_forecast(tried, fold)
    at_rates = {rate: held_out(every, fold, tried, rate, most=1.0) for rate in RATES}
    rules = {
        "finish='gain'": held_out(every, fold, tried, RATE),
        **baselines,
        "oracle": in_hindsight(tried),
    }
    return {
        "finishing": finishing_table(every, rules),
        "curve": curve_table(every, at_rates, baselines),
    }


def packaged(
    every: Sequence[Case], looks: Looks, fold: np.ndarray, tried: Sequence[Trial]
) -> dict[str, object]:
    """What the package holds: trees fitted to all, scores of runs by trees that knew them not."""
    trees = grow(looks, weights(every, looks), np.ones(looks.case.size, dtype=bool))
    scores: dict[str, dict[str, list[object]]] = {}
    for case, one, k in zip(every, tried, fold.tolist(), strict=True):
        if case.table not in CALIBRATES or not one.at.size:
            continue
        own = scores.setdefault(case.family, {"scores": [], "groups": []})
        score = one.score((k,))
        own["scores"].append(None if np.isinf(score) else float(f"{score:.5g}"))
        own["groups"].append(case.source)
    names = sorted({str(group) for own in scores.values() for group in own["groups"]})
    for own in scores.values():  # sources are told apart, not named
        own["groups"] = [f"s{names.index(str(group))}" for group in own["groups"]]
    return {"model": {"columns": list(COLUMNS), "trees": trees.to_dict()}, "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, help="folder for what was fitted")
    parser.add_argument("--fit", action="store_true", help="write reference/gain.json")
    parser.add_argument("--write", type=Path, help="page whose tables are replaced")
    given = parser.parse_args()
    if given.cache is not None:
        given.cache.mkdir(parents=True, exist_ok=True)
    every, looks = loaded(given.cache)
    fold = folds_of(every)
    chances: dict[Held, np.ndarray] = chances_without(every, looks, fold, given.cache)
    tried = trials(looks, len(every), chances)
    if given.fit:
        MODEL_FILE.write_text(json.dumps(packaged(every, looks, fold, tried)) + "\n")
    for name, table in measured(every, fold, tried).items():
        print(f"\n{name}\n\n{table}")
        if given.write is not None:
            write_table(given.write, name, table)


if __name__ == "__main__":
    main()
