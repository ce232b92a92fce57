"""The gallery: each figure function of the package on packaged runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_ftrisk.choosing.entries import Entry, Ranked
from hf_ftrisk.choosing.figure import write_ranking
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy import decision_parts
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference import load_pairs, load_reference
from hf_ftrisk.report import Cost, Look, RiskReport
from hf_ftrisk.report.plots import (
    plot_calibration,
    plot_parts,
    plot_regimes,
    plot_risk_curve,
    plot_trajectory,
    write_figure,
)
from hf_ftrisk.risk import RiskDecomposition, fit_risk_curve, replay_risk
from hf_ftrisk.verdict import Verdict

GOAL = Goal("eval_accuracy")
SHARES = (0.1, 0.2, 0.35, 0.5, 0.7)
SEEDS = 8  # runs of one setting that a replay needs
REPORT = Path("docs/assets/held-out-run.json")
PARTS_OF = "rate tiny"


def drawn(draw: Callable[[Axes], object], size: tuple[float, float]) -> Callable[[Path], Path]:
    """What writes a figure of one axes."""

    def write(path: Path) -> Path:
        figure = Figure(figsize=size, dpi=150, layout="constrained")
        draw(figure.subplots())
        return write_figure(figure, path)

    return write


@cache
def settings() -> dict[str, list[RunRecord]]:
    """Packaged settings with several seeds and an accuracy, by name."""
    by_setting: dict[str, list[RunRecord]] = {}
    for record in load_reference():
        if "eval_accuracy" in record.evals:
            by_setting.setdefault(str(record.settings["setting_id"]), []).append(record)
    return {key: runs for key, runs in by_setting.items() if len(runs) >= SEEDS}


@cache
def decompositions() -> dict[str, RiskDecomposition]:
    """The risk of each setting, from forecasts of its runs without the others."""
    fitted = {}
    for runs in settings().values():
        full = runs[0].max_steps
        depths = [share * full for share in SHARES]
        replayed = replay_risk(runs, Forecaster.default(), depths, GOAL)
        name = str(runs[0].task).replace("/minilm", "")
        rates = runs[0].schedule
        fitted[name] = fit_risk_curve(
            replayed.depths,
            replayed.risks,
            counts=replayed.counts,
            same_runs=True,
            learning_rates=None if rates is None else np.asarray(rates, dtype=float),
            horizon=None if rates is not None else full,
            tolerance=0.03,
        )
    return fitted


def risk_curve(axes: Axes) -> None:
    name, decomposition = max(decompositions().items(), key=lambda item: _clear(item[1]))
    runs = next(r for r in settings().values() if str(r[0].task).replace("/minilm", "") == name)
    full = runs[0].max_steps
    replayed = replay_risk(runs, Forecaster.default(), [s * full for s in SHARES], GOAL)
    points = zip(replayed.depths, replayed.risks, replayed.counts, strict=True)
    report = RiskReport(
        goal=GOAL,
        verdict=Verdict.UNDECIDED,
        reasons=(),
        cost=Cost(full_steps=full),
        decomposition=decomposition,
        risk_curve=tuple((float(d), float(r), float(n)) for d, r, n in points),
        optimal_depth=decomposition.optimal_depth(),
    )
    plot_risk_curve(report, axes)


def _clear(decomposition: RiskDecomposition) -> tuple[bool, float]:
    depth = decomposition.optimal_depth()
    start, end = decomposition.total(np.array([6.0, 60.0]))
    return bool(decomposition.identified["intrinsic"] and depth > 0), float(start / end)


def trajectory(axes: Axes) -> None:
    plot_trajectory(RiskReport.load(REPORT), axes)


def parts(axes: Axes) -> None:
    pair = next(p for p in load_pairs() if p.run.settings.get("recipe") == PARTS_OF)
    probe = replace(pair.probes[("jump", 0.1)], static=pair.run.static)
    metric = Goal("eval_accuracy") if "eval_accuracy" in pair.run.evals else Goal("eval_loss")
    plot_parts(decision_parts(probe, metric, pair.run.baseline(metric)), axes)


def regimes(axes: Axes) -> None:
    tasks = decompositions()
    plot_regimes(tasks, axes, tolerance=0.03, depth=6.0, this=next(iter(tasks)))


def calibration(axes: Axes) -> None:
    forecasts, outcomes = [], []
    for runs in settings().values():
        for run in runs:
            others = [other for other in runs if other is not run]
            prefix = run.prefix(0.3 * run.max_steps)
            forecasts.append(Forecaster.default(others).predict(prefix, GOAL))
            outcomes.append(run.outcome(GOAL))
    plot_calibration(forecasts, outcomes, axes)


@cache
def ranked() -> Ranked:
    """Packaged runs of one data set with different settings, looked at up to 30 %."""
    chosen: dict[str, RunRecord] = {}
    for record in load_reference():
        rate = record.settings["learning_rate"]
        if str(record.task) == "snips/minilm/full" and "eval_accuracy" in record.evals:
            chosen.setdefault(f"rate {rate:g}", record)
    entries = []
    for name, record in list(chosen.items())[:5]:
        prefix = record.prefix(0.3 * record.max_steps)
        forecast = Forecaster.default().predict(prefix, GOAL)
        steps, values = prefix.curve("eval_accuracy")
        looks = tuple(
            Look(int(step), forecast.median, *forecast.interval(0.9), observed=float(value))
            for step, value in zip(steps, values, strict=True)
        )
        entries.append((name, record, prefix, forecast, float(values[-1]), looks))
    levels = np.linspace(0.0005, 0.9995, 1000)
    rng = np.random.default_rng(0)
    draws = np.array(
        [rng.permutation([item[3].quantile(float(q)) for q in levels]) for item in entries]
    )
    best = np.bincount(draws.argmax(axis=0), minlength=len(entries)) / draws.shape[1]
    ranking = [
        Entry(
            name=item[0],
            status="open",
            prob_best=float(chance),
            expected_regret=None,
            forecast=item[3],
            observed=item[4],
            step=int(item[2].last_step),
            max_steps=item[1].max_steps,
            spent=0.0,
            to_come=0.0,
            decided_by="forecast",
            looks=item[5],
        )
        for item, chance in zip(entries, best, strict=True)
    ]
    ranking.sort(key=lambda entry: (entry.prob_best, entry.observed), reverse=True)
    return Ranked(GOAL, tuple(ranking), budget=0.3, spent=0.3, unit="steps")


def ranking(path: Path) -> Path:
    return write_ranking(ranked(), path)


FIGURES = {
    "readme-run": drawn(trajectory, (8.0, 4.0)),
    "gallery-trajectory": drawn(trajectory, (7.0, 4.2)),
    "gallery-risk-curve": drawn(risk_curve, (6.0, 4.2)),
    "gallery-parts": drawn(parts, (6.5, 3.4)),
    "gallery-regimes": drawn(regimes, (6.5, 5.5)),
    "gallery-calibration": drawn(calibration, (4.8, 4.6)),
    "gallery-ranking": ranking,
}
