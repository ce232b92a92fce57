"""What the user asked of the callback, and what is known of a run before its first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from hf_ftrisk.forecast.gain.tolerance import check_finish
from hf_ftrisk.goal import Goal
from hf_ftrisk.history.given import Given
from hf_ftrisk.policy import RuleMaker, default_rule
from hf_ftrisk.policy.protocol import check_false_stop_rate
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report.findings import FinishWay
from hf_ftrisk.report.preflight_findings import PreflightFindings, take_findings
from hf_ftrisk.trainers.plan import evaluates, evaluations, run_plan

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
    preflight: PreflightFindings | None = None

    def __post_init__(self) -> None:
        if self.action not in ("stop", "warn"):
            raise ValueError(f"action must be 'stop' or 'warn', got {self.action!r}")
        check_finish(self.finish, self.tolerance)
        if self.finish == "goal" and self.goal.target is None:
            raise ValueError(
                f"finish='goal' ends a run that has reached its target, and the goal {self.goal} "
                f"has none: write '{self.goal.metric}>=...', or use finish='gain'"
            )
        check_false_stop_rate(self.false_stop_rate)
        if self.check_steps < 1:
            raise ValueError(
                f"check_steps must be at least 1, the optimizer steps between two checks for "
                f"certain failures, got {self.check_steps!r}"
            )


@dataclass(frozen=True, eq=False)
class Setup:
    """A run before its first step.

    Args:
        plan: the run as a record.
        device: where it trains.
        forecasts: whether anything is evaluated on the way.
        evaluations: planned evaluations of the full run, 0 if unknown.
        evaluates_at_epochs: evaluations come at the ends of epochs.
        saves: whether the run saves any checkpoint.
        prob_good: P(good) by the run's pre-flight; None: there was none, or it could not say.
    """

    plan: RunRecord
    device: torch.device
    forecasts: bool = True
    evaluations: int = 0
    evaluates_at_epochs: bool = False
    saves: bool = False
    prob_good: float | None = None

    @classmethod
    def of_trainer(
        cls,
        options: WatchOptions,
        args: Any,
        state: Any,
        kwargs: Mapping[str, Any],
        trainer: Any | None,
    ) -> Setup:
        """What a Trainer's callbacks are told as training begins.

        Args:
            options: what the user asked for.
            args: the run's TrainingArguments.
            state: its TrainerState.
            kwargs: what a Trainer hands to every callback.
            trainer: the Trainer, None if it is not known.
        """
        plan = run_plan(options.goal, args, state, dict(kwargs), trainer, options.task)
        latest = None if trainer is None else take_findings(trainer)
        findings = options.preflight or latest
        # Signals are of the untrained model: they say nothing of a run that is resumed.
        if findings is not None and (state.global_step > 0 or not findings.is_of(plan)):
            findings = None
        if findings is not None:
            plan = findings.applied(plan)
        forecasts = evaluates(args, trainer)
        return cls(
            plan=plan,
            device=args.device,
            forecasts=forecasts,
            evaluations=evaluations(args, plan) if forecasts else 0,
            evaluates_at_epochs=_value(args.eval_strategy) == "epoch",
            saves=_value(args.save_strategy) != "no",
            prob_good=None if findings is None else findings.prob_good,
        )


def _value(strategy: Any) -> str:
    return str(getattr(strategy, "value", strategy))
