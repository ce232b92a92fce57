"""From the run so far to looks, rulings and a report. No torch, no transformers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hf_ftrisk.diagnoses.advice import on_poor_outcome
from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.diagnoses.rates import GoodRates
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.goal.metric_names import choose_metric
from hf_ftrisk.goal.metric_scale import goal_for_values, rescaled
from hf_ftrisk.policy import Rule, RuleMaker, default_rule, look_steps
from hf_ftrisk.policy.parts.findings import NO_SIGNAL
from hf_ftrisk.policy.parts.rule import watch_rule
from hf_ftrisk.policy.parts.watching import concern
from hf_ftrisk.policy.ruling import Ruling, held_if_unsure, held_without_value
from hf_ftrisk.record import RunRecord
from hf_ftrisk.report import Look
from hf_ftrisk.report.findings import FinishWay
from hf_ftrisk.verdict import Diagnosis, Verdict
from hf_ftrisk.watch.finishing import Finisher
from hf_ftrisk.watch.judged import Judged
from hf_ftrisk.watch.risk_curve import Risk, risk_of_history, risk_of_looks
from hf_ftrisk.watch.trace import Trace

# Share of the run's time that the risk curve may take: it decides nothing, so it can wait.
_RISK_SHARE = 0.002

# A failure is certain when it has lasted. Policies count logs, and here every step is one: a few
# batches without a label, or a spike, would do.
MIN_STEPS = 10

# What is forecast when nothing is evaluated.
TRAIN_LOSS = Goal("train_loss")
NO_EVALUATION = (
    "Nothing is evaluated during this run, so its goal cannot be forecast: the training loss is "
    "forecast instead, and only certain failures are recognized."
)


@dataclass
class Watcher:
    """One watched run.

    Args:
        plan: the run before its first step.
        goal: what it is judged by.
        rule: says when it is poor.
        trace: its values so far.
        runs: completed runs of the same task.
        forecasts: whether the goal's metric is measured on the way at all.
        forecaster: built from `runs`.
        notes: what was learned about the goal's scale, one sentence each.
        finisher: says when it has nothing more to gain.
    """

    plan: RunRecord
    goal: Goal
    rule: Rule
    trace: Trace
    runs: tuple[RunRecord, ...] = ()
    forecasts: bool = True
    forecaster: Forecaster = field(default_factory=Forecaster)
    finisher: Finisher | None = None
    judged: list[Judged] = field(default_factory=list)
    failure: Judged | None = None
    notes: list[str] = field(default_factory=list)
    false_stop_rate: float = 0.05
    make_rule: RuleMaker = default_rule
    _requested_goal: Goal | None = None
    _given_baseline: float | None = None
    _risk: Risk | None = None
    _history_tried: bool = False
    _risk_of_history: bool = False
    _began: float = field(default_factory=time.perf_counter)
    _risk_seconds: float = 0.0

    @classmethod
    def of(
        cls,
        plan: RunRecord,
        goal: Goal,
        trace: Trace,
        *,
        runs: Sequence[RunRecord] = (),
        make_rule: RuleMaker = default_rule,
        false_stop_rate: float = 0.05,
        forecasts: bool = True,
        finish: FinishWay | None = None,
        tolerance: float | None = None,
    ) -> Watcher:
        """A watcher with the rule made for this run.

        Args:
            plan: the run before its first step.
            goal: what it is judged by.
            trace: its values so far.
            runs: completed runs of the same task.
            make_rule: makes the stopping rule.
            false_stop_rate: allowed chance that a good run is stopped.
            forecasts: whether the goal's metric is measured on the way at all.
            finish: how the run ends when it has nothing more to gain; None: it does not.
            tolerance: gain that is too small to train on for, in the metric's units.
        """
        forecaster = Forecaster.default(runs or None)
        watcher = cls(
            plan,
            goal,
            make_rule(goal, forecaster, runs, false_stop_rate),
            trace,
            tuple(runs),
            forecasts,
            forecaster,
            Finisher(goal, finish, () if finish is None else runs, tolerance),
            false_stop_rate=false_stop_rate,
            make_rule=make_rule,
        )
        watcher._requested_goal, watcher._given_baseline = goal, plan.baseline(goal)
        values = [value for run in runs for value in run.curve(goal.metric)[1].tolist()]
        watcher._take_scale(*goal_for_values(goal, values))
        if goal.kind == "percent" and watcher.goal.unit == 1.0:
            # What the task's runs show of a target counts before this run's first value.
            watcher._requested_goal = watcher.goal
            if watcher._given_baseline is not None:
                watcher._given_baseline = rescaled(watcher._given_baseline, goal, watcher.goal)
        return watcher

    @property
    def last(self) -> Judged | None:
        """The last look, None before the first."""
        return self.judged[-1] if self.judged else None

    def add_eval(self, step: int, metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Take an evaluation's metrics; that of the untrained model is a baseline too."""
        names = self.trace.add_eval(step, metrics)
        if self.goal.metric in names:
            assert self._requested_goal is not None
            self._take_scale(*self._scale_of(self._requested_goal))
            if step == 0:
                self._learn_baseline()
        return names

    def choose(self, names: Sequence[str]) -> None:
        """Judge by a metric that is reported, where nobody asked for the goal and its is not."""
        if self.goal.metric in self.trace.metrics:
            return
        metric = choose_metric(names)
        if metric is None:
            return
        goal = Goal(metric)
        note = f"{self.goal.metric} is not reported: the run is judged by {metric}."
        self._requested_goal, self._given_baseline = goal, self.trace.plan.baseline(goal)
        if self.finisher is not None:
            self.finisher.goal = goal
        fitted, scale = self._scale_of(goal)
        self._take_scale(fitted, note if scale is None else f"{note} {scale}")

    def _scale_of(self, requested: Goal) -> tuple[Goal, str | None]:
        """The goal that was asked for on the scale of all values so far."""
        return self.trace.record().goal_scale(requested, trivial=self._given_baseline)

    def _take_scale(self, goal: Goal, note: str | None) -> None:
        """The goal as it is reported: rule and baseline follow, and it is told once."""
        if goal == self.goal:
            return
        self.goal = goal
        self.rule = self.make_rule(goal, self.forecaster, self.runs, self.false_stop_rate)
        self._learn_baseline()
        if note is not None and note not in self.notes:
            self.notes.append(note)

    def _learn_baseline(self) -> None:
        """The trivial predictor's value, or the untrained model's where labels tell none.

        What was known before the run is on the scale of the goal that was asked for.
        """
        goal, plan, baseline = self.goal, self.trace.plan, self._given_baseline
        assert self._requested_goal is not None
        if baseline is not None:
            baseline = rescaled(baseline, self._requested_goal, goal)
        steps, values = self.trace.record().curve(goal.metric)
        if steps.size and steps[0] == 0:
            untrained = trivial_baseline(goal, untrained=float(values[0]))
            # A loss may be bounded by the labels' entropy and by the model as it came.
            bounded = goal.metric.endswith("loss") and not goal.greater_is_better
            if untrained is not None and (
                baseline is None or (bounded and goal.is_better(untrained, baseline))
            ):
                baseline = untrained
        if baseline is not None:
            self.trace.plan = replace(plan, baselines={**plan.baselines, goal.metric: baseline})

    def grid(self) -> frozenset[int]:
        """Steps that are looked at without an evaluation."""
        return frozenset(look_steps(self.plan.max_steps).tolist())

    def judge(self, step: int) -> Judged | None:
        """A look at the run after `step` steps.

        Args:
            step: optimizer steps seen.

        Returns:
            None when there is nothing to forecast from: neither evaluations nor a training loss.
        """
        record = self.trace.record()
        if not self.forecasts:
            return self._judge_training_loss(step, record)
        ruling = self.rule.judge(record)
        forecast = ruling.forecast or self.forecaster.predict(record, self.goal)
        steps, values = record.curve(self.goal.metric)
        observed = float(values[-1]) if steps.size and steps[-1] == step else None
        baseline = record.baseline(self.goal)
        look = Look.of(step, forecast, self.goal, baseline=baseline, observed=observed)
        if ruling.certain and lasting_failure(record, self.goal) is None:
            ruling = Ruling(Verdict.UNDECIDED, ruling.reason, prob_good=look.prob_good)
        ruling = held_if_unsure(ruling, self.goal, values)
        ruling = held_without_value(ruling, self.goal, record)
        risk = self._risk_so_far(step, forecast)
        poor = ruling.verdict is Verdict.NO_GO
        advice = (ruling.advice or self._advice(record)) if poor else None
        finish = None if poor or self.finisher is None else self.finisher.look(record, forecast)
        return Judged(step, ruling, look, forecast, risk, advice, finish=finish)

    def _judge_training_loss(self, step: int, record: RunRecord) -> Judged | None:
        """Without evaluations: the training loss stands in, and can make no run poor."""
        losses = self.training_loss(step, record)
        if losses is None:
            return None
        failure = lasting_failure(record, self.goal)
        forecast = self.forecaster.predict(losses, TRAIN_LOSS)
        observed = float(losses.evals[TRAIN_LOSS.metric][-1])
        look = Look.of(step, forecast, TRAIN_LOSS, baseline=None, observed=observed)
        ruling = (
            Ruling(Verdict.UNDECIDED, NO_EVALUATION)
            if failure is None
            else Ruling(Verdict.NO_GO, failure.message, certain=True)
        )
        advice = None if failure is None else failure.advice
        finish = None
        if self.finisher is not None and failure is None:
            finish = self.finisher.look(record, None)
        return Judged(
            step, ruling, look, forecast, advice=advice, of_train_loss=True, finish=finish
        )

    def training_loss(self, step: int, record: RunRecord) -> RunRecord | None:
        """The record with the mean training loss before each look as its evaluations.

        Args:
            step: the look at hand; its value is the mean since the step of the grid before it.
            record: the run so far.

        Returns:
            None while there is no loss above 0.
        """
        steps, losses = record.finite_losses()
        ends = [end for end in sorted(self.grid() | {step}) if 0 < end <= step]
        means: dict[int, float] = {}
        for begin, end in zip([0, *ends], ends, strict=False):
            inside = losses[(steps > begin) & (steps <= end)]
            if inside.size:
                means[end] = float(inside.mean())
        if not means or min(means.values()) <= 0:
            return None
        return replace(
            record,
            eval_step=np.array(list(means), dtype=np.float64),
            evals={TRAIN_LOSS.metric: np.array(list(means.values()))},
            nan_steps={},
        )

    def check(self, step: int) -> Judged | None:
        """A certain failure at `step`, None while there is none; costs no forecast."""
        record = self.trace.record()
        failure = lasting_failure(record, self.goal)
        if failure is None:
            return None
        ruling = Ruling(Verdict.NO_GO, failure.message, certain=True)
        return Judged(step, ruling, advice=failure.advice)

    def take(self, judged: Judged) -> None:
        """Keep what was concluded."""
        if judged.look is not None:
            self.judged.append(judged)
        if judged.ruling.certain:
            self.failure = judged
        if judged.risk is not None:
            self._risk = judged.risk

    def risk(self, *, anew: bool) -> Risk | None:
        """Risk curve, decomposition and c*.

        Args:
            anew: of all looks so far; otherwise as it was fitted last.
        """
        return self._fit_risk(self._variances()) if anew else self._risk

    def _variances(self) -> list[tuple[int, float]]:
        """(step, predictive variance) of the looks at the goal."""
        return [
            (judged.step, judged.forecast.std**2)
            for judged in self.judged
            if judged.forecast is not None and not judged.of_train_loss
        ]

    def _risk_so_far(self, step: int, forecast: Forecast) -> Risk | None:
        elapsed = time.perf_counter() - self._began
        if self._risk is not None and self._risk_seconds > _RISK_SHARE * elapsed:
            return self._risk
        return self._fit_risk([*self._variances(), (step, forecast.std**2)])

    def _fit_risk(self, variances: Sequence[tuple[int, float]]) -> Risk | None:
        began = time.perf_counter()
        if not self._history_tried:
            self._history_tried = True
            self._risk = risk_of_history(self.runs, self.goal, self.plan, self.forecaster)
            self._risk_of_history = self._risk is not None
        if not self._risk_of_history:
            self._risk = risk_of_looks(variances, self.goal, self.plan) or self._risk
        self._risk_seconds += time.perf_counter() - began
        return self._risk

    def _advice(self, record: RunRecord) -> str:
        """One concrete change: the first diagnosis's, which is the most severe.

        Labels that say nothing come first, for no recipe mends them; what else was wrong before
        the first step comes before a guess at the learning rate.
        """
        concern_before = concern(record, self.goal, watch_rule())
        if concern_before is not None and concern_before.name == NO_SIGNAL:
            return concern_before.advice
        diagnoses = diagnose(record, self.goal, forecaster=self.forecaster, runs=self.runs)
        if diagnoses:
            return diagnoses[0].advice
        if concern_before is not None:
            return concern_before.advice
        return on_poor_outcome(record, GoodRates.of(self.runs, self.goal))


def lasting_failure(record: RunRecord, goal: Goal | None = None) -> Diagnosis | None:
    """A certain failure that has lasted for `MIN_STEPS` steps, or half of a shorter run.

    Args:
        record: the run so far.
        goal: what it is judged by; None: its evaluations are not looked at.
    """
    failure = certain_failure(record, goal)
    if failure is None or "evaluations" in failure.evidence:
        return failure  # evaluations are far apart: they have lasted
    since = failure.evidence.get("since_step", float(record.train_step[0]))
    lasted = float(record.train_step[-1]) - since + 1
    return failure if lasted >= min(MIN_STEPS, record.max_steps / 2) else None
