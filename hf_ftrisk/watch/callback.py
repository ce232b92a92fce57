"""FineTuneRiskCallback: watches a Trainer's run, forecasts its end, stops it when it is poor.

The callback never breaks a run: whatever fails inside is caught in `_guard`, told once, and ends
the watching, not the training. Only arguments that cannot work are raised, before training starts.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from transformers import Trainer, TrainerCallback

from hf_ftrisk.errors import PeerFailedError, WatchArgumentError
from hf_ftrisk.failopen import attempt
from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import history_of
from hf_ftrisk.policy import RuleMaker, rule_maker
from hf_ftrisk.record import RunRecord, Status
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.findings import FinishWay
from hf_ftrisk.report.preflight_findings import PreflightFindings
from hf_ftrisk.trainers.plan import check_arguments
from hf_ftrisk.trainers.ranks import Ranks
from hf_ftrisk.trainers.reach import calling_trainer, holds, training_call
from hf_ftrisk.trainers.tap import StepTap
from hf_ftrisk.watch.ending import LookDecision
from hf_ftrisk.watch.judged import Judged
from hf_ftrisk.watch.outputs import Outputs, log_quietly
from hf_ftrisk.watch.session import WatchSession
from hf_ftrisk.watch.setup import Action, Setup, WatchOptions

P = ParamSpec("P")
T = TypeVar("T")
Decide = Callable[[Any, Any], LookDecision | None]

_log = logging.getLogger(__name__)
_PASSING = (WatchArgumentError,)


class FineTuneRiskCallback(TrainerCallback):
    """Watches a run: forecasts its end at every evaluation, stops it when it is predicted poor.

    Add it like any callback, ``trainer.add_callback(FineTuneRiskCallback("eval_accuracy>=0.85"))``,
    or with `attach`, which refuses unusable arguments at once instead of when training begins.

    Forecasts appear in the run's own trackers as ``ftrisk/...`` and as one line a look. A run is
    stopped by a failure that is certain, such as a loss that stays NaN, or by the stopping rule,
    whose chance of stopping a good run is bounded over all looks by `false_stop_rate` on completed
    runs of the task, and measured on other tasks on packaged ones (docs/evidence/policy.md).

    Args:
        goal: what the run is judged by: a `Goal`, or ``"eval_accuracy>=0.85"``, or a metric alone.
        action: ``"stop"``: end a poor run; ``"warn"``: say so and go on.
        history: completed runs: a `RunHistory` or its file, from which those of the same task are
            taken and to which this run is added; or the runs of this task themselves;
            ``"default"``: those that are remembered by default (docs/guides/history.md), unless
            ``HF_FTRISK_HISTORY=off``; None or ``"off"``: none, and this run is not remembered.
        report_dir: folder the report is written to at every look, ``watch.json``; None: nowhere.
        false_stop_rate: allowed chance that a good run is stopped, in (0, 1).
        rule: what ends a run: ``"calibrated"`` (`StoppingRule`), another name of
            `hf_ftrisk.policy.RULES`, such as ``"patience"``, which bounds no rate, or a
            `hf_ftrisk.policy.RuleMaker` of your own.
        task: name under which runs are comparable; None: made from model and data.
        check_steps: optimizer steps between two checks for certain failures; the device is waited
            for once in so many steps.
        save_on_stop: whether a stop asks for a checkpoint; None: if the run saves any. Weights
            that a certain failure has ruined are never saved.
        finish: end a run before its plan. ``"gain"``: when the rest is not expected to gain more
            than `tolerance`, so that at most 5 % of runs lose more; ``"goal"``: when its target
            holds and the forecast keeps it; ``"anneal"``: like ``"gain"``, but the learning rate
            first falls to zero over a tenth of the steps so far; None: it is only told
            (docs/guides/finishing.md).
        tolerance: gain that is too small to train on for, in the metric's units; None: one
            point of a rate, 2 % of a loss.
        to_stderr: write to standard error: for programs that do not know of this callback.
        log_history: also write the forecasts into ``state.log_history``, and tell every callback
            of them, not the trackers alone.
        goal_chosen: nobody asked for the goal: where the evaluations do not report its metric, the
            run is judged by one that they do report.
        baseline: value of a trivial predictor, where it is known.
        preflight: report whose baseline and signals are taken over; None: that of the pre-flight
            of the same Trainer in this process, if there was one.

    Raises:
        ValueError: an argument outside its range, or no rule of this name.
        TypeError: a history or a rule of another type.

    Examples:
        >>> callback = FineTuneRiskCallback("eval_accuracy>=0.85", history="runs.db")
        >>> callback = callback.attach(trainer)
        >>> result = trainer.train()
        >>> print(callback.report.verdict)
        GO
    """

    def __init__(
        self,
        goal: Goal | str = "eval_loss",
        action: Action = "stop",
        history: RunHistory | str | os.PathLike[str] | Iterable[RunRecord] | None = "default",
        report_dir: str | os.PathLike[str] | None = None,
        false_stop_rate: float = 0.05,
        *,
        rule: str | RuleMaker = "calibrated",
        task: str | None = None,
        check_steps: int = 20,
        save_on_stop: bool | None = None,
        finish: FinishWay | None = None,
        tolerance: float | None = None,
        to_stderr: bool = False,
        log_history: bool = False,
        goal_chosen: bool = False,
        baseline: float | None = None,
        preflight: RiskReport | None = None,
    ) -> None:
        self._options = WatchOptions(
            goal=Goal.parse(goal),
            action=action,
            history=history_of(history),
            report_dir=None if report_dir is None else Path(report_dir),
            false_stop_rate=false_stop_rate,
            make_rule=rule_maker(rule),
            task=task,
            check_steps=check_steps,
            save_on_stop=save_on_stop,
            finish=finish,
            tolerance=tolerance,
            to_stderr=to_stderr,
            log_history=log_history,
            goal_chosen=goal_chosen,
            baseline=baseline,
            preflight=None if preflight is None else PreflightFindings.of(preflight),
        )
        self._session: WatchSession | None = None
        self._fault: Exception | None = None
        self._report: RiskReport | None = None
        self._state: Any = None
        self._runs = 0
        self._outputs: Outputs

    def attach(self, trainer: Trainer) -> FineTuneRiskCallback:
        """Add the callback to a Trainer, after checking that the goal can be measured on it.

        Returns:
            The callback itself.

        Raises:
            WatchArgumentError: the Trainer's evaluations cannot report the goal's metric, or the
                Trainer is told the opposite direction for it.
        """
        check_arguments(trainer, self._options.goal)
        if not holds(trainer, self):
            trainer.add_callback(self)
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Everything but the run being watched: Ray and others copy a Trainer before it trains."""
        kept = {name: value for name, value in vars(self).items() if name != "_outputs"}
        return {**kept, "_session": None, "_state": None}

    def close(self) -> None:
        """Stop watching and give the Trainer's methods back, where a training ended by an error.

        They are given back by themselves as soon as nothing holds the failed call any more.
        """
        self._switch_off()

    @property
    def goal(self) -> Goal:
        """What the run is judged by, on the scale on which it reports its metric."""
        if self._session is not None:
            return self._session.watcher.goal
        return self._options.goal if self._report is None else self._report.goal

    @property
    def report(self) -> RiskReport | None:
        """The report as of now; None before the first training, and while rank 0 alone has it."""
        session = self._session
        if session is not None and self._fault is None and session.ranks.is_main:
            self._guard(self._keep_report, session, "running")
        return self._report

    # --- the seam -------------------------------------------------------------------------------

    def _guard(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `work` returns; a fault of ours ends the watching and nothing else."""
        return attempt(work, self._fail, _PASSING, *args, **kwargs)

    def _fail(self, error: Exception) -> None:
        if self._fault is not None:
            return
        self._fault = error
        if isinstance(error, PeerFailedError):
            _log.warning("[ftrisk] this run is no longer watched: %s", error)
        else:
            _log.warning(
                "[ftrisk] this run is no longer watched, the training goes on: %s: %s",
                type(error).__name__,
                error,
            )
        _log.debug("[ftrisk] fault in the watching", exc_info=error)
        session = self._session
        if session is not None and session.ranks.is_main:
            self._guard(self._report_fault, session, error)
        if session is None or session.ranks.size == 1:
            self._switch_off()  # otherwise the other ranks have to hear of it first

    def _report_fault(self, session: WatchSession, error: Exception) -> None:
        note = f"Watching ended early, by an error in hf_ftrisk: {type(error).__name__}."
        session.notices.notes.append(note)
        # A run that had ended when its report could not be kept somewhere has ended all the same.
        run = None if self._report is None else self._report.run
        self._keep_report(session, "running" if run is None else run.status)

    def _switch_off(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._guard(session.close)
            self._guard(self._outputs.close)

    def _agreed(self, session: WatchSession) -> bool:
        """Whether the watching goes on, on all ranks: one that has a fault ends it for all."""
        if not session.ranks.any(self._fault is not None):
            return True
        if self._fault is None:
            _log.warning("[ftrisk] this run is no longer watched: watching failed on another rank")
        self._switch_off()
        return False

    # --- a Trainer's events ---------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A training starts, or starts over."""
        self._switch_off()
        self._fault, self._report = None, None
        self._runs += 1
        self._guard(self._begin, args, state, kwargs)

    def _begin(self, args: Any, state: Any, kwargs: Mapping[str, Any]) -> None:
        self._outputs = Outputs(self._options, self._runs)
        ranks = Ranks(args.device)
        self._guard(self._open, args, state, kwargs, ranks)
        session = self._session
        if ranks.any(session is None):
            self._switch_off()
        elif session is not None and session.trainer is not None and session.ranks.is_main:
            self._guard(self._outputs.open, bars=not args.disable_tqdm)
        self._speak()

    def _open(self, args: Any, state: Any, kwargs: Mapping[str, Any], ranks: Ranks) -> None:
        trainer = calling_trainer(self)
        if trainer is not None and not self._options.goal_chosen:
            check_arguments(trainer, self._options.goal)
        self._state = state
        if state.max_steps <= 0:
            if ranks.is_main:
                _log.warning("[ftrisk] this run plans no steps: there is nothing to watch")
            return
        setup = Setup.of_trainer(self._options, args, state, kwargs, trainer)
        tap = None if trainer is None else StepTap(trainer, self._guard)
        self._session = WatchSession(self._options, setup, state, trainer, tap, ranks)
        call = None if trainer is None else training_call(trainer)
        if call is not None:
            # A training that ends by an exception tells its callbacks nothing.
            weakref.finalize(call, self._guard, self._session.close).atexit = False

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The gradients of a step are complete."""
        session = self._session
        if session is None:
            return
        # On every rank, also on one that has a fault: their rates have to agree.
        if session.ending.cool_down is not None:
            self._guard(session.ending.cool, kwargs["optimizer"], state.global_step)
        if self._fault is None:
            self._guard(session.before_optimizer, kwargs["optimizer"])

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step is over."""
        session = self._session
        if session is None:
            return
        if self._fault is None:
            self._guard(session.end_step, state)
        if self._guard(session.checks, state.global_step):
            self._guard(self._look, session, session.look_at_step, state, control)
        if session.ending.cool_down is not None:
            self._guard(session.end_cool_down, state, control)
        self._prune(args, state, control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Trainer has logged."""
        session = self._session
        if session is None or self._fault is not None:
            return
        self._guard(session.take_logs, state, logs or {})
        if session.trainer is not None and "train_runtime" in (logs or {}):
            # The last log of a training: its trackers are closed when it ends.
            self._guard(self._outputs.draw, session.trainer, lambda: self.report)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any
    ) -> None:
        """An evaluation is over."""
        session = self._session
        if session is None:
            return
        if self._fault is None:
            self._guard(session.take_metrics, state, metrics)
        self._guard(self._look, session, session.look_at_evaluation, state, control)
        self._prune(args, state, control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An epoch is over, or was left by a stop."""
        # save_strategy="best" withdraws what a look asked for at an evaluation.
        if self._session is not None and self._session.unsaved:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A checkpoint was written."""
        if self._session is not None:
            self._guard(self._session.saved)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Training is over."""
        if self._session is not None:
            self._guard(self._finish, self._session, state)
            self._switch_off()

    # --- looks ----------------------------------------------------------------------------------

    def _look(self, session: WatchSession, decide: Decide, state: Any, control: Any) -> None:
        """Fetch, judge on rank 0, and do on every rank what it decided.

        Between here and the last line every rank makes the same collective calls, whatever fails.
        """
        if not self._agreed(session):
            return
        self._guard(session.fetch)
        decided: LookDecision | None = None
        if session.ranks.is_main and self._fault is None:
            decided = self._guard(decide, state, control)
        failed, decided = session.ranks.from_main((self._fault is not None, decided))
        if failed:
            self._switch_off()
        elif decided is not None:
            if decided.ends:
                control.should_training_stop = True
                control.should_save = control.should_save or decided.save
            self._guard(session.take, decided, state)
            self._guard(self._publish, session, decided.judged, control)
            if session.trainer is not None:
                self._guard(self._outputs.alert, session.trainer, decided)
        self._speak()

    def _publish(self, session: WatchSession, judged: Judged, control: Any) -> None:
        """The look to the run's trackers, and the report to its folder."""
        logs = judged.logs()
        if logs and session.trainer is not None:
            everyone = self._options.log_history
            log_quietly(session.trainer, control, logs, own=type(self), everyone=everyone)
        if self._options.report_dir is not None and session.ranks.is_main:
            self._report = session.report(self._state)
            self._outputs.save(self._report)

    def _prune(self, args: Any, state: Any, control: Any) -> None:
        """End a stopped trial as Trainer ends one that Optuna prunes."""
        session = self._session
        if session is None or session.pruned is None or session.trainer is None:
            return
        from optuna import TrialPruned

        session.trainer.callback_handler.on_train_end(args, state, control)
        raise TrialPruned(session.pruned)

    def _speak(self) -> None:
        if self._session is not None:
            self._guard(self._outputs.say, self._session.notices)

    # --- the end --------------------------------------------------------------------------------

    def _finish(self, session: WatchSession, state: Any) -> None:
        if not self._agreed(session):
            return
        self._guard(session.fetch)
        if session.ranks.is_main and self._fault is None:
            self._guard(self._conclude, session, state)
        self._report = session.ranks.from_main(self._report)

    def _conclude(self, session: WatchSession, state: Any) -> None:
        self._report = session.report(self._state, session.status(state))
        self._speak()
        self._outputs.show(self._report)
        session.remember(self._report)
        self._speak()
        self._outputs.save(self._report)

    def _keep_report(self, session: WatchSession, status: Status) -> None:
        self._report = session.report(self._state, status)
