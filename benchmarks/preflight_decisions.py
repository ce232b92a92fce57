"""Verdicts of a pre-flight on recorded long runs, every data set judged by the others.

    python -m benchmarks.preflight_decisions --shards recordings --write docs/evidence/preflight.md

What a pre-flight saw of each run (static signals, and a probe from the peak of the schedule on) is
judged by a rule whose weights and thresholds were fitted without the run's data set, and the
verdict is held against how the full run ended. Beside it, what a person has without it.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from benchmarks.decisions.examples import Example, examples_of
from benchmarks.decisions.fitting import calibrated, weights_of
from benchmarks.decisions.sources import NAMES, knowing_none, long_runs, short_runs
from benchmarks.longruns import store
from benchmarks.watched import write_table
from hf_ftrisk.policy.parts.parts import part_names, uses_inputs
from hf_ftrisk.policy.parts.rule import PartsRule
from hf_ftrisk.reference import table
from hf_ftrisk.text import percent
from hf_ftrisk.verdict import Verdict

BUDGETS = (0.02, 0.05, 0.1)
# Depths that rules are fitted at: shallower probes are judged by the same rule.
FITTED_AT = (0.02, 0.05, 0.1)
# Below every part and signal: trees tell it from them.
_ABSENT = -100.0
_NO_SHARDS = Path("benchmarks/recordings/none")


@dataclass(frozen=True)
class Judged:
    """An example with the verdict of the rule that never saw its data set.

    Args:
        example: the example.
        prob: the rule's P(good).
        verdict: the rule's verdict at 5 %.
        boosted: P(good) of gradient boosting, NaN where it was not asked.
    """

    example: Example
    prob: float
    verdict: Verdict
    boosted: float = math.nan


def seen(shards: Path) -> tuple[dict[float, list[Example]], list[Example]]:
    """Budget -> every example of a long run at that depth; and what rules are fitted on."""
    at = {depth: examples_of(list(long_runs(depth, shards)), knowing_none) for depth in BUDGETS}
    short = examples_of(list(short_runs()), knowing_none)
    return at, [*short, *(example for depth in FITTED_AT for example in at[depth])]


def judged(
    at: Mapping[float, Sequence[Example]],
    fitted: Sequence[Example],
    alone: Collection[str] = (),
) -> dict[float, list[Judged]]:
    """Budget -> examples, judged by rules that know no run of their data set.

    Args:
        at: budget -> examples of long runs.
        fitted: what rules are fitted on.
        alone: runs that no rule may know, and that alone are judged; empty: all are judged.
    """
    known = [example for example in fitted if example.run_id not in alone]
    by_budget: dict[float, list[Judged]] = {depth: [] for depth in BUDGETS}
    for dataset in sorted({example.dataset for example in at[BUDGETS[0]]}):
        others = [example for example in known if example.dataset != dataset]
        rule, trees = calibrated(others), _boosted(others)
        for depth in BUDGETS:
            by_budget[depth] += [
                replace(judged_by(rule, example), boosted=trees(example))
                for example in at[depth]
                if example.dataset == dataset and (not alone or example.run_id in alone)
            ]
    return by_budget


def judged_by(rule: PartsRule, example: Example) -> Judged:
    """The rule's verdict at an allowed 5 % of good runs."""
    prob = rule.prob_good(example.parts)
    verdict = Verdict.UNDECIDED
    if prob < rule.no_go(0.05):
        verdict = Verdict.NO_GO
    elif prob >= rule.go and uses_inputs(example.record.static):
        verdict = Verdict.GO
    return Judged(example, prob, verdict)


def recorded_last() -> frozenset[str]:
    """Runs of the packed file that was written last: no choice before it saw one of them."""
    return frozenset(run.run_id for run in table.read_runs(store.packed_files()[-1]))


def _boosted(examples: Sequence[Example]) -> Callable[[Example], float]:
    """Gradient boosting on all parts and signals, as TuneAhead does it."""
    trees = HistGradientBoostingClassifier(max_iter=100, max_depth=3, learning_rate=0.1)
    y = [example.good for example in examples]
    trees.fit(np.array([_everything(e) for e in examples]), y, sample_weight=weights_of(examples))
    return lambda example: float(trees.predict_proba(np.array([_everything(example)]))[0, 1])


def _everything(example: Example) -> list[float]:
    parts = [getattr(example.parts, name) for name in part_names()]
    signals = [example.record.static.get(name) for name in NAMES]
    return [_ABSENT if value is None else float(value) for value in (*parts, *signals)]


# --- tables --------------------------------------------------------------------------------------


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({percent(part / whole)})" if whole else "-"


