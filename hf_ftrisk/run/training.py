"""One training of a program that knows nothing of us: its goal, its pre-flight, its watcher.

What the user asked for and cannot have is refused before anything is trained (`WrongUsage`). Every
other fault leaves the training to itself, with a word on standard error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from hf_ftrisk.errors import (
    PreflightArgumentError,
    PreflightError,
    PreflightUnsupportedError,
    WatchArgumentError,
)
from hf_ftrisk.failopen import fault_of
from hf_ftrisk.goal import Goal
from hf_ftrisk.goal.metric_names import choose_metric, infer_greater_is_better
from hf_ftrisk.probing.runner import preflight
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.terminal import show_report
from hf_ftrisk.run.elsewhere import probe_elsewhere
from hf_ftrisk.run.journal import Earlier, Journal
from hf_ftrisk.run.options import NoGo, RunOptions, WrongUsage, refusal
from hf_ftrisk.trainers.plan import check_arguments, is_policy_gradient
from hf_ftrisk.trainers.ranks import Ranks
from hf_ftrisk.verdict import Verdict
from hf_ftrisk.watch.callback import FineTuneRiskCallback

E = TypeVar("E", bound=Exception)


def own_goals(trainer: Any) -> tuple[Goal, ...]:
    """Goals a Trainer states itself: ``metric_for_best_model``, then its evaluation loss.

    Before that loss comes the reward, where a policy is trained: its loss says nothing of how good
    it is.
    """
    sets = trainer.eval_dataset
    loss = "eval_loss"
    if isinstance(sets, dict) and sets:
        loss = f"eval_{next(iter(sets))}_loss"
    goals = [Goal(loss, greater_is_better=False)]
    if is_policy_gradient(type(trainer)):
        goals.insert(0, Goal("eval_reward", greater_is_better=True))
    metric = trainer.args.metric_for_best_model
    if metric:
        greater = trainer.args.greater_is_better
        if greater is None:
            greater = infer_greater_is_better(metric)
        if greater is not None:
            goals.insert(0, Goal(metric, greater_is_better=greater))
    return tuple(goals)


class Training:
    """One call of a Trainer's ``train``, judged.

    Args:
        trainer: the program's Trainer.
        options: what the user asked for.
        number: counts the program's trainings from 1.
        say: where messages go.
        journal: what is kept of the program's trainings.

    Attributes:
        stopped: the run was stopped as poor; known after it.
    """

    def __init__(
        self,
        trainer: Any,
        options: RunOptions,
        number: int,
        say: Callable[[str], None],
        journal: Journal,
    ) -> None:
        self.stopped = False
        self._trainer = trainer
        self._options = options
        self._number = number
        self._say = say
        self._journal = journal
        self._ranks = Ranks(trainer.args.device)
        self._goal: Goal | None = None
        self._before: RiskReport | None = None
        self._reported: tuple[str, ...] = ()

    # --- before ---------------------------------------------------------------------------------

    def begin(self, resumed: bool) -> None:
        """Find the goal, and probe.

        Raises:
            WrongUsage: the evaluations report none of the goals given, and nothing has been
                trained in this program yet.
            NoGo: the pre-flight said no.
        """
        earlier = self._earlier()
        probes = self._options.preflight
        reason = self._why_not_probed(resumed, earlier)
        if probes and reason is not None:
            self._tell(f"no pre-flight: {reason}")
            probes = False
        if not (probes or self._options.watch):
            return
        unfit: list[str] = []
        candidates = list(self._candidates())
        for goal in candidates:
            reason = self._unfit(goal)
            if reason is None and probes:
                reason = self._probe(goal)
            if reason is None:
                self._goal = goal
                break
            unfit.append(reason)
            if goal is candidates[-1] and not self._options.goals and self._reported:
                candidates += self._reported_goal(tried=candidates)
        if self._goal is None:
            self._refuse(unfit)
        if self._before is not None:
            self._obey(self._before)
        elif earlier.report is not None and self._goal is not None and not resumed:
            same = earlier.report.goal.metric == self._goal.metric
            self._before = earlier.report if same else None

    def _earlier(self) -> Earlier:
        """What was found before a launcher started the program anew, on every rank.

        Raises:
            Refusal: it was refused.
        """
        before = self._journal.earlier(self._number) if self._ranks.is_main else Earlier()
        earlier = self._ranks.from_main(before)
        if earlier.refused is not None:
            self._tell("not started: the launcher restarts a run that was refused before")
            raise refusal(earlier.refused)
        return earlier

    def _reported_goal(self, tried: Sequence[Goal]) -> list[Goal]:
        """The goal among the metrics that an evaluation was found to report, once."""
        metric = choose_metric(self._reported)
        if metric is None or any(goal.metric == metric for goal in tried):
            return []
        return [Goal.parse(Goal(metric), kind=self._options.kind)]

    def _why_not_probed(self, resumed: bool, earlier: Earlier) -> str | None:
        if resumed:
            return "the run resumes from a checkpoint"
        if earlier.report is not None:
            return "the launcher restarts the run, and it was probed before"
        if self._trainer.model is None:  # after a hyperparameter search
            return "the Trainer has no model until it trains"
        return None

    def _candidates(self) -> tuple[Goal, ...]:
        """Goals to try in turn; once something has been trained, there is always one that fits."""
        goals = self._options.goals
        if not goals:
            kind = self._options.kind
            return tuple(Goal.parse(goal, kind=kind) for goal in own_goals(self._trainer))
        return goals if self._number == 1 else (*goals, *own_goals(self._trainer))

    def _unfit(self, goal: Goal) -> str | None:
        """Why the Trainer's evaluations cannot answer this goal, as far as that is certain."""
        try:
            check_arguments(self._trainer, goal, needs_data=True)
        except WatchArgumentError as error:
            return str(error)
        return None

    def _refuse(self, unfit: list[str]) -> None:
        if self._options.goals and self._number == 1:
            for reason in unfit:
                self._tell(f"not started: {reason}")
            raise WrongUsage
        self._tell(f"neither probed nor watched: {unfit[-1]}")

    def _probe(self, goal: Goal) -> str | None:
        """Pre-flight by one goal; why its evaluations cannot answer the goal, None if they can.

        Ranks agree on the outcome: an answer of one is the answer of all.
        """
        with redirect_stdout(sys.stderr):  # what the program's own functions print in probes
            fault = fault_of(self._preflight, goal)
        wrong = _behind(fault, PreflightArgumentError)
        self._reported = () if wrong is None else wrong.reported
        if self._ranks.any(wrong is not None):
            return str(wrong or f"another rank cannot evaluate {goal.metric}")
        if self._ranks.any(fault is not None):
            self._before = None
            if isinstance(fault, PreflightError):
                self._tell(f"no pre-flight: {fault}")
            else:
                kind = type(fault).__name__
                self._tell(f"the pre-flight failed and is skipped: {kind}: {fault}")
        return None

    def _preflight(self, goal: Goal) -> None:
        fault = fault_of(self._probe_here, goal)
        refused = _behind(fault, PreflightUnsupportedError)
        # One that was refused may have ended the others before they came to it.
        elsewhere = self._ranks.any(refused is not None)
        command = self._journal.command
        # What was trained before this training would have to be trained there as well.
        if elsewhere and command and self._number == 1:
            reason = fault if refused is None else refused.reason
            self._tell(f"{reason}: it is probed in a separate process")
            self._before = probe_elsewhere(command, self._options, goal, self._ranks)
        elif fault is not None:
            raise fault

    def _probe_here(self, goal: Goal) -> None:
        self._before = preflight(
            self._trainer,
            goal=goal,
            budget=self._options.budget,
            seeds=self._options.seeds,
            history=self._options.open_history(),
            rule=self._options.rule,
        )

    def _obey(self, report: RiskReport) -> None:
        """Show what the pre-flight found, and leave the program on a no-go."""
        self._keep(report)
        if self._ranks.is_main:
            show_report(report, console=Console(stderr=True))
        if report.verdict is not Verdict.NO_GO:
            return
        if self._options.action == "stop":
            self._tell("no-go: the training is not started")
            raise NoGo
        self._tell("no-go (--action warn: the training starts nevertheless)")

    # --- during and after -----------------------------------------------------------------------

    @contextmanager
    def watched(self) -> Iterator[None]:
        """The callback is in the Trainer while this lasts; afterwards it has been removed."""
        callback = self._attach()
        try:
            yield
        finally:
            if callback is not None:
                self._trainer.remove_callback(callback)
                callback.close()
                if callback.report is not None:
                    self.stopped = callback.report.stopped_at is not None
                    fault_of(self._finish, callback.report)

    def _attach(self) -> FineTuneRiskCallback | None:
        if self._goal is None or not self._options.watch:
            return None
        attached: list[FineTuneRiskCallback] = []
        fault = fault_of(lambda goal: attached.append(self._callback(goal)), self._goal)
        if fault is not None:
            self._tell(f"the run is not watched: {type(fault).__name__}: {fault}")
        return attached[0] if attached else None

    def _callback(self, goal: Goal) -> FineTuneRiskCallback:
        before = self._before
        callback = FineTuneRiskCallback(
            goal if before is None else before.goal,  # on the scale that the probes showed
            action=self._options.action,
            finish=self._options.finish,
            tolerance=self._options.tolerance,
            history=self._options.open_history(),
            rule=self._options.rule,
            report_dir=self._folder(),
            to_stderr=True,
            goal_chosen=not self._options.goals,
            preflight=before,
        )
        return callback.attach(self._trainer)

    def _finish(self, report: RiskReport) -> None:
        before = self._before
        if before is not None and before.goal.metric == report.goal.metric:
            self._keep(report.after(before))
        elif self._ranks.is_main:
            self._journal.keep_report(self._number, report)  # the callback has written its file

    # --- words and files ------------------------------------------------------------------------

    def _folder(self) -> Path | None:
        """Where this training's reports go; on rank 0, the others write none."""
        if not self._ranks.is_main:
            return self._options.report_dir
        return self._journal.report_folder(self._number)

    def _keep(self, report: RiskReport) -> None:
        if not self._ranks.is_main:
            return
        self._journal.keep_report(self._number, report)
        folder = self._folder()
        if folder is None:
            return
        fault = fault_of(report.save, folder / f"{report.stage}.json")
        if fault is not None:
            self._tell(f"the report was not written: {fault}")

    def _tell(self, message: str) -> None:
        if self._ranks.is_main:
            self._say(message)


def _behind(fault: BaseException | None, kind: type[E]) -> E | None:
    """The error of a kind behind a fault: what another rank's failure ended names its own so."""
    while fault is not None:
        if isinstance(fault, kind):
            return fault
        fault = fault.__cause__
    return None
