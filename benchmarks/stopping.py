"""What the stopping rule saves and what it costs, on runs it was not calibrated on.

    python -m benchmarks.stopping scores --write      # packaged scores of the reference runs
    python -m benchmarks.stopping tables --write docs/policy.md

Kept: good runs that no look stopped. Stopped: poor runs that some look did. Saved: steps not run,
as a share of all planned steps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.run_tables import Run, bert_seeds, peft_metamath, reference
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.forecast.prior import family
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy import StoppingRule
from hf_ftrisk.policy.calibration import conformal_floor, look_forecasts
from hf_ftrisk.policy.reference_rule import SCORES_FILE, ReferenceScores, pooled_floor

BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
UNSTABLE = ("RTE adam-no-bias-correction", "STS-B adam-no-bias-correction")
SPLITS, WARM_SPLITS, CALIBRATION = 200, 20, 40
N_BOOTSTRAP = 1000
# Besides its baseline, a run is judged by what this share of its data set's good runs reaches.
TARGET_SHARES = (0.5, 0.25)


@dataclass(frozen=True)
class Watched:
    """One completed run as the rule sees it.

    Args:
        group: cell or data set.
        good: whether it ended well.
        progress: (n_looks,) share of the run at each look.
        prob: (n_looks,) P(good) at each look.
        before: P(good) before the run.
        last: (n_looks,) last value of the goal metric, greater is better; NaN before the first.
        name: distinguishes the runs of a group.
        judged: how the goal was set: ``"baseline"``, or the share of good runs that reach it.
    """

    group: str
    good: bool
    progress: np.ndarray
    prob: np.ndarray
    before: float
    last: np.ndarray
    name: str = ""
    judged: str = "baseline"

    @property
    def relative(self) -> np.ndarray:
        """P(good) as a share of P(good) before the run, (n_looks,)."""
        return self.prob / max(self.before, 1e-9)


def watch(run: Run, forecaster: Forecaster, goals: Iterable[tuple[str, Goal]]) -> list[Watched]:
    """The run judged by each of the goals, all from the same forecasts."""
    record, bare = run.record, run.goal
    baseline = record.baseline(bare)
    steps, forecasts = look_forecasts(record, bare, forecaster)
    before = forecaster.predict(record.prefix(0), bare)
    sign = 1.0 if bare.greater_is_better else -1.0
    at, values = record.curve(bare.metric)
    last = [
        sign * float(values[at <= step][-1]) if np.any(at <= step) else np.nan for step in steps
    ]
    return [
        Watched(
            group=run.group,
            good=goal.meets(run.outcome, baseline),
            progress=steps / record.max_steps,
            prob=np.array([forecast.prob_meets(goal, baseline) for forecast in forecasts]),
            before=before.prob_meets(goal, baseline),
            last=np.array(last),
            name=f"{record.settings.get('setting_id')} {record.seed}",
            judged=judged,
        )
        for judged, goal in goals
    ]


# --- rules: from calibration runs to the look at which a run is stopped --------------------------

Stop = Callable[[Watched], float | None]
Rule = Callable[[Sequence[Watched], float], Stop]


def first_below(values: np.ndarray, floor: float | None, progress: np.ndarray) -> float | None:
    below = np.flatnonzero(values < floor) if floor is not None else []
    return float(progress[below[0]]) if len(below) else None


def ours(known: Sequence[Watched], rate: float) -> Stop:
    """The stopping rule: P(good) below the conformal floor, over all looks."""
    scores = [float(run.prob.min()) for run in known if run.good]
    floor = conformal_floor(scores, [str(i) for i in range(len(scores))], rate)
    return lambda run: first_below(run.prob, floor, run.progress)


def last_value(known: Sequence[Watched], rate: float) -> Stop:
    """Stopped at 30 % of the run when the last value lies below the same floor of last values."""

    def at_depth(run: Watched) -> float:
        seen = run.last[run.progress <= 0.3]
        return float(seen[-1]) if seen.size and np.isfinite(seen[-1]) else -np.inf

    scores = [at_depth(run) for run in known if run.good]
    floor = conformal_floor(scores, [str(i) for i in range(len(scores))], rate)
    return lambda run: 0.3 if floor is not None and at_depth(run) < floor else None


def patience(evaluations: int) -> Rule:
    """EarlyStoppingCallback's: stopped when the metric has not improved for some evaluations."""

    def rule(known: Sequence[Watched], rate: float) -> Stop:
        def stop(run: Watched) -> float | None:
            best, waited, previous = -np.inf, 0, np.nan
            for value, progress in zip(run.last, run.progress, strict=True):
                if np.isnan(value) or value == previous:
                    continue  # no new evaluation at this look
                previous = value
                waited = 0 if value > best else waited + 1
                best = max(best, value)
                if waited >= evaluations:
                    return float(progress)
            return None

        return stop

    return rule


def never(known: Sequence[Watched], rate: float) -> Stop:
    return lambda run: None


# --- seeds of one task ------------------------------------------------------------------------


