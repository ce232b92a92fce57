"""What an engine is asked to do with one candidate, and what it reports back. No torch.

Plain data that travels as JSON: between processes, machines, and a ranking and its file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord


@dataclass(frozen=True)
class Order:
    """Survey a candidate, or train it on.

    Args:
        name: the candidate.
        goal: what is measured.
        target: optimizer step to train to; 0: survey it, and train nothing.
        folder: where its checkpoints go.
        checkpoint: folder to continue from; None: from the beginning.
        looked: step -> metrics of earlier looks, which its own log does not hold.
        seed: random numbers are set to it before the Trainer is built.
        signal_seconds: bound on the time for static signals; 0: none.
    """

    name: str
    goal: Goal
    target: int
    folder: str
    checkpoint: str | None = None
    looked: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    seed: int = 0
    signal_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        fields = dict(vars(self))
        fields["goal"] = dict(vars(self.goal))
        fields["looked"] = {str(step): dict(metrics) for step, metrics in self.looked.items()}
        return fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Order:
        """Order from `to_dict`'s form."""
        fields = dict(data)
        fields["goal"] = Goal(**fields["goal"])
        fields["looked"] = {int(step): metrics for step, metrics in fields["looked"].items()}
        return cls(**fields)


@dataclass(frozen=True, eq=False)
class Reached:
    """What came of an order.

    Args:
        name: the candidate.
        record: its run so far; None where it could not even be built.
        step: optimizer steps trained in all.
        seconds: wall time of the training and its evaluations.
        checkpoint: folder its run continues from.
        looked: step -> metrics of the looks so far.
        ended: its run is over: trained to its end, or stopped by a callback of its own.
        fault: why it cannot be trained further; None while it can.
    """

    name: str
    record: RunRecord | None = None
    step: int = 0
    seconds: float = 0.0
    checkpoint: str | None = None
    looked: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    ended: bool = False
    fault: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        fields = dict(vars(self))
        fields["record"] = None if self.record is None else self.record.to_dict()
        fields["looked"] = {str(step): dict(metrics) for step, metrics in self.looked.items()}
        return fields

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reached:
        """Report from `to_dict`'s form."""
        fields = dict(data)
        if fields["record"] is not None:
            fields["record"] = RunRecord.from_dict(fields["record"])
        fields["looked"] = {int(step): metrics for step, metrics in fields["looked"].items()}
        return cls(**fields)
