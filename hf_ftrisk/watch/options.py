"""What the user asked of the callback, checked. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hf_ftrisk.forecast.gain.tolerance import check_finish
from hf_ftrisk.goal import Goal
from hf_ftrisk.history.given import Given
from hf_ftrisk.policy import RuleMaker, default_rule
from hf_ftrisk.report.before import Before
from hf_ftrisk.report.findings import FinishWay

Action = Literal["stop", "warn"]


@dataclass(frozen=True, eq=False)
class WatchOptions:
    """The callback's arguments; see `FineTuneRiskCallback`.

    Raises:
        ValueError: a value outside its range.
        TypeError: a history of another type.
    """

    goal: Goal
    action: Action = "stop"
    history: Given = None
    report_dir: Path | None = None
    false_stop_rate: float = 0.05
    make_rule: RuleMaker = default_rule
    task: str | None = None
    check_steps: int = 20
    save_on_stop: bool | None = None
    to_stderr: bool = False
    log_history: bool = False
    goal_chosen: bool = False
    finish: FinishWay | None = None
    tolerance: float | None = None
    baseline: float | None = None
    before: Before | None = None

    def __post_init__(self) -> None:
        if self.action not in ("stop", "warn"):
            raise ValueError(f"action must be 'stop' or 'warn', got {self.action!r}")
        check_finish(self.finish, self.tolerance)
        if self.finish == "goal" and self.goal.target is None:
            raise ValueError(
                f"finish='goal' ends a run that has reached its target, and the goal {self.goal} "
                f"has none: write '{self.goal.metric}>=...', or use finish='gain'"
            )
        if not 0.0 < self.false_stop_rate < 1.0:
            raise ValueError(
                "false_stop_rate must lie in (0, 1): the share of good runs that may be stopped, "
                f"got {self.false_stop_rate!r}"
            )
        if self.check_steps < 1:
            raise ValueError(
                f"check_steps must be at least 1, the optimizer steps between two checks for "
                f"certain failures, got {self.check_steps!r}"
            )