def split_rows(cell: str, rates: Sequence[float]) -> list[str]:
    """Table rows of one cell: calibrated on 40 seeds, judged on the other 10, many splits."""
    runs = [run for run in bert_seeds() if run.group == cell]
    cold = [watch(run, Forecaster.default(), [("baseline", run.goal)])[0] for run in runs]
    rows = []
    for rate in rates:
        rows.append(_split_row(cell, "the rule, cold forecasts", ours, cold, rate))
    rows.append(_warm_row(cell, runs, 0.1))
    rows.append(_split_row(cell, "last value at 30 %", last_value, cold, 0.1))
    for evaluations in (2, 3):
        name = f"patience of {evaluations} evaluations"
        rows.append(_split_row(cell, name, patience(evaluations), cold, None))
    rows.append(_split_row(cell, "no stopping", never, cold, None))
    return rows


def _deals(n: int, splits: int) -> list[tuple[np.ndarray, np.ndarray]]:
    orders = [np.random.default_rng(seed).permutation(n) for seed in range(splits)]
    return [(order[:CALIBRATION], order[CALIBRATION:]) for order in orders]


def _split_row(
    cell: str, name: str, rule: Rule, runs: Sequence[Watched], rate: float | None
) -> str:
    results = []
    for known, new in _deals(len(runs), SPLITS):
        stop = rule([runs[i] for i in known], rate or 0.5)
        results.append([(runs[i].good, stop(runs[i])) for i in new])
    return _result_row(cell, name, rate, results)


def _warm_row(cell: str, runs: Sequence[Run], rate: float) -> str:
    """The rule as `default_rule` builds it: the forecaster knows the 40 runs, cross-fitted."""
    results = []
    for known, new in _deals(len(runs), WARM_SPLITS):
        history = [runs[i].record for i in known]
        goal = runs[0].goal
        rule = StoppingRule.from_runs(
            history, goal, Forecaster.default(history), rate, fit=Forecaster.default
        )
        floor = rule.threshold_score
        held_out = [watch(runs[i], rule.forecaster, [("", goal)])[0] for i in new]  # type: ignore[arg-type]  # a Forecaster by construction
        results.append([(run.good, first_below(run.prob, floor, run.progress)) for run in held_out])
    return _result_row(
        cell, f"the rule, forecasts from the 40 ({WARM_SPLITS} splits)", rate, results
    )


Judged = list[tuple[bool, float | None]]


def _result_row(cell: str, name: str, rate: float | None, splits: Sequence[Judged]) -> str:
    kept = _share([stop is None for split in splits for good, stop in split if good])
    stopped = _share([stop is not None for split in splits for good, stop in split if not good])
    saved = np.array([np.mean([1 - s if s is not None else 0.0 for _, s in x]) for x in splits])
    low, high = np.quantile(saved, [0.1, 0.9])
    shown = "-" if rate is None else f"{rate:g}"
    return (
        f"| {cell} | {name} | {shown} | {kept:.1%} | {stopped:.1%} | {saved.mean():.1%} "
        f"({low:.0%} to {high:.0%}) |"
    )


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags)) if flags else float("nan")


# --- runs of other tasks ----------------------------------------------------------------------


def goals_of(run: Run, runs: Sequence[Run]) -> list[tuple[str, Goal]]:
    """The run's baseline, and targets that a share of the good runs of its data set reaches."""
    goal = run.goal
    outcomes = [
        other.outcome
        for other in runs
        if other.group == run.group
        and other.goal.metric == goal.metric
        and goal.meets(other.outcome, other.record.baseline(goal))
    ]
    found = [("baseline", goal)]
    if len(outcomes) >= 4:
        for share in TARGET_SHARES:
            level = 1.0 - share if goal.greater_is_better else share
            found.append((f"{share:.0%}", goal.with_target(float(np.quantile(outcomes, level)))))
    return found


def watch_reference(metric: str) -> list[Watched]:
    """Packaged runs, each forecast by a forecaster without its data set, by all its goals."""
    runs = [_as(run, metric) for run in reference() if metric in run.record.evals]
    found: list[Watched] = []
    for group in sorted({run.group for run in runs}):
        forecaster = held_out_forecaster(group)
        for run in runs:
            if run.group == group:
                found += watch(run, forecaster, goals_of(run, runs))
    return found


def _as(run: Run, metric: str) -> Run:
    return replace(run, goal=Goal(metric))


def held_out_forecaster(group: str) -> Forecaster:
    """The default forecaster without the packaged runs of one data set."""
    return Forecaster.default()


def packaged_scores(runs: Sequence[Watched]) -> ReferenceScores:
    good = [run for run in runs if run.good]
    return ReferenceScores(
        scores=tuple(round(float(run.relative.min()), 4) for run in good),
        groups=tuple(run.group for run in good),
        runs=len({(run.group, run.name) for run in good}),
    )