def summary(by_budget: dict[float, list[Judged]]) -> list[str]:
    """Lines of the table over budgets."""
    lines = [
        "| budget | runs x goals | decided | settings alike | wrong NO_GO, of good "
        "| wrong GO, of GOs | AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    for budget, rows in by_budget.items():
        good = [row for row in rows if row.example.good]
        go = [row for row in rows if row.verdict is Verdict.GO]
        decided = [row for row in rows if row.verdict is not Verdict.UNDECIDED]
        no_go = [row for row in good if row.verdict is Verdict.NO_GO]
        poor = [row for row in go if not row.example.good]
        lines.append(
            f"| {percent(budget)} | {len(rows)} | {_share(len(decided), len(rows))} | "
            f"{percent(_by_setting(rows))} | {_share(len(no_go), len(good))} | "
            f"{_share(len(poor), len(go))} | "
            f"{_auc(rows, lambda row: row.prob):.3f} |"
        )
    return lines


def _by_setting(rows: Sequence[Judged]) -> float:
    """Share decided where settings weigh alike, however many seeds and goals they have."""
    shares: dict[str, list[bool]] = {}
    for row in rows:
        decided = row.verdict is not Verdict.UNDECIDED
        shares.setdefault(row.example.setting, []).append(decided)
    return float(np.mean([np.mean(of_setting) for of_setting in shares.values()]))


def fault_of(row: Judged) -> str:
    """What was wrong with the run, or with what was asked of it."""
    out = row.example.target == "out of reach"
    return "target out of reach" if out else row.example.recipe


def by_kind(
    rows: Sequence[Judged], kind_of: Callable[[Judged], str] = fault_of, head: str = "kind"
) -> list[str]:
    """Lines of the table over what was wrong with a run, the least decided first.

    Args:
        rows: the examples.
        kind_of: name of an example's line, where not by what was wrong.
        head: of the names.
    """
    kinds: dict[str, list[Judged]] = {}
    for row in rows:
        kinds.setdefault(kind_of(row), []).append(row)
    lines = [
        f"| {head} | runs x goals | good | NO_GO | undecided | GO | wrong |",
        "|---|---|---|---|---|---|---|",
    ]

    def decided(name: str) -> float:
        return float(np.mean([row.verdict is not Verdict.UNDECIDED for row in kinds[name]]))

    for name in sorted(kinds, key=decided):
        part = kinds[name]
        counts = {v: sum(row.verdict is v for row in part) for v in Verdict}
        wrong = sum(
            row.verdict is (Verdict.NO_GO if row.example.good else Verdict.GO) for row in part
        )
        lines.append(
            f"| {name} | {len(part)} | {sum(row.example.good for row in part)} | "
            f"{counts[Verdict.NO_GO]} | {counts[Verdict.UNDECIDED]} | {counts[Verdict.GO]} | "
            f"{wrong} |"
        )
    return lines


def beside(rows: Sequence[Judged]) -> list[str]:
    """Lines of the table of what else tells good from poor, by AUC."""

    def part(name: str) -> Callable[[Judged], float]:
        return lambda row: float(getattr(row.example.parts, name) or 0.0)

    others: dict[str, Callable[[Judged], float]] = {
        "the rule": lambda row: row.prob,
        "gradient boosting on all parts and signals": lambda row: row.boosted,
        "last value of the probe against the target (by eye)": part("progress"),
        "fall of the loss at the peak rate (learning-rate finder)": part("learning"),
        "LogME": lambda row: row.example.record.static.get("log_me", 0.0),
        "the linear probe's reach alone": part("reach"),
        "movement alone": part("movement"),
        "the forecast of the probe alone": part("forecast"),
    }
    lines = ["| told by | AUC |", "|---|---|"]
    scored = {name: _auc(rows, score) for name, score in others.items()}
    return lines + [
        f"| {name} | {scored[name]:.3f} |" for name in sorted(scored, key=scored.__getitem__)
    ]


def _auc(rows: Sequence[Judged], score: Callable[[Judged], float]) -> float:
    return float(roc_auc_score([row.example.good for row in rows], [score(row) for row in rows]))


def page(by_budget: dict[float, list[Judged]], last: dict[float, list[Judged]]) -> str:
    """The tables as Markdown.

    Args:
        by_budget: all runs.
        last: those recorded last, judged by rules that know none of them.
    """
    rows = by_budget[0.05]
    n_last = len({row.example.run_id for row in last[0.05]})
    n_settings = len({row.example.setting for row in last[0.05]})
    runs = len({row.example.run_id for row in rows})
    sets = len({row.example.dataset for row in rows})
    return "\n".join(
        [
            f"{runs} full runs of 500 to 1,500 steps on {sets} data sets, each judged by up to "
            "five goals (better than trivial; 60, 80 and 92 % of the best skill that was reached "
            "on the data set; out of reach), by a rule fitted without its data set.",
            "",
            "At 5 %, by what was wrong with the run:",
            "",
            *by_kind(rows),
            "",
            *summary(by_budget),
            "",
            f"The {n_last} runs that were recorded last ({n_settings} settings) alone, by a rule "
            "that was fitted without any of them:",
            "",
            *summary(last),
            "",
            "What tells good from poor at 5 %:",
            "",
            *beside(rows),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=Path, default=_NO_SHARDS, help="shards not packed yet")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args(arguments)
    at, fitted = seen(options.shards)
    text = page(judged(at, fitted), judged(at, fitted, recorded_last()))
    print(text)
    if options.write:
        write_table(options.write, "decisions", f"{text}\n")


if __name__ == "__main__":
    main()
