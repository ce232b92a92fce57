"""A pruner for Optuna: ends trials that cannot reach the best so far."""

from __future__ import annotations

from collections.abc import Callable

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hf_ftrisk.goal import Goal
from hf_ftrisk.integrations.search import TrialJudge
from hf_ftrisk.policy.protocol import check_false_stop_rate


class RiskPruner(BasePruner):
    """Prunes a trial when its forecast says that it cannot reach the best trial so far.

    The chance that a trial which would have become the best is pruned is held to
    `false_stop_rate`, over all its reports, however many there are: no quantile of the other
    trials, no warm-up steps to choose. Until one trial is complete nothing is pruned but trials
    that report NaN, so a search with this pruner always has a best trial unless all diverge. For
    metrics without a packaged calibration, such as rewards, it prunes diverged trials alone. It
    composes: ``PatientPruner(RiskPruner(...), patience=2)``.

    Args:
        metric: name of what is reported, such as ``"eval_accuracy"``: it tells range and kind.
        max_steps: step of the last report of a full trial, in the units of ``trial.report``; or a
            function of the trial, where trials are of different length.
        false_stop_rate: allowed chance that a trial which would have been the best is pruned.

    Raises:
        ValueError: a value out of range.

    Examples:
        >>> study = optuna.create_study(
        ...     direction="maximize", pruner=RiskPruner("eval_accuracy", max_steps=1000)
        ... )
    """

    def __init__(
        self,
        metric: str,
        max_steps: int | Callable[[FrozenTrial], int],
        false_stop_rate: float = 0.05,
    ) -> None:
        if not callable(max_steps) and max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps!r}")
        self._metric = metric
        self._max_steps = max_steps
        check_false_stop_rate(false_stop_rate)
        self._rate = false_stop_rate
        self._judge: TrialJudge | None = None

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to be pruned."""
        judge = self._judge_of(study)
        steps = self._max_steps(trial) if callable(self._max_steps) else self._max_steps
        done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        ends = [float(other.value) for other in done if other.value is not None]
        return judge.is_lost(trial.intermediate_values, steps, ends)

    def _judge_of(self, study: Study) -> TrialJudge:
        upward = study.direction == StudyDirection.MAXIMIZE
        if self._judge is None or self._judge.goal.greater_is_better != upward:
            self._judge = TrialJudge(Goal(self._metric, greater_is_better=upward), self._rate)
        return self._judge
