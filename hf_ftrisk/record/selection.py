"""What a Trainer chooses its best checkpoint by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hf_ftrisk.goal.metric_names import infer_greater_is_better


@dataclass(frozen=True)
class ModelSelection:
    """What a Trainer chooses its best checkpoint by.

    Args:
        metric: name of the metric; the ``eval_`` prefix is added when it is missing.
        greater_is_better: direction, as the Trainer has it.
    """

    metric: str
    greater_is_better: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", f"eval_{self.metric.removeprefix('eval_')}")

    @classmethod
    def named(
        cls, metric: str | None, greater_is_better: bool | None = None
    ) -> ModelSelection | None:
        """Selection by `metric`; None without one, or where its direction is not known.

        Args:
            metric: name of the metric.
            greater_is_better: direction; None infers it from the name.
        """
        if metric is None:
            return None
        if greater_is_better is None:
            greater_is_better = infer_greater_is_better(metric)
        return None if greater_is_better is None else cls(metric, greater_is_better)

    def to_dict(self) -> dict[str, Any]:
        """As it stands among a stored record's fields; the direction only where the name is silent.

        So that a run stored by an earlier release, which kept the name alone, has the same bytes.
        """
        fields: dict[str, Any] = {"metric_for_best": self.metric}
        if infer_greater_is_better(self.metric) != self.greater_is_better:
            fields["greater_is_better"] = self.greater_is_better
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ModelSelection | None:
        """Inverse of `to_dict`, from a stored record's fields; None where they have none."""
        return cls.named(fields.get("metric_for_best"), fields.get("greater_is_better"))
