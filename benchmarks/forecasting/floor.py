"""What forecasts are worth of scores that have not moved from their floor yet.

    python -m benchmarks.forecasting.floor

Of each source evaluations of scores that have been 2 % of their range at most so far, eight in each
part of the run. With the packaged model, which knows these sources: on others it errs more. Beside
it, with a share of draws from the forecast before any evaluation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.forecasting.sources import completed
from hf_ftrisk.forecast.change_model import load_change_model
from hf_ftrisk.forecast.cold import FLOOR, UNKNOWN_SHARE, cold_values
from hf_ftrisk.forecast.features import run_state
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

SHARES = (0.0, UNKNOWN_SHARE, 0.2, 1 / 3)
PARTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
PER_SOURCE, SAMPLES, MISSED = 8, 1000, 20.0


def at_floor() -> Iterator[tuple[str, RunRecord, Goal, float]]:
    """(source, prefix that ends with an evaluation at the floor, goal on its scale, outcome)."""
    for run in completed():
        goal, _ = run.record.goal_scale(run.goal)
        if goal.kind not in ("rate", "percent") or not goal.greater_is_better:
            continue
        steps, values = run.record.finite(goal.metric)
        for step, value in zip(steps[:-1], values[:-1], strict=True):
            if value > FLOOR * goal.unit:
                break
            yield run.source, run.record.prefix(int(step)), goal, float(values[-1]) / goal.unit


def draws(prefix: RunRecord, goal: Goal) -> tuple[np.ndarray, np.ndarray]:
    """Draws from the evaluations alone, and of the forecast before any, as fractions, ascending."""
    state = run_state(prefix, goal)
    assert state is not None
    seen = cold_values(state, prefix, goal, load_change_model("score"), SAMPLES)
    bare = replace(prefix, eval_step=np.empty(0), evals={})
    before = Forecaster.default().predict(bare, goal).samples
    return np.sort(seen) / goal.unit, np.sort(before) / goal.unit


def measured(seen: np.ndarray, before: np.ndarray, share: float, outcome: float) -> list[float]:
    """Whether the 90 % interval holds, and its score: width plus 20 times what it is missed by."""
    mixed = np.concatenate([seen, before])
    weights = np.repeat([(1 - share) / seen.size, share / before.size], [seen.size, before.size])
    order = np.argsort(mixed)
    at = np.searchsorted(np.cumsum(weights[order]), [0.05, 0.95])
    low, high = mixed[order][at]
    miss = max(0.0, low - outcome, outcome - high)
    return [float(miss <= 1e-9), high - low + MISSED * miss]


def main() -> None:
    cases: dict[int, dict[str, list[list[list[float]]]]] = defaultdict(lambda: defaultdict(list))
    for source, prefix, goal, outcome in at_floor():
        part = int(np.searchsorted(PARTS, prefix.progress, side="right")) - 1
        if len(cases[part][source]) < PER_SOURCE:
            seen, before = draws(prefix, goal)
            cases[part][source].append([measured(seen, before, s, outcome) for s in SHARES])
    print("| part of the run | sources | " + " | ".join(percent(s) for s in SHARES) + " |")
    print("|---|---|" + "---|" * len(SHARES))
    for part, by_source in sorted(cases.items()):
        means = np.mean([np.mean(np.array(runs), axis=0) for runs in by_source.values()], axis=0)
        cells = [f"{percent(holds)}, {score:.2f}" for holds, score in means]
        between = f"{percent(PARTS[part])} to {percent(PARTS[part + 1])}"
        print(f"| {between} | {len(by_source)} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
