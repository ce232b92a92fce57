"""Risk curves of BERT-large on RTE and STS-B: 3 recipes, 50 seeds each, 10 evaluations a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.run_tables import Run, bert_seeds
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk import RiskDecomposition, RiskEstimate, fit_risk_curve, replay_risk
from hf_ftrisk.risk.estimators import PredictorFrom

TOLERANCE = 0.03
EVALUATIONS = 10


class PeerRegression:
    """Least squares of the outcome on last and best value, evaluation and training loss so far.

    Args:
        peers: (n,) completed runs of the same task.
    """

    def __init__(self, peers: Sequence[RunRecord]) -> None:
        self._peers = peers

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        """Point forecast of the final metric."""
        depth = float(record.eval_step[-1])
        features = np.array([_features(peer.prefix(depth), goal) for peer in self._peers])
        ends = np.array([peer.outcome(goal) for peer in self._peers])
        mean, spread = features.mean(axis=0), features.std(axis=0)
        spread[spread == 0] = 1.0
        design = np.column_stack([np.ones(len(ends)), (features - mean) / spread])
        # The minimum-norm solution: at the first evaluation last and best value are the same.
        weights = np.linalg.lstsq(design, ends, rcond=1e-6)[0]
        return Forecast(np.append(1.0, (_features(record, goal) - mean) / spread) @ weights)


def _features(record: RunRecord, goal: Goal) -> np.ndarray:
    values, losses = record.evals[goal.metric], record.evals["eval_loss"]
    return np.array([values[-1], values.max(), losses[-1], record.train_loss[-1]])


@dataclass(frozen=True)
class Cell:
    """One task with one recipe.

    Args:
        name: task and recipe.
        outcomes: (n_runs,) final test scores.
        estimate: replayed risk at the ten evaluations.
        fit: its decomposition.
    """

    name: str
    outcomes: np.ndarray
    estimate: RiskEstimate
    fit: RiskDecomposition


PREDICTORS: dict[str, PredictorFrom] = {
    "regression": PeerRegression,
    "package": lambda others: Forecaster.default(list(others)),
}


def cells(predictor: str = "regression") -> list[Cell]:
    """The six cells, each run forecast from the other 49 of its cell."""
    groups: dict[str, list[Run]] = {}
    for run in bert_seeds():
        groups.setdefault(run.group, []).append(run)
    return [_cell(name, runs, PREDICTORS[predictor]) for name, runs in groups.items()]


def _cell(name: str, runs: Sequence[Run], predictor: PredictorFrom) -> Cell:
    goal, records = runs[0].goal, [run.record for run in runs]
    # RTE repeats the tenth evaluation as an eleventh, at the last step.
    depths = np.unique(records[0].eval_step)[:EVALUATIONS]
    estimate = replay_risk(records, predictor, depths, goal)
    fit = fit_risk_curve(
        estimate.depths,
        estimate.risks,
        counts=estimate.counts,
        same_runs=True,
        learning_rates=logged_schedule(records[0]),
        tolerance=TOLERANCE,
    )
    return Cell(name, np.array([run.outcome for run in runs]), estimate, fit)


def logged_schedule(record: RunRecord) -> np.ndarray:
    """Learning rates (T,) of every step, from the logged ones: warm-up, then linear decay."""
    steps = np.arange(record.max_steps)
    logged = np.isfinite(record.learning_rate)
    at = np.concatenate([[0.0], record.train_step[logged], [record.max_steps]])
    rates = np.concatenate([[0.0], record.learning_rate[logged], [0.0]])
    keep = np.unique(at, return_index=True)[1]
    return np.interp(steps + 1.0, at[keep], rates[keep])
