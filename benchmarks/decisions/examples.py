"""Examples for the rule of a pre-flight: what was seen of a run, and whether it met a goal.

A goal's target lies somewhere between the trivial value and the best that any sound run of the data
set reached, or out of reach beyond it. Runs of one data set share that best value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.decisions.cases import Case
from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.parts.parts import read_parts, skill
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.pairs import Pair

# Targets, as shares of the best skill of the data set; beyond 1: out of reach. None: no target.
TARGETS: tuple[float | None, ...] = (None, 0.6, 0.8, 0.92)
# Out of reach: this far from the best run to the best possible value.
OUT_OF_REACH = 0.6
JUMP = ("jump", 0.1)
ROW_KINDS = ("single", "pair")
TEXT_KINDS = ("causal_lm", "seq2seq")


@dataclass(frozen=True)
class Example(Case):
    """A case, and where it comes from.

    Args:
        recipe: what was done to the run.
        goal: what it was judged by.
        baseline: trivial value of the goal's metric.
        target: the target's name: a share of the best skill, ``"none"`` or ``"out of reach"``.
        end: the full run's final value.
        record: what the parts were read from.
    """

    recipe: str
    goal: Goal
    baseline: float | None
    target: str
    end: float
    record: RunRecord


@dataclass(frozen=True, eq=False)
class ProbedRun:
    """A full run and the trajectory that a pre-flight saw of it."""

    run: RunRecord
    probe: RunRecord
    run_id: str
    recipe: str

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return str(self.run.settings["dataset"])

    @property
    def alike(self) -> str:
        """What runs have in common that could reach the same: data and task, of text the model."""
        settings = self.run.settings
        if settings.get("kind", "single") in ROW_KINDS:
            return self.dataset
        model = settings["model"] if settings["kind"] in TEXT_KINDS else ""
        return f"{self.dataset} {settings['kind']} {model}"

    def seen_baseline(self, goal: Goal) -> float | None:
        """The trivial value as a pre-flight knows it: the untrained model's loss for text."""
        return self.probe.baseline(goal)


def probed_run(pair: Pair, depth: float) -> ProbedRun:
    """A pair as a pre-flight sees it that jumps the warm-up and trains `depth` of the run."""
    probe = pair.probes[JUMP].prefix(max(1.0, round(depth * pair.run.max_steps)))
    baselines = dict(pair.run.baselines)
    if pair.run.settings["kind"] in TEXT_KINDS:
        # How often each token occurs is not known before a run.
        baselines["eval_loss"] = float(pair.run.evals["eval_loss"][0])
    probe = replace(
        probe,
        max_steps=pair.run.max_steps,
        schedule=pair.run.schedule,
        static=pair.run.static,
        baselines=baselines,
    )
    return ProbedRun(pair.run, probe, pair.run_id, str(pair.run.settings["recipe"]))


def main_goal(run: RunRecord) -> Goal:
    """The metric a run of this kind is judged by: accuracy, else what else there is, else loss."""
    names = [name for name in run.evals if name != "eval_loss"]
    if "eval_accuracy" in names:
        return Goal("eval_accuracy")
    return Goal(min(names)) if names else Goal("eval_loss")


def examples_of(
    runs: Sequence[ProbedRun], forecaster_of: Callable[[str], Predictor]
) -> list[Example]:
    """Examples of the runs, one for each run and goal whose outcome is known.

    Args:
        runs: full runs and their probes.
        forecaster_of: data set -> forecaster that does not know it.
    """
    best = best_skills(runs)
    examples = []
    for probed in runs:
        goal = main_goal(probed.run)
        baseline = probed.seen_baseline(goal)
        forecast = forecaster_of(probed.dataset).predict(probed.probe, goal)
        reached = best.get((probed.alike, goal.metric))
        for name, goal_asked in goals_of(goal, probed.run.baseline(goal), reached):
            end = probed.run.outcome(goal_asked)
            examples.append(
                Example(
                    parts=read_parts(probed.probe, goal_asked, baseline, forecast),
                    good=goal_asked.meets(end, baseline),
                    dataset=probed.dataset,
                    recipe=probed.recipe,
                    run_id=probed.run_id,
                    goal=goal_asked,
                    baseline=baseline,
                    target=name,
                    end=end,
                    steps=probed.run.max_steps,
                    record=probed.probe,
                )
            )
    return examples


def best_skills(runs: Iterable[ProbedRun]) -> Mapping[tuple[str, str], float]:
    """(`ProbedRun.alike`, metric) -> the best skill that such a run ended with."""
    best: dict[tuple[str, str], float] = defaultdict(lambda: 0.0)
    for probed in runs:
        goal = main_goal(probed.run)
        ended = skill(goal, probed.run.baseline(goal), probed.run.outcome(goal))
        if ended is not None and np.isfinite(ended):
            key = (probed.alike, goal.metric)
            best[key] = max(best[key], ended)
    return best


def goals_of(goal: Goal, baseline: float | None, best: float | None) -> Iterable[tuple[str, Goal]]:
    """Names and goals that a run is judged by."""
    ideal = goal.bounds[1] if goal.greater_is_better else goal.bounds[0]
    if baseline is None or best is None or not np.isfinite(ideal):
        return
    for share in TARGETS:
        if share is None:
            yield "none", goal
        elif best > 0.1:
            yield f"{share:.0%}", goal.with_target(baseline + share * best * (ideal - baseline))
    if best < 0.97:
        out = best + OUT_OF_REACH * (1.0 - best)
        yield "out of reach", goal.with_target(baseline + out * (ideal - baseline))
