"""What a run's dynamics say about its end beyond the forecast: packaged runs, data sets left out.

    python -m benchmarks.dynamics_evidence --write docs/evidence/policy.md

A logistic regression on the forecast's P(good) and on how far losses, metric and gradient norm have
moved, fitted to the other data sets; its threshold is the 5 % quantile of their good runs, each
scored by a regression without its own data set. Not part of the package: it says what a forecaster
that used these would gain.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.other_tasks import held_out_forecaster
from benchmarks.run_tables import Run, reference
from benchmarks.watched import write_table
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.text import percent

DEPTHS = (0.1, 0.2, 0.3, 0.5)
FALSE_STOPS = 0.05


def features(run: Run, depth: float, forecaster: Forecaster) -> list[float]:
    """Log odds of P(good), and bounded moves of losses, metric and gradient norm so far."""
    record, goal = run.record, run.goal
    baseline = record.baseline(goal)
    assert baseline is not None
    prefix = record.prefix(depth * record.max_steps)
    prob = forecaster.predict(prefix, goal).prob_meets(goal, baseline)
    _, train = prefix.train_curve()
    train = np.log(np.maximum(train[np.isfinite(train)], 1e-6))
    third = max(train.size // 3, 2)
    fall = float(np.median(train[:third]) - np.median(train[-third:]))
    noise = float(np.std(np.diff(train))) / (2 * third) ** 0.5 + 1e-9
    _, held_out = prefix.curve("eval_loss")
    held_out = np.log(np.maximum(held_out[np.isfinite(held_out)], 1e-6))
    trivial = np.log(record.baselines.get("eval_loss", float(np.exp(held_out[0]))))
    _, values = prefix.curve(goal.metric)
    error = (max(baseline * (1 - baseline), 0.02) / record.settings["eval_rows"]) ** 0.5
    norms = prefix.grad_norm[np.isfinite(prefix.grad_norm)]
    growth = np.log(np.median(norms[-third:]) / np.median(norms[:third])) if norms.size else 0.0
    return [
        float(np.log((prob + 0.01) / (1.01 - prob))),
        float(np.tanh(5 * fall)),
        float(np.tanh(fall / noise / 3)),
        float(np.tanh(10 * (held_out[0] - held_out[-1]))),
        float(np.tanh(10 * (trivial - held_out[-1]))),
        float(np.tanh((values[-1] - baseline) / error / 3)),
        float(np.tanh((values.max() - baseline) / error / 3)),
        float(growth),
    ]


def held_out_chances(X: np.ndarray, good: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Chance of a good outcome (n,) of each run, from a regression without its data set."""
    chances = np.empty(good.size)
    for group in np.unique(groups):
        out = groups == group
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3))
        chances[out] = model.fit(X[~out], good[~out]).predict_proba(X[out])[:, 1]
    return chances


def stopped(score: np.ndarray, good: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Share of good runs kept and of poor runs stopped, the threshold from other data sets."""
    below = np.zeros(good.size, dtype=bool)
    for group in np.unique(groups):
        out = groups == group
        below[out] = score[out] < np.quantile(score[~out & good], FALSE_STOPS)
    return float((~below[good]).mean()), float(below[~good].mean())


def table() -> str:
    runs = [run for run in reference() if run.goal.metric == "eval_accuracy"]
    good = np.array([r.goal.meets(r.outcome, r.record.baseline(r.goal)) for r in runs])
    groups = np.array([run.group for run in runs])
    lines = [
        f"{len(runs)} runs, {good.sum()} good; good runs kept and poor runs stopped at one look.",
        "",
        "| depth | P(good) alone: AUC | kept | stopped | with the dynamics: AUC | kept | stopped |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for depth in DEPTHS:
        X = np.array(
            [features(run, depth, held_out_forecaster("reference", run.group)) for run in runs]
        )
        cells = [percent(depth)]
        for score in (X[:, 0], held_out_chances(X, good, groups)):
            kept, share = stopped(score, good, groups)
            cells += [
                f"{roc_auc_score(good, score):.3f}",
                percent(kept, ".1f"),
                percent(share, ".1f"),
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the page that has marks for the table")
    options = parser.parse_args()
    text = table()
    print(text)
    if options.write:
        write_table(options.write, "dynamics", text)


if __name__ == "__main__":
    main()