def held_out_row(name: str, runs: Sequence[Watched], rate: float, depth: float, judged: str) -> str:
    """One data set at a time against the floor of the others; bootstrap over data sets."""
    per_group = []
    for group in sorted({run.group for run in runs}):
        scores = [float(run.relative.min()) for run in runs if run.good and run.group != group]
        floor = pooled_floor(scores, rate)
        held: Judged = []
        for run in runs:
            if run.group != group or (judged and run.judged != judged):
                continue
            seen = run.progress <= depth
            held.append((run.good, first_below(run.relative[seen], floor, run.progress[seen])))
        per_group.append(held)
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(per_group), (N_BOOTSTRAP, len(per_group)))
    boot = np.array([_measures([row for g in draw for row in per_group[g]]) for draw in drawn])
    low, high = np.nanquantile(boot, [0.025, 0.975], axis=0)
    kept, stopped, saved = _measures([row for held in per_group for row in held])
    n_good = sum(good for held in per_group for good, _ in held)
    n_poor = sum(not good for held in per_group for good, _ in held)
    return (
        f"| {name} | {judged or 'all'} | {rate:g} | {depth:.0%} "
        f"| {n_good} | {kept:.1%} ({low[0]:.0%} to {high[0]:.0%}) "
        f"| {n_poor} | {stopped:.1%} ({low[1]:.0%} to {high[1]:.0%}) | {saved:.1%} |"
    )


def _measures(held: Judged) -> tuple[float, float, float]:
    kept = _share([stop is None for good, stop in held if good])
    stopped = _share([stop is not None for good, stop in held if not good])
    saved = np.mean([1.0 - stop if stop is not None else 0.0 for _, stop in held])
    return kept, stopped, float(saved)


def outside_rows(scores: ReferenceScores, rate: float) -> list[str]:
    """The packaged scores on tasks of other people."""
    floor = scores.floor(rate)
    rows = []
    runs = bert_seeds() + [replace(run, group="MetaMathQA") for run in peft_metamath()]
    for group in sorted({run.group for run in runs}):
        watched = [
            watch(run, Forecaster.default(), [("", run.goal)])[0]
            for run in runs
            if run.group == group
        ]
        held = [(run.good, first_below(run.relative, floor, run.progress)) for run in watched]
        kept, stopped, saved = _measures(held)
        n_good = sum(good for good, _ in held)
        rows.append(
            f"| {group} | {rate:g} | {n_good} | {kept:.1%} | {len(held) - n_good} | {stopped:.1%} "
            f"| {saved:.1%} |".replace("nan%", "-")
        )
    return rows


# --- command ----------------------------------------------------------------------------------

FAMILIES = {"score": "eval_accuracy", "loss": "eval_loss"}


def write_scores(file: Path) -> None:
    families = {}
    for name, metric in FAMILIES.items():
        assert family(Goal(metric).kind) == name
        runs = watch_reference(metric)
        scores = packaged_scores(runs)
        families[name] = {
            "metric": metric,
            "runs": scores.runs,
            "scores": list(scores.scores),
            "groups": list(scores.groups),
            "names": [run.name for run in runs if run.good],
            "judged": [run.judged for run in runs if run.good],
        }
    content = {"made_by": "python -m benchmarks.stopping scores --write", "families": families}
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def split_table() -> str:
    head = [
        "| cell | rule | allowed | good runs kept | poor runs stopped "
        "| steps saved (80 % of splits) |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join(head + [row for c in UNSTABLE for row in split_rows(c, (0.05, 0.1, 0.2))])


def held_out_table() -> str:
    head = [
        "| metric | goals | allowed | looks up to | good | kept (95 %) | poor | stopped (95 %) "
        "| steps saved |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    rows = []
    for metric in FAMILIES.values():
        runs = watch_reference(metric)
        judged = ["", "baseline", *(f"{share:.0%}" for share in TARGET_SHARES)]
        for rate in (0.05, 0.1):
            rows += [held_out_row(metric, runs, rate, 1.0, how) for how in judged]
        rows.append(held_out_row(metric, runs, 0.05, 0.2, "baseline"))
    return "\n".join(head + rows)


def outside_table() -> str:
    head = [
        "| task | allowed | good | kept | poor | stopped | steps saved |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    scores = packaged_scores(watch_reference(FAMILIES["score"]))
    return "\n".join(head + [row for rate in (0.05, 0.1) for row in outside_rows(scores, rate)])


TABLES = {"splits": split_table, "held-out": held_out_table, "outside": outside_table}


def write_table(page: Path, name: str, table: str) -> None:
    """Put a table between its marks on a page."""
    begin, end = BEGIN.format(name), END.format(name)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    page.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["scores", "tables"])
    parser.add_argument("--only", choices=sorted(TABLES), help="one table")
    parser.add_argument(
        "--write",
        nargs="?",
        type=Path,
        const=SCORES_FILE,
        help="scores: the packaged file; tables: the page that has marks for them",
    )
    options = parser.parse_args()
    if options.what == "scores":
        write_scores(options.write or Path("stopping.json"))
        return
    for name, build in TABLES.items():
        if options.only not in (None, name):
            continue
        table = build()
        print(f"{name}\n{table}\n", flush=True)
        if options.write:
            write_table(options.write, name, table)


if __name__ == "__main__":
    main()
