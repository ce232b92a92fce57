"""What is asked of `hf-ftrisk run`, checked before the program starts; how one may be refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hf_ftrisk.forecast.gain.tolerance import check_finish
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import MetricKind
from hf_ftrisk.history.remembered import is_off
from hf_ftrisk.policy import rule_maker

if TYPE_CHECKING:
    from hf_ftrisk.history import RunHistory

USAGE = 2
STOPPED = 3


@dataclass(frozen=True)
class RunOptions:
    """What is put into the Trainers of a program.

    Args:
        preflight: probe each training before it starts.
        watch: follow each training with the callback.
        goals: what the trainings are judged by; each by the first that its evaluations report.
            Empty: by what the Trainer itself names, ``metric_for_best_model``, else ``eval_loss``.
        kind: range of the goal's metric, also where the Trainer names it; None: from name and
            values.
        budget: share of the full run's steps a pre-flight may spend, in (0, 1].
        seeds: probe runs of a pre-flight.
        action: ``"stop"``: a no-go is not started and a poor run is stopped; ``"warn"``: say so.
        rule: name of the stopping rule, of `hf_ftrisk.policy.RULES`.
        finish: end a run that has nothing more to gain, see `FineTuneRiskCallback`; None: do not.
        tolerance: gain that is too small to train on for, in the metric's units; None: one
            point of a rate, 2 % of a loss.
        report_dir: folder the reports are written to, created at once; None: none are written.
        history: file of the run history, created at once; ``"default"``: the one that is kept by
            default; None, ``"off"``, or the False that YAML reads that word as: none is used.

    Raises:
        ValueError: a value outside its range, a folder or history that cannot be written.
    """

    preflight: bool = True
    watch: bool = True
    goals: tuple[Goal, ...] = ()
    kind: MetricKind | None = None
    budget: float = 0.05
    seeds: int = 3
    action: Literal["warn", "stop"] = "stop"
    rule: str = "calibrated"
    finish: Literal["gain", "goal", "anneal"] | None = None
    tolerance: float | None = None
    report_dir: Path | None = None
    history: Path | Literal["default", False] | None = "default"

    def __post_init__(self) -> None:
        if self.history is False or (self.history is not None and is_off(self.history)):
            object.__setattr__(self, "history", None)
        if not 0.0 < self.budget <= 1.0:
            raise ValueError(f"budget is a share of the full run in (0, 1], got {self.budget!r}")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds!r}")
        if self.action not in ("warn", "stop"):
            raise ValueError(f"action must be 'warn' or 'stop', got {self.action!r}")
        rule_maker(self.rule)
        check_finish(self.finish, self.tolerance)
        if self.report_dir is not None:
            try:
                self.report_dir.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ValueError(f"report_dir cannot be made: {error}") from error
        self.open_history()

    def for_elsewhere(self) -> RunOptions:
        """The same for a process in another folder."""
        history = self.history
        return replace(
            self,
            report_dir=None if self.report_dir is None else self.report_dir.absolute(),
            history=history.absolute() if isinstance(history, Path) else history,
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        data = asdict(self)
        for name in ("report_dir", "history"):
            data[name] = None if data[name] is None else str(data[name])
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunOptions:
        """From `to_dict`'s form."""
        places = {name: data[name] and Path(data[name]) for name in ("report_dir", "history")}
        if data["history"] == "default":
            places["history"] = "default"
        goals = tuple(Goal(**goal) for goal in data["goals"])
        return cls(**{**data, **places, "goals": goals})

    def open_history(self) -> RunHistory | Literal["default"] | None:
        """The run history as callback and pre-flight take it; None when none is used."""
        if not self.history:
            return None
        if self.history == "default":
            return "default"
        from hf_ftrisk.history import RunHistory

        return RunHistory(self.history)


class Refusal(SystemExit):
    """Leaves the program where a training would have begun, with a status of its own.

    A SystemExit, so that a program's ``except Exception`` does not swallow it.
    """

    status: int

    def __init__(self) -> None:
        super().__init__(self.status)


def refusal(status: int) -> Refusal:
    """The refusal with a status."""
    return NoGo() if status == STOPPED else WrongUsage()


class NoGo(Refusal):
    """A pre-flight said no."""

    status = STOPPED


class WrongUsage(Refusal):
    """What the user asked for cannot be done with this program; nothing has been trained."""

    status = USAGE
