"""What became of the trainings of a program, and the exit status that follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from hf_ftrisk.report import RiskReport
from hf_ftrisk.run.options import STOPPED, USAGE
from hf_ftrisk.run.terminal import is_first_process, say


@dataclass(frozen=True)
class Outcome:
    """What became of the trainings of one process, or of several.

    Args:
        trained: a Trainer has trained, judged or not.
        stopped: a run was stopped as poor.
        refused: status of the refusal that left the program, None if there was none.
        loop_steps: optimizer steps taken before any Trainer trained: a loop of the program's own.
        has_trainer: transformers' Trainer was imported.
    """

    trained: bool = False
    stopped: bool = False
    refused: int | None = None
    loop_steps: int = 0
    has_trainer: bool = False

    @property
    def status(self) -> int:
        """Exit status of a program that did not fail by itself."""
        if self.refused is not None:
            return self.refused
        if not self.trained and self.loop_steps:
            return USAGE
        return STOPPED if self.stopped else 0

    @classmethod
    def of_all(cls, outcomes: Iterable[Outcome]) -> Outcome:
        """The processes of one program together."""
        seen = list(outcomes)
        refusals = [one.refused for one in seen if one.refused is not None]
        return cls(
            trained=any(one.trained for one in seen),
            stopped=any(one.stopped for one in seen),
            refused=refusals[0] if refusals else None,
            loop_steps=max((one.loop_steps for one in seen), default=0),
            has_trainer=any(one.has_trainer for one in seen),
        )


@dataclass(frozen=True)
class TrainingReports:
    """What was found of one training of a program.

    Args:
        training: counts the program's trainings from 1, in the order they began.
        preflight: found by its pre-flight, None if there was none.
        watch: found while it ran, None if it was not watched or did not begin.
    """

    training: int
    preflight: RiskReport | None = None
    watch: RiskReport | None = None

    def with_report(self, report: RiskReport) -> TrainingReports:
        """With a report of its stage."""
        if report.stage == "preflight":
            return replace(self, preflight=report)
        return replace(self, watch=report)


@dataclass(frozen=True)
class Ended:
    """How a program ended, and what was found of its trainings.

    Args:
        status: exit status.
        trainings: those that were probed or watched, in the order they began.
    """

    status: int
    trainings: tuple[TrainingReports, ...] = ()


def tell_if_not_judged(outcome: Outcome) -> None:
    """Say that nothing was judged, where no Trainer has trained."""
    if outcome.trained or outcome.refused is not None or not is_first_process():
        return
    if outcome.loop_steps:
        say(
            f"this program took {outcome.loop_steps} optimizer steps in a loop of its own, without "
            "a Trainer of transformers, so nothing was judged. A loop is watched with "
            "hf_ftrisk.watch_loop and probed with hf_ftrisk.PreflightRunner.from_loop"
        )
    elif outcome.has_trainer:
        say("no Trainer of transformers was trained here, so nothing was judged")
