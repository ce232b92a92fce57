"""What a watched run is judged by, as its values show on which scale it reports them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.goal.metric_names import choose_metric
from hf_ftrisk.goal.metric_scale import goal_for_values, rescaled
from hf_ftrisk.record import RunRecord
from hf_ftrisk.watch.trace import Trace


class WatchedGoal:
    """The goal of a watched run, on the scale on which the run reports its metric.

    The trivial baseline follows the scale: it is kept in the plan of the run's trace.

    Args:
        goal: what was asked for.
        trace: the run's values so far.
        runs: completed runs of the same task; their scale counts before the run's first value.

    Attributes:
        current: the goal as the run reports it.
        notes: what was learned about its scale, one sentence each.
    """

    def __init__(self, goal: Goal, trace: Trace, runs: Sequence[RunRecord] = ()) -> None:
        self.current = goal
        self.notes: list[str] = []
        self._trace = trace
        # What was known before the run is on the scale of the goal that was asked for.
        self._requested, self._given_baseline = goal, trace.plan.baseline(goal)
        values = [value for run in runs for value in run.curve(goal.metric)[1].tolist()]
        self._adopt(*goal_for_values(goal, values))
        if goal.kind == "percent" and self.current.unit == 1.0:
            # What the task's runs show of a target counts before this run's first value.
            self._requested = self.current
            if self._given_baseline is not None:
                self._given_baseline = rescaled(self._given_baseline, goal, self.current)

    def follow(self) -> bool:
        """Take the scale that all values so far show; whether the goal is another one now."""
        return self._adopt(*self._on_reported_scale())

    def choose(self, names: Sequence[str]) -> Goal | None:
        """Take a metric that is reported, where the goal's own is not and nobody asked for it.

        Args:
            names: metrics that an evaluation has reported.

        Returns:
            The goal of that metric, before its scale is looked at; None: the goal stays.
        """
        if self.current.metric in self._trace.metrics:
            return None
        metric = choose_metric(names)
        if metric is None:
            return None
        note = f"{self.current.metric} is not reported: the run is judged by {metric}."
        chosen = self._requested = Goal(metric)
        self._given_baseline = self._trace.plan.baseline(chosen)
        fitted, scale = self._on_reported_scale()
        self._adopt(fitted, note if scale is None else f"{note} {scale}")
        return chosen

    def learn_baseline(self) -> None:
        """The trivial predictor's value, or the untrained model's where labels tell none."""
        goal, plan, baseline = self.current, self._trace.plan, self._given_baseline
        if baseline is not None:
            baseline = rescaled(baseline, self._requested, goal)
        steps, values = self._trace.record().curve(goal.metric)
        if steps.size and steps[0] == 0:
            untrained = trivial_baseline(goal, untrained=float(values[0]))
            # A loss may be bounded by the labels' entropy and by the model as it came.
            bounded = goal.metric.endswith("loss") and not goal.greater_is_better
            if untrained is not None and (
                baseline is None or (bounded and goal.is_better(untrained, baseline))
            ):
                baseline = untrained
        if baseline is not None:
            baselines = {**plan.baselines, goal.metric: baseline}
            self._trace.plan = replace(plan, baselines=baselines)

    def _on_reported_scale(self) -> tuple[Goal, str | None]:
        """The goal that was asked for on the scale of all values so far, and what has changed."""
        return self._trace.record().goal_scale(self._requested, trivial=self._given_baseline)

    def _adopt(self, goal: Goal, note: str | None) -> bool:
        if goal == self.current:
            return False
        self.current = goal
        self.learn_baseline()
        if note is not None and note not in self.notes:
            self.notes.append(note)
        return True
