"""How well the training loss is forecast where nothing is evaluated, on the packaged runs.

    python -m benchmarks.train_loss

Each packaged run is looked at as the callback would without evaluations; what comes true is its
mean training loss after the last look. The priors of losses were fitted to evaluation losses, of
these runs too, and to no training loss.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy import look_steps
from hf_ftrisk.record import RunRecord
from hf_ftrisk.record.columns import empty
from hf_ftrisk.reference import load_reference
from hf_ftrisk.text import percent
from hf_ftrisk.watch.trace import Trace
from hf_ftrisk.watch.watcher import Watcher

_GOAL = Goal("eval_loss")


def looks_at(run: RunRecord, forecaster: Forecaster) -> list[tuple[float, bool, float]]:
    """(share of the run, whether the 90 % interval held, log error of the median) of each look."""
    names = ("train_step", "train_loss", "grad_norm", "learning_rate", "eval_step")
    plan = replace(run, **{name: empty() for name in names}, evals={}, nan_steps={}, final={})
    watcher = Watcher(plan, _GOAL, Trace(plan), forecasts=False)
    whole = watcher.training_loss(run.max_steps, run)
    if whole is None or whole.eval_step[-1] != run.max_steps:
        return []
    truth = float(whole.evals[TRAIN_LOSS.metric][-1])
    looks = []
    for step in look_steps(run.max_steps).tolist():
        losses = watcher.training_loss(step, run.prefix(step))
        if losses is not None:
            forecast = forecaster.predict(losses, TRAIN_LOSS)
            low, high = forecast.interval(0.9)
            error = abs(np.log(forecast.median / truth))
            looks.append((step / run.max_steps, low <= truth <= high, float(error)))
    return looks


def main() -> None:
    """The table of docs/guides/callback.md."""
    forecaster = Forecaster.default()
    looks = [
        looks_of_run for run in load_reference() if (looks_of_run := looks_at(run, forecaster))
    ]
    print(f"{len(looks)} runs")
    print("| seen of the run | 90 % intervals that held | median error of the forecast's median |")
    print("| ---: | ---: | ---: |")
    rows = np.array([look for looks_of_run in looks for look in looks_of_run])
    for low, high in ((0.0, 0.12), (0.12, 0.35), (0.35, 0.7), (0.7, 1.0)):
        part = rows[(rows[:, 0] > low) & (rows[:, 0] <= high)]
        error = np.expm1(np.median(part[:, 2]))
        shares = f"{percent(part[:, 0].min())} to {percent(part[:, 0].max())}"
        print(f"| {shares} | {percent(part[:, 1].mean())} | {percent(error)} |")


if __name__ == "__main__":
    main()
