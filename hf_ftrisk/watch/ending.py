"""What a look decides: a run that is stopped, finished early, or cooled down first. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.finish import LOST_RATE
from hf_ftrisk.report.findings import Finish, FinishWay
from hf_ftrisk.report.wording import gain_words
from hf_ftrisk.text import percent
from hf_ftrisk.watch.judged import Judged

# Share of the steps done over which a run that has nothing more to gain is cooled down.
COOL_DOWN = 0.1


@dataclass(frozen=True)
class CoolDown:
    """The schedule's remaining steps, squeezed: a linear decay to zero, then the end.

    Args:
        begin: optimizer steps done when it begins.
        steps: its length in optimizer steps.
    """

    begin: int
    steps: int

    @classmethod
    def after(cls, step: int) -> CoolDown:
        """The cool-down of a run of `step` steps so far."""
        return cls(step, max(1, math.ceil(COOL_DOWN * step)))

    @property
    def end(self) -> int:
        """The last optimizer step."""
        return self.begin + self.steps

    def factor(self, done: int) -> float:
        """What its first learning rate is multiplied by after `done` steps of the run."""
        return min(max(1.0 - (done - self.begin) / self.steps, 0.0), 1.0)


@dataclass(frozen=True, eq=False)
class LookDecision:
    """What rank 0 concluded at a look, for all ranks.

    Args:
        judged: the look.
        stop: the run ends here.
        save: a checkpoint is wanted of the weights as they are.
        message: what to tell the user besides the look itself.
        finish: the run has nothing more to gain, and is ended for that.
        cool_down: how it is cooled down before it ends; None: it ends here.
        prune: reason for which the run's trial is pruned; None: it is none, or not pruned.
    """

    judged: Judged
    stop: bool = False
    save: bool = False
    message: str | None = None
    finish: Finish | None = None
    cool_down: CoolDown | None = None
    prune: str | None = None

    @property
    def ends(self) -> bool:
        """Whether the training ends at this step."""
        return self.stop or (self.finish is not None and self.cool_down is None)


@dataclass
class Ending:
    """The end of one run for want of gain.

    Args:
        goal: what the run is judged by.
        way: how it ends; None: it does not.
        acts: whether it is ended, or only told.
        false_stop_rate: allowed chance that a good run is stopped as poor, for the greeting.
        saves: whether the run saves any checkpoint.
        max_steps: its planned steps.
    """

    goal: Goal
    way: FinishWay | None
    acts: bool
    false_stop_rate: float
    saves: bool
    max_steps: int
    finish: Finish | None = None
    cool_down: CoolDown | None = None
    told: bool = False
    _first_rates: list[float] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        """Whether somebody asked, and nothing has been found yet."""
        return self.way is not None and not self.told

    def greeting(self) -> str:
        """What will be done, told before the run starts."""
        if self.way == "goal":
            text = f"the run ends early once {self.goal} is met and is forecast to stay met"
        else:
            text = (
                "the run ends early once it has nothing more to gain: at most "
                f"{percent(LOST_RATE)} of runs lose more than the tolerance by that; besides, at "
                f"most {percent(self.false_stop_rate)} of good runs are stopped as poor"
            )
        if not self.saves:
            text += (
                "; this run saves no checkpoint: when it is finished its weights are those of "
                "that step, not those of the best evaluation"
            )
        return text

    def cools(self, finish: Finish, done: int) -> CoolDown | None:
        """The cool-down of a run of `done` steps; None where it ends at once, or by its plan."""
        if finish.way != "anneal":
            return None
        cool_down = CoolDown.after(done)
        return cool_down if cool_down.end < self.max_steps else None

    def words(self, finish: Finish, cool_down: CoolDown | None) -> str:
        """What is told when it is found."""
        text = (
            f"finishing this run at step {finish.step} of {self.max_steps}: {finish.reason}"
            if self.acts
            else f"nothing is left to gain, and this run goes on: {finish.reason}"
        )
        if finish.expected_gain is not None:
            text += f" Expected gain of the rest: {gain_words(finish.expected_gain, self.goal)}."
        text += f" Keep the checkpoint of step {finish.best_step}."
        if cool_down is not None:
            text += (
                f" The learning rate now falls in a straight line to zero over {cool_down.steps} "
                f"steps, from step {cool_down.begin} to {cool_down.end}, where the run ends."
            )
        elif finish.way == "gain" and self.acts:
            text += " To cool the learning rate down first, use finish='anneal'."
        return text

    def cool(self, optimizer: Any, done: int) -> None:
        """The cool-down's rate in place of the schedule's, which is set anew after every step."""
        if self.cool_down is None:
            return
        if not self._first_rates:
            self._first_rates = [float(group["lr"]) for group in optimizer.param_groups]
        factor = self.cool_down.factor(done)
        for group, rate in zip(optimizer.param_groups, self._first_rates, strict=True):
            group["lr"] = rate * factor

    def over(self, step: int) -> bool:
        """Whether a cool-down has come to its end."""
        return self.cool_down is not None and step >= self.cool_down.end
