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
from benchmarks.finish.folds import FOLDS, folds_of
from benchmarks.finish.growing import grow, weights
from benchmarks.finish.looks import COLUMNS, Looks
from benchmarks.finish.nested import (
    CALIBRATES,
    PACKAGED,
    SETTINGS,
    Bench,
    Held,
    Setting,
    Trial,
    chances_without,
    trials,
)
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
from hf_ftrisk.text import percent

RATE = 0.05
RATES = (*np.arange(0.01, 0.1, 0.01), *np.arange(0.1, 0.99, 0.02))
GROUPS = {
    "bert_seeds loss": "BERT-large, RTE and STS-B, eval_loss",
    "public loss": "public runs, eval_loss",
    "public score": "public runs, scores",
    "public": "public runs, all",
    "bert_seeds score": "BERT-large, RTE and STS-B, scores",
    "plm loss": "protein models, eval_loss",
    "plm score": "protein models, scores",
    "recordings loss": "own long recordings, eval_loss",
    "recordings score": "own long recordings, scores",
    "reference loss": "own short runs, eval_loss",
    "reference score": "own short runs, scores",
}
# Groups that were asked for by name, for the table of what was chosen.
CHOSEN_BY = ("plm score", "plm loss", "public", "bert_seeds score", "recordings score")
BASELINES: dict[str, Stop] = {
    **{f"patience {k}": patience(k) for k in (1, 3, 5, 10)},
    **{f"EarlyStopping {k}, threshold": patience(k, 1.0) for k in (1, 3, 5, 10)},
    **{f"Optuna's patient pruner {k}": patient_pruner(k) for k in (1, 3, 5, 10)},
}


def loaded(cache: Path | None) -> tuple[list[Case], Looks]:
    """All cases and their rows, from the cache where they are there."""
    file = None if cache is None else cache / "looks.pickle"
    if file is not None and file.exists():
        cached: tuple[list[Case], Looks] = pickle.loads(file.read_bytes())
        return cached
    every = cases()
    pair = every, Looks.of(every)
    if file is not None:
        file.write_bytes(pickle.dumps(pair))
    return pair


def finishing_table(every: Sequence[Case], rules: Mapping[str, Sequence[Ended]]) -> str:
    """Rules in rows under each group of runs, worst group of ours first."""
    lines = [
        "| runs | rule | lose more than the tolerance | steps saved | given up, tolerances |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    ours = next(iter(rules))
    picked = {g: [i for i, c in enumerate(every) if c.is_of(g)] for g in GROUPS}
    picked = {g: members for g, members in picked.items() if members}
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
        own = [i for i, case in enumerate(every) if case.is_of(group)]
        if not own:
            continue
        ours = [Row.of([ended[i] for i in own]) for ended in at_rates.values()]
        for rule, ended in baselines.items():
            row = Row.of([ended[i] for i in own])
            fair = [one for one in ours if one.lost <= row.lost]
            best = max(fair, key=lambda one: one.saved, default=Row(row.runs, 0.0, 0.0, 0.0))
            lines.append(
                f"| {name} | {rule} | {percent(row.lost, '.1f')} "
                f"| {percent(row.saved, '.1f')} | {percent(best.lost, '.1f')} "
                f"| {percent(best.saved, '.1f')} |"
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


def choices_table(bench: Bench, chosen: Sequence[Setting]) -> str:
    """Every setting on every group, and how many folds chose it; what is packaged in bold."""
    lines = [
        "| powers of progress and looks, margin, scores and losses | folds that chose it | "
        + " | ".join(GROUPS[group] for group in CHOSEN_BY)
        + " |",
        "| --- | ---: |" + " ---: |" * len(CHOSEN_BY),
    ]
    for setting in SETTINGS:
        ended = bench.held_out(RATE, [setting] * FOLDS)
        together = "together" if setting.together else "apart"
        easing = setting.easing
        name = f"{easing.progress:g}, {easing.looks:g}, {setting.margin:g}, {together}"
        name = f"**{name}**" if setting == PACKAGED else name
        rows = [
            Row.of([ended[i] for i, case in enumerate(bench.cases) if case.is_of(group)])
            for group in CHOSEN_BY
        ]
        cells = " | ".join(
            f"{percent(row.lost, '.1f')}, {percent(row.saved, '.1f')}" for row in rows
        )
        lines.append(f"| {name} | {chosen.count(setting)} | {cells} |")
    return "\n".join(lines)


def measured(bench: Bench) -> dict[str, str]:
    """All tables, name -> Markdown."""
    every = bench.cases
    baselines = {name: [ended_by(case, stop) for case in every] for name, stop in BASELINES.items()}
    baselines["best of the forecast"] = best_of_forecast(bench.tried, bench.fold)
    chosen = [bench.chosen(k, RATE) for k in range(FOLDS)]
    print(f"chosen on all folds: {bench.chosen(None, RATE)}; packaged: {PACKAGED}")
    at_rates = {rate: bench.held_out(rate, chosen, most=1.0) for rate in RATES}
    rules = {
        "finish='gain'": bench.held_out(RATE, chosen),
        **baselines,
        "oracle": in_hindsight(bench.tried),
    }
    return {
        "finishing": finishing_table(every, rules),
        "curve": curve_table(every, at_rates, baselines),
        "choices": choices_table(bench, chosen),
    }


def packaged(looks: Looks, bench: Bench) -> dict[str, object]:
    """What the package holds: trees fitted to all, scores of runs by trees that knew them not."""
    trees = grow(looks, weights(bench.cases, looks), np.ones(looks.case.size, dtype=bool))
    scores: dict[str, dict[str, list[object]]] = {}
    for case, one, k in zip(bench.cases, bench.tried, bench.fold.tolist(), strict=True):
        if case.table not in CALIBRATES or case.extra or not one.at.size:
            continue
        kind = case.family if case.family == "train_loss" else "evaluation"
        own = scores.setdefault(kind, {"scores": [], "groups": []})
        score = one.score((k,), PACKAGED.easing)
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
    options = parser.parse_args()
    if options.cache is not None:
        options.cache.mkdir(parents=True, exist_ok=True)
    every, looks = loaded(options.cache)
    fold = folds_of(every)
    chances: dict[Held, np.ndarray] = chances_without(every, looks, fold, options.cache)
    bench = Bench(every, fold, trials(every, looks, chances))
    if options.fit:
        MODEL_FILE.write_text(json.dumps(packaged(looks, bench)) + "\n")
    for name, table in measured(bench).items():
        print(f"\n{name}\n\n{table}")
        if options.write is not None:
            write_table(options.write, name, table)


if __name__ == "__main__":
    main()
