"""The words a judgment is given in: verdict and diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Severity = Literal["fatal", "warning", "info"]


# Names in reports and cards of release 0.1 -> their names now.
_RENAMED = {"labels_all_masked": "all_labels_masked", "nonfinite_first_loss": "non_finite_loss"}


def diagnosis_name(name: str) -> str:
    """The name that a diagnosis has now; an older release may have written another."""
    return _RENAMED.get(name, name)


class Verdict(StrEnum):
    """What to do with a run.

    GO: it is expected to end well. NO_GO: it is expected to end poorly, or was stopped for that.
    UNDECIDED: what was seen does not say, or nothing tells a good outcome from a poor one.
    """

    GO = "GO"
    NO_GO = "NO_GO"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True)
class Diagnosis:
    """One named failure, the numbers it fired on, and one concrete change.

    Args:
        name: short stable name, such as ``"diverging"``.
        message: one sentence with the numbers.
        advice: one concrete change.
        severity: ``"fatal"`` a certain failure, ``"warning"`` likely to hurt, ``"info"`` a hint.
        evidence: signal name -> value the rule fired on.
    """

    name: str
    message: str
    advice: str
    severity: Severity = "warning"
    evidence: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "name": self.name,
            "message": self.message,
            "advice": self.advice,
            "severity": self.severity,
            "evidence": dict(self.evidence),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Diagnosis:
        """Diagnosis from `to_dict`'s form, under the name it has now."""
        return cls(
            name=diagnosis_name(data["name"]),
            message=data["message"],
            advice=data["advice"],
            severity=data["severity"],
            evidence={name: v for name, v in data["evidence"].items() if v is not None},
        )
