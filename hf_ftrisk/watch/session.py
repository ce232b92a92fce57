"""One watched training: from a Trainer's events to looks, and from looks to words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from transformers.trainer_utils import HPSearchBackend

from hf_ftrisk.diagnoses.exploded import ALLOWED
from hf_ftrisk.history.given import add_run, known_runs
from hf_ftrisk.policy.finish import LOST_RATE
from hf_ftrisk.record import Status
from hf_ftrisk.record.settings import declared
from hf_ftrisk.record.trainer_log import no_number
from hf_ftrisk.report import RiskReport
from hf_ftrisk.report.findings import Finish
from hf_ftrisk.report.hints import hint_words
from hf_ftrisk.text import clause, percent
from hf_ftrisk.trainers.memory import peak_memory
from hf_ftrisk.trainers.plan import selection_fault
from hf_ftrisk.trainers.ranks import Ranks
from hf_ftrisk.trainers.tap import Step, Tap
from hf_ftrisk.watch.ending import Ending, LookDecision
from hf_ftrisk.watch.judged import Judged
from hf_ftrisk.watch.lines import Notices
from hf_ftrisk.watch.report import Clock, Progress, watch_report
from hf_ftrisk.watch.setup import Setup, WatchOptions
from hf_ftrisk.watch.trace import Trace
from hf_ftrisk.watch.watcher import NO_EVALUATION, Watcher


class WatchSession:
    """What is known and concluded of one `train()`.

    Args:
        options: what the user asked for.
        setup: what is known of the run before its first step.
        state: its TrainerState as training begins.
        trainer: the Trainer, None if it is not known, or there is none.
        tap: brings each step's values; None: only logged values are seen.
        ranks: the processes that train together.
    """

    def __init__(
        self,
        options: WatchOptions,
        setup: Setup,
        state: Any,
        trainer: Any | None,
        tap: Tap | None,
        ranks: Ranks,
    ) -> None:
        self.options, self.setup = options, setup
        self.trainer, self.tap, self.ranks = trainer, tap, ranks
        self.clock, self.notices = Clock(), Notices(silent=not ranks.is_main)
        self.stopped_at: int | None = None
        self.unsaved = False
        self.pruned: str | None = None
        self._start = self._steps_done = state.global_step
        self._first_losses: list[float] = []
        self._suspect = False
        # Of the evaluations: logged and never told, taken and not looked at, sets told at a step.
        self._untold: tuple[int, dict[str, Any]] | None = None
        self._unlooked = self._has_metric = False
        self._sets_at: tuple[int, int] = (-1, 0)
        self._metric_at = -1
        self._looked_at = -1
        self._told_poor = False
        self._scale_notes = 0
        self.watcher = self._new_watcher(state)
        self.ending = Ending(
            options.goal,
            options.finish,
            acts=options.action == "stop",
            false_stop_rate=options.false_stop_rate,
            saves=setup.saves,
            max_steps=setup.plan.max_steps,
        )
        self._grid = self.watcher.grid()
        self._tell_scale()
        self._greet()
        if tap is not None:
            tap.open()

    def _new_watcher(self, state: Any) -> Watcher:
        """The watcher of this run, with the completed runs of its task."""
        options = self.options
        plan = self.setup.plan.with_baseline(options.goal, options.baseline)
        history = options.history if self.ranks.is_main else None
        runs, more, problems = known_runs(history, plan.task, options.goal.metric)
        for problem in problems:
            self.notices.say(f"[ftrisk] {problem}")
        if more:
            self.notices.tell(f"only the latest {len(runs)} completed runs of this task are used")
        return Watcher(
            plan,
            options.goal,
            Trace(plan, state.log_history, state.global_step),
            runs=runs,
            make_rule=options.make_rule,
            false_stop_rate=options.false_stop_rate,
            forecasts=self.setup.forecasts,
            finish=options.finish,
            tolerance=options.tolerance,
        )

    def close(self) -> None:
        """Stop listening to the Trainer."""
        if self.tap is not None:
            self.tap.close()

    def _greet(self) -> None:
        goal, rule = self.watcher.goal, self.watcher.rule
        text = f"[ftrisk] watching {goal}"
        silent = rule.why_silent(self.watcher.plan)
        if not self.watcher.forecasts:
            text += f"; {clause(NO_EVALUATION)}"
        elif silent is not None and self.options.action == "stop":
            text += f"; {clause(silent)}"
        if self.setup.prob_good is not None:
            text += f"; P(good) by its pre-flight {percent(self.setup.prob_good)}"
        self.notices.say(text)
        if self.options.finish is not None:
            self.notices.say(f"[ftrisk] {self.ending.greeting()}")
        fault = None if self.trainer is None else selection_fault(self.trainer)
        if fault is not None:
            self._tell_selection(fault)

    def _tell_selection(self, fault: str) -> None:
        if self.notices.is_first("selection"):
            self.notices.tell(fault)

    def _tell_scale(self) -> None:
        """What the watcher has learned about the goal's scale, once."""
        for note in self.watcher.notes[self._scale_notes :]:
            self.notices.say(f"[ftrisk] {note}")
        self._scale_notes = len(self.watcher.notes)

    # --- events ---------------------------------------------------------------------------------

    def before_optimizer(self, optimizer: Any) -> None:
        """The gradients are there, the optimizer has not stepped."""
        if self.tap is not None:
            self.tap.before_optimizer(optimizer)

    def end_cool_down(self, state: Any, control: Any) -> None:
        """End the training where its cool-down is over, with a last evaluation and checkpoint."""
        if not self.ending.over(state.global_step):
            return
        control.should_training_stop = True
        control.should_evaluate = control.should_evaluate or self.watcher.forecasts
        control.should_save = control.should_save or self.setup.saves

    def end_step(self, state: Any) -> None:
        """An optimizer step is over."""
        self.clock.end_step()
        self._steps_done = state.global_step
        if self.tap is not None:
            self.tap.end_step(state.global_step)

    def take_logs(self, state: Any, logs: Mapping[str, Any]) -> None:
        """What Trainer logged: all that is seen of the steps when the Trainer is not known."""
        self.clock.mark()
        if any(str(name).startswith("eval_") for name in logs):
            # An evaluation tells its metrics right after it logs them; one that a subclass has
            # made its own may never do so.
            self._untold = (state.global_step, dict(logs))
        if self.tap is not None or "loss" not in logs:
            return
        names = ("loss", "grad_norm", "learning_rate")
        values = {name: float(logs[name]) for name in names if isinstance(logs.get(name), float)}
        self.watcher.trace.add_step(state.global_step, **values)
        self._note_step(
            Step(state.global_step, values.get("loss", 0.0), values.get("grad_norm"), None)
        )

    def saved(self) -> None:
        """A checkpoint was written."""
        self.clock.mark()
        self.unsaved = False

    def _is_optuna_trial(self, state: Any) -> bool:
        """Whether this run is a trial that only this process trains."""
        # With more ranks Trainer shares the next trial after this one's end: it has to come.
        return (
            bool(state.is_hyper_param_search)
            and self.ranks.size == 1
            and self.trainer is not None
            and self.trainer.hp_search_backend == HPSearchBackend.OPTUNA
        )

    def take_metrics(self, state: Any, metrics: Mapping[str, Any] | None) -> None:
        """The metrics of an evaluation; one of another set than the evaluation set is left out."""
        self._untold, self._has_metric = None, False
        if _of_another_set(metrics or {}):
            self.clock.mark()
            return
        self.clock.end_evaluation()
        self._take(state.global_step, metrics or {})

    def _take(self, step: int, metrics: Mapping[str, Any]) -> None:
        names = self.watcher.add_eval(step, metrics)
        if names and self.options.goal_chosen:
            self.watcher.choose(names)
        self._tell_scale()
        self._has_metric = self.watcher.goal.metric in names
        if self._has_metric:
            self._tell_shared_name(step)
        selection = self.watcher.plan.selection
        lacks = selection is not None and selection.metric not in names
        if names and selection is not None and lacks and not self._named_sets():
            self._tell_selection(
                f"The Trainer's metric_for_best_model is {selection.metric}, which the evaluation "
                "does not report: the Trainer fails here. Name one that it reports."
            )
        if not self._has_metric and self._all_sets_evaluated(step):
            self._tell_missing_metric(names, metrics)

    def _tell_shared_name(self, step: int) -> None:
        """That several named sets report the goal's metric by one name (TRL's rewards), once."""
        again, self._metric_at = self._metric_at == step, step
        if not again or self.trainer is None or not self._named_sets():
            return
        metric, sets = self.watcher.goal.metric, sorted(map(str, self.trainer.eval_dataset))
        if any(metric.startswith(f"eval_{name}_") for name in sets):
            return  # evaluated once more at this step
        if self.notices.is_first("shared name"):
            self.notices.tell(
                f"the evaluation of each named set ({', '.join(sets)}) reports {metric} by the "
                "same name: the value of the last one counts. Give the Trainer the one set that "
                f"is to judge the run, or a goal that names its set, such as eval_{sets[0]}_loss"
            )

    def _tell_missing_metric(self, reported: tuple[str, ...], metrics: Mapping[str, Any]) -> None:
        """That no evaluation reports the goal's metric, and what they report instead, once."""
        if not self.notices.is_first("missing metric"):
            return
        metric = self.watcher.goal.metric
        if metric in metrics:
            self.notices.tell(f"the evaluation reports {metric} as {no_number(metrics[metric])}")
        elif self._named_sets():
            names = ", ".join(sorted(self.watcher.trace.metrics)) or "no number"
            self.notices.tell(f"no set's evaluation reports {metric}; they report: {names}")
        else:
            names = ", ".join(sorted(reported)) or "no number"
            self.notices.tell(f"the evaluation reports no {metric}; it reports: {names}")

    def _all_sets_evaluated(self, step: int) -> bool:
        """Whether every named evaluation set, or the only one, has been evaluated at this step."""
        at, n_sets = self._sets_at
        self._sets_at = (step, n_sets + 1 if at == step else 1)
        sets = self.trainer.eval_dataset if self.trainer is not None else None
        n_expected = len(sets) if isinstance(sets, dict) else 1
        never = self.watcher.goal.metric not in self.watcher.trace.metrics
        return self._sets_at[1] >= n_expected and never

    def _named_sets(self) -> bool:
        return self.trainer is not None and isinstance(self.trainer.eval_dataset, dict)

    def fetch(self) -> None:
        """Bring the steps' values over from the device and into the trace.

        An evaluation that was logged and never told is taken too: a subclass evaluates in its own
        way.
        """
        unheard, self._untold = self._untold, None
        if unheard is not None:
            self._take(*unheard)
            self._unlooked = self._unlooked or self._has_metric
        if self.tap is None:
            return
        for step in self.tap.fetch(self.ranks.mean):
            self.watcher.trace.add_step(step.step, step.loss, step.grad_norm, step.learning_rate)
            self._note_step(step)

    def _note_step(self, step: Step) -> None:
        """Whether a step gives reason to look for a certain failure, or to warn at once."""
        norm = step.grad_norm
        non_finite = not math.isfinite(step.loss)
        # A fp16 scaler looks for its scale by infinite gradients: those steps are skipped.
        scaled = self.watcher.plan.settings.get("precision") == "fp16"
        exploded = norm is not None and not math.isfinite(norm)
        if not non_finite and len(self._first_losses) < 2:
            self._first_losses.append(step.loss)
        risen = step.loss > min(ALLOWED) * max(self._first_losses, default=math.inf)
        self._suspect = non_finite or exploded or norm == 0.0 or risen
        if (non_finite or (exploded and not scaled)) and self.notices.is_first("not finite"):
            what = f"training loss is {step.loss}" if non_finite else f"gradient norm is {norm}"
            self.notices.notes.append(f"At step {step.step} the {what}.")
            self.notices.say(f"[ftrisk {step.step}] the {what}")

    # --- looks ----------------------------------------------------------------------------------

    def checks(self, step: int) -> bool:
        """Whether the ranks meet after this step."""
        return step % self.options.check_steps == 0 or step in self._grid

    def awaits_evaluation(self, state: Any, control: Any) -> bool:
        """Whether an evaluation of this step is still to come, and with it the look."""
        if control.should_evaluate:
            return True
        return self.setup.evaluates_at_epochs and float(state.epoch or 0.5).is_integer()

    def look_at_step(self, state: Any, control: Any) -> LookDecision | None:
        """What is decided by the look, or the check, that is due after a step; None: none is."""
        step = state.global_step
        due = step in self._grid and not self.awaits_evaluation(state, control)
        if due or self._unlooked:
            self._unlooked = False
            return self._decide(self.watcher.judge(step), state)
        return self._decide(self.watcher.check(step), state) if self._suspect else None

    def look_at_evaluation(self, state: Any, control: Any) -> LookDecision | None:
        """What is decided by the look that an evaluation brings; None: it brings none."""
        step = state.global_step
        if step >= self.watcher.plan.max_steps:
            return None
        # Where several sets are evaluated in turn, the goal's own brings the look.
        due = step in self._grid and step != self._looked_at and not self._named_sets()
        if not (self._has_metric or due):
            return None
        self._looked_at = step
        return self._decide(self.watcher.judge(step), state)

    def _decide(self, judged: Judged | None, state: Any) -> LookDecision | None:
        """From a look to what is done about it."""
        if judged is None:
            return None
        if judged.finish is not None and self.ending.waits:
            return self._finished(judged, judged.finish)
        if judged.finish is not None and self.options.finish is None:
            words = hint_words(judged.finish, self.watcher.goal, self.watcher.plan.max_steps)
            message = f"[ftrisk] {words} finish='gain' would end it here."
            return LookDecision(judged, message=message)
        if not judged.poor or self._told_poor:
            return LookDecision(judged)
        if self.options.action == "warn":
            message = f"[ftrisk] this run looks poor; it goes on. {judged.paragraph()}"
            return LookDecision(judged, message=message)
        message = f"[ftrisk] stopping this run. {judged.paragraph()}"
        trial = self._is_optuna_trial(state)
        if trial and not self._search_has_result():
            trial = False
            message += (
                " No trial of this search has completed yet: this one ends as it is instead of "
                "being pruned, so that the search has a result."
            )
        return LookDecision(
            judged,
            stop=True,
            save=self._saves(judged),
            message=message,
            prune=judged.paragraph() if trial else None,
        )

    def _search_has_result(self) -> bool:
        """Whether a trial of the search has completed: Optuna has no best trial without one."""
        from optuna.trial import TrialState

        assert self.trainer is not None
        study = self.trainer._trial.study
        return bool(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))

    def _finished(self, judged: Judged, finish: Finish) -> LookDecision:
        """What is done about a run that has nothing more to gain."""
        cool_down = self.ending.cools(finish, self._steps_done)
        if finish.way == "anneal" and cool_down is None:
            return LookDecision(judged)  # the schedule ends sooner than that
        message = f"[ftrisk] {self.ending.words(finish, cool_down)}"
        if not self.ending.acts:
            return LookDecision(judged, message=message)
        return LookDecision(
            judged,
            save=self._saves(judged),
            message=message,
            finish=finish,
            cool_down=cool_down,
        )

    def _saves(self, judged: Judged) -> bool:
        """Whether a stop asks for a checkpoint; never of weights that a failure has ruined."""
        if judged.ruling.certain:
            return False
        save_on_stop = self.options.save_on_stop
        return self.setup.saves if save_on_stop is None else save_on_stop

    def take(self, decided: LookDecision, state: Any) -> None:
        """Keep a look, and say it."""
        judged, last = decided.judged, self.watcher.last
        self.watcher.take(judged)
        if judged.look is not None and (last is None or not judged.repeats(last)):
            line = judged.line(self.watcher.goal, self.watcher.plan.max_steps)
            self.notices.say(line, passing=True)
        if decided.message is not None:
            self._told_poor = self._told_poor or judged.poor
            self.ending.told = self.ending.told or judged.finish is not None
            self.notices.say(decided.message)
        if decided.finish is not None:
            self.ending.finish, self.ending.cool_down = decided.finish, decided.cool_down
            self.unsaved = decided.save and decided.cool_down is None
        if decided.stop:
            self.stopped_at, self.unsaved = state.global_step, decided.save
            self.pruned = decided.prune

    # --- the end --------------------------------------------------------------------------------

    def status(self, state: Any) -> Status:
        """How the run stands when training ends."""
        return "finished" if state.global_step >= state.max_steps else "stopped"

    def report(self, state: Any, status: Status = "running") -> RiskReport:
        """The report as of now."""
        progress = Progress(
            step=state.global_step,
            status=status,
            stopped_at=self.stopped_at,
            finish=self.ending.finish,
            evaluations=self.setup.evaluations,
            peak_memory=peak_memory(self.setup.device, None),
            flops=float(state.total_flos) or None,
            notes=tuple(self.notices.notes),
            settings=declared(
                action=self.options.action,
                false_stop_rate=self.options.false_stop_rate,
                lost_rate=LOST_RATE if self.options.finish is not None else None,
                ranks=self.ranks.size,
                every_step_seen=self.tap is not None,
                resumed_at=self._start or None,
            ),
        )
        return watch_report(self.watcher, self.clock, progress)

    def remember(self, report: RiskReport) -> None:
        """Add the run to the history; a run that saw nothing leaves no trace."""
        run = report.run
        if run is None or run.last_step == 0:
            return
        for line in add_run(self.options.history, run):
            self.notices.say(f"[ftrisk] {line}")


def _of_another_set(metrics: Mapping[str, Any]) -> bool:
    """Whether these are metrics of another set, by their prefix ("train", "test")."""
    timed = [str(name) for name in metrics if str(name).endswith("_runtime")]
    return bool(timed) and not any(name.startswith("eval_") for name in timed)
