"""What a stopping rule is, so that people can bring their own.

`hf_ftrisk.policy.patience` is a complete one to start from. A rule is made anew for each run, by a
`RuleMaker`: what it is calibrated on is known only when the run's task is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.record import RunRecord


class Rule(Protocol):
    """Says at each decision point of a run whether to end it."""

    @property
    def goal(self) -> Goal:
        """What a run is judged by."""
        ...

    @property
    def forecaster(self) -> Predictor:
        """Predicts the outcome of a run."""
        ...

    @property
    def can_stop(self) -> bool:
        """Whether the rule could end any run."""
        ...

    def judge(self, record: RunRecord) -> Ruling:
        """Ruling on a run as far as it has come; NO_GO ends it.

        Args:
            record: the run so far, as `RunRecord.prefix` gives it.
        """
        ...

    def why_silent(self, record: RunRecord) -> str | None:
        """Why the rule could end this run at no decision point, in a sentence; None if it could."""
        ...


class RuleMaker(Protocol):
    """Makes the rule of one run; `hf_ftrisk.policy.default_rule` is one."""

    def __call__(
        self,
        goal: Goal,
        forecaster: Predictor,
        history: Iterable[RunRecord] | None = None,
        false_stop_rate: float = 0.05,
    ) -> Rule:
        """The rule.

        Args:
            goal: what the run is judged by.
            forecaster: predicts its outcome.
            history: completed runs of the same task, if there are any.
            false_stop_rate: share of good runs that may be stopped, for rules that bound it.
        """
        ...


def check_false_stop_rate(rate: float) -> None:
    """Refuse a rate that is no share.

    Raises:
        ValueError: one outside (0, 1).
    """
    if not 0.0 < rate < 1.0:
        raise ValueError(
            "false_stop_rate must lie in (0, 1): the share of good runs that may be stopped, "
            f"got {rate!r}"
        )
