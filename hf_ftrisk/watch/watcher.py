"""From the run so far to looks, rulings and a report. No torch, no transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_ftrisk.diagnoses.advice import on_poor_outcome
from hf_ftrisk.diagnoses.certain import certain_failure
from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.diagnoses.rates import GoodRates
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.forecast.gain.training_loss import TRAIN_LOSS, mean_losses_at
from hf_ftrisk.goal import Goal
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
from hf_ftrisk.watch.goal import WatchedGoal
from hf_ftrisk.watch.judged import Judged
from hf_ftrisk.watch.risk_curve import Risk, RiskCurve
from hf_ftrisk.watch.trace import Trace

# A failure is certain when it has lasted. Policies count logs, and here every step is one: a few
# batches without a label, or a spike, would do.
MIN_STEPS = 10

NO_EVALUATION = (
    "Nothing is evaluated during this run, so its goal cannot be forecast: the training loss is "
    "forecast instead, and only certain failures are recognized."
)


class Watcher:
    """One watched run: its values in, looks out.

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

    Attributes:
        rule: says when the run is poor.
        finisher: says when it has nothing more to gain.
        forecaster: built from `runs`.
        judged: the looks so far.
        failure: the certain failure that was found; None: none was.
    """

    def __init__(
        self,
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
    ) -> None:
        self.plan, self.trace, self.runs = plan, trace, tuple(runs)
        self.forecasts = forecasts
        self.forecaster = Forecaster.default(runs or None)
        self.judged: list[Judged] = []
        self.failure: Judged | None = None
        self._make_rule, self._false_stop_rate = make_rule, false_stop_rate
        self._goal = WatchedGoal(goal, trace, runs)
        self.rule = self._new_rule()
        self.finisher = Finisher(goal, finish, () if finish is None else runs, tolerance)
        self._risk_curve = RiskCurve(self.runs, plan, self.forecaster)

    def _new_rule(self) -> Rule:
        return self._make_rule(self.goal, self.forecaster, self.runs, self._false_stop_rate)

    @property
    def goal(self) -> Goal:
        """What the run is judged by, on the scale on which it reports its metric."""
        return self._goal.current

    @property
    def notes(self) -> list[str]:
        """What was learned about the goal's scale, one sentence each."""
        return self._goal.notes

    @property
    def last(self) -> Judged | None:
        """The last look, None before the first."""
        return self.judged[-1] if self.judged else None

    def add_eval(self, step: int, metrics: Mapping[str, Any]) -> tuple[str, ...]:
        """Take an evaluation's metrics; that of the untrained model is a baseline too."""
        names = self.trace.add_eval(step, metrics)
        if self.goal.metric in names:
            if self._goal.follow():
                self.rule = self._new_rule()
            if step == 0:
                self._goal.learn_baseline()
        return names

    def choose(self, names: Sequence[str]) -> None:
        """Judge by a metric that is reported, where nobody asked for the goal and its is not."""
        chosen = self._goal.choose(names)
        if chosen is not None:
            self.rule = self._new_rule()
            self.finisher.goal = chosen

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
        variances = [*self._variances(), (step, forecast.std**2)]
        risk = self._risk_curve.at_look(variances, self.goal)
        poor = ruling.verdict is Verdict.NO_GO
        advice = (ruling.advice or self._advice(record)) if poor else None
        finish = None if poor else self.finisher.look(record, forecast)
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
        finish = None if failure is not None else self.finisher.look(record, None)
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
        ends = (end for end in sorted(self.grid() | {step}) if 0 < end <= step)
        return mean_losses_at(record, ends)

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
            self._risk_curve.latest = judged.risk

    def risk(self, *, anew: bool) -> Risk | None:
        """Risk curve, decomposition and c*.

        Args:
            anew: of all looks so far; otherwise as it was fitted last.
        """
        if not anew:
            return self._risk_curve.latest
        return self._risk_curve.fit(self._variances(), self.goal)

    def _variances(self) -> list[tuple[int, float]]:
        """(step, predictive variance) of the looks at the goal."""
        return [
            (judged.step, judged.forecast.std**2)
            for judged in self.judged
            if judged.forecast is not None and not judged.of_train_loss
        ]

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
