"""A scheduler for Ray Tune: ends trials that cannot reach the best so far."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers.trial_scheduler import FIFOScheduler, TrialScheduler

from hf_ftrisk.goal import Goal
from hf_ftrisk.integrations.search import TrialJudge
from hf_ftrisk.policy.protocol import check_false_stop_rate


class RiskScheduler(FIFOScheduler):
    """Stops a trial when its forecast says that it cannot reach the best complete trial so far.

    For ``tune.Tuner(..., tune_config=TuneConfig(scheduler=RiskScheduler(...)))`` and for
    ``trainer.hyperparameter_search(backend="ray", scheduler=RiskScheduler(...))``, whose metric is
    called ``"objective"``: name the kind of metric with `measures`.

    Args:
        max_t: `time_attr` at the end of a full trial.
        time_attr: what counts a trial's progress in its results.
        metric: key of the metric in the results; None: as told to Tune.
        mode: ``"max"`` or ``"min"``; None: as told to Tune.
        measures: name of the metric behind the key, such as ``"eval_accuracy"``, which tells range
            and kind; None: the key itself.
        false_stop_rate: allowed chance that a trial which would have been the best is stopped.

    Raises:
        ValueError: a value out of range.
    """

    def __init__(
        self,
        max_t: int,
        *,
        time_attr: str = "training_iteration",
        metric: str | None = None,
        mode: str | None = None,
        measures: str | None = None,
        false_stop_rate: float = 0.05,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if max_t < 1:
            raise ValueError(f"max_t must be at least 1, got {max_t!r}")
        if mode not in (None, "max", "min"):
            raise ValueError(f"mode must be 'max' or 'min', got {mode!r}")
        self._max_t = max_t
        self._time_attr = time_attr
        self._metric = metric
        self._mode = mode
        self._measures = measures
        check_false_stop_rate(false_stop_rate)
        self._rate = false_stop_rate
        self._judge: TrialJudge | None = None
        self._values: dict[str, dict[int, float]] = {}
        self._outcomes: dict[str, float] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Take metric and mode as told to Tune; False where they were given here already."""
        if (self._metric and metric) or (self._mode and mode):
            return False
        self._metric, self._mode = metric or self._metric, mode or self._mode
        return True

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        if self._metric not in result or self._time_attr not in result:
            return str(TrialScheduler.CONTINUE)
        values = self._values.setdefault(trial.trial_id, {})
        values[int(result[self._time_attr])] = float(result[self._metric])
        lost = self._judge_of().is_lost(values, self._max_t, list(self._outcomes.values()))
        return str(TrialScheduler.STOP if lost else TrialScheduler.CONTINUE)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """A trial came to its own end; one that was stopped here did not."""
        if self._metric in result and self._time_attr in result:
            self._outcomes[trial.trial_id] = float(result[self._metric])

    def _judge_of(self) -> TrialJudge:
        if self._judge is None:
            if self._metric is None or self._mode is None:
                raise ValueError(
                    "RiskScheduler needs metric and mode, here or in tune.TuneConfig: got "
                    f"metric={self._metric!r}, mode={self._mode!r}"
                )
            goal = Goal(self._measures or self._metric, greater_is_better=self._mode == "max")
            self._judge = TrialJudge(goal, self._rate)
        return self._judge

    def debug_string(self) -> str:
        """What Tune shows in its status."""
        return f"RiskScheduler: {len(self._outcomes)} complete trials, best is the target"
