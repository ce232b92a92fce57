"""Figures of the concept pages: the guarantee step by step, and the four forms of decay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import conformal_threshold, easing, look_forecasts, look_scores
from hf_ftrisk.reference import load_reference
from hf_ftrisk.report.plots import DARK, LIGHT, MIDDLE, WARM, finish, write_figure
from hf_ftrisk.risk import tail_energy
from hf_ftrisk.text import percent

GOAL = Goal("eval_accuracy")
RATE = 0.1
TASK = "bbc_news"


def guarantee(path: Path) -> Path:
    """Three steps: scores of known good runs, the threshold under them, a new run under it."""
    good_runs, poor_runs = [], []
    for record in load_reference():
        if str(record.task).startswith(TASK) and "eval_accuracy" in record.evals:
            steps, forecasts = look_forecasts(record, GOAL, Forecaster.default())
            baseline = record.baseline(GOAL)
            share = steps / record.max_steps
            prob = np.array([forecast.prob_meets(GOAL, baseline) for forecast in forecasts])
            good = GOAL.meets(record.outcome(GOAL), baseline)
            (good_runs if good else poor_runs).append((share, prob))
    good_runs = good_runs[:20]
    scores = [float(look_scores(prob, share).min()) for share, prob in good_runs]
    threshold = conformal_threshold(scores, None, RATE)
    assert threshold is not None
    figure = Figure(figsize=(10.5, 3.7), dpi=150, layout="constrained")
    first, second, third = figure.subplots(1, 3)
    for share, prob in good_runs:
        first.plot(share, prob, color=MIDDLE, lw=1.0, alpha=0.8)
    finish(first, f"1. {len(good_runs)} known good runs: P(good) at each look", legend=False)
    order = np.sort(scores)
    below = order < threshold
    places = np.arange(1, order.size + 1)
    second.plot(places[~below], order[~below], "o", color=MIDDLE, mec="black", ms=6)
    second.plot(places[below], order[below], "X", color=WARM, mec="black", ms=8)
    label = f"threshold: at most {percent(RATE)} lie below"
    second.axhline(threshold, color=WARM, lw=1.4, ls="--", label=label)
    second.set(xlabel="runs, by score", ylabel="worst eased P(good) of the run")
    finish(second, "2. The worst look of each, sorted")
    grid = np.linspace(0.05, 1.0, 60)
    third.plot(grid, threshold * easing(grid), color=WARM, lw=1.4, ls="--", label="threshold")
    share, prob = min(poor_runs, key=lambda run: float(look_scores(run[1], run[0]).min()))
    third.plot(share, prob, color=DARK, lw=1.6, marker="o", ms=3, label="a poor run")
    hits = np.flatnonzero((look_scores(prob, share) < threshold) & (prob < 0.5) & (share >= 0.05))
    if hits.size:
        at = hits[0]
        style = {"color": WARM, "mec": "black", "ms": 11, "zorder": 5}
        third.plot([share[at]], [prob[at]], "X", label=f"stopped at {percent(share[at])}", **style)
    quartile = np.argsort(scores)[len(scores) // 4]
    share, prob = good_runs[quartile]
    third.plot(share, prob, color=LIGHT, lw=1.6, marker="s", ms=3, label="a good run")
    finish(third, "3. New runs, held against it at every look")
    for axes in (first, third):
        axes.set(xlabel="share of the run seen", ylabel="P(good)", ylim=(-0.03, 1.03))
    # Room for the legend below the runs.
    third.set(ylim=(-0.4, 1.03), yticks=np.linspace(0.0, 1.0, 6))
    return write_figure(figure, path)


def decay(path: Path) -> Path:
    """What is still open after each step: the tail energy of common schedules."""
    steps = 1000
    step = np.arange(steps)
    schedules = {
        "linear decay": 1.0 - step / steps,
        "cosine": 0.5 * (1.0 + np.cos(np.pi * step / steps)),
        "constant": np.ones(steps),
        "warm-up, then linear": np.minimum(step / 100, (steps - step) / 900),
    }
    figure = Figure(figsize=(9.5, 3.6), dpi=150, layout="constrained")
    left, right = figure.subplots(1, 2)
    styles = (("-", DARK), ("--", MIDDLE), (":", "black"), ("-.", WARM))
    for (name, rates), (dash, color) in zip(schedules.items(), styles, strict=True):
        energy = tail_energy(rates)
        left.plot(step / steps, rates, ls=dash, color=color, lw=1.6, label=name)
        at = np.arange(energy.size) / (energy.size - 1)
        right.plot(at, energy / energy[0], ls=dash, color=color, lw=1.6, label=name)
    left.set(xlabel="share of the run", ylabel="learning rate")
    right.set(xlabel="share of the run seen", ylabel="S(c) / S(0)")
    finish(left, "The schedule")
    finish(right, "What it leaves open: the tail energy")
    return write_figure(figure, path)


FIGURES = {"guarantee": guarantee, "decay": decay}
