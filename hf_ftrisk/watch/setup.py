"""What is known of a watched run before its first step, whoever trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from hf_ftrisk.record import RunRecord
from hf_ftrisk.report.before import take
from hf_ftrisk.trainers.plan import evaluates, evaluations, run_plan
from hf_ftrisk.watch.options import WatchOptions


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
        found = None if trainer is None else take(trainer)
        before = options.before or found
        # Signals are of the untrained model: they say nothing of a run that is resumed.
        known = before is not None and state.global_step == 0 and before.is_of(plan)
        if before is not None and known:
            plan = before.applied(plan)
        forecasts = evaluates(args, trainer)
        return cls(
            plan=plan,
            device=args.device,
            forecasts=forecasts,
            evaluations=evaluations(args, plan) if forecasts else 0,
            evaluates_at_epochs=_value(args.eval_strategy) == "epoch",
            saves=_value(args.save_strategy) != "no",
            prob_good=before.prob_good if before is not None and known else None,
        )


def _value(strategy: Any) -> str:
    return str(getattr(strategy, "value", strategy))
