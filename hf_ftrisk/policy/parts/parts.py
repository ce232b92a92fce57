"""What a pre-flight saw of a run, as a handful of bounded numbers that mean the same everywhere.

Two halves, as in the decomposition of the risk: what data and model allow (`signal`, `reach`,
`rows`), and what the recipe makes of it (`movement`, `simulated`, `heat`, `learning`,
`separation`, `progress`, `stability`); and the probe's `forecast`, which knows how other runs went
on from such a beginning.
Each is larger the better the run looks, is cut where more of it would say nothing more, and is None
where it could not be measured. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Literal

import numpy as np

from hf_ftrisk.diagnoses.rates import peak_rate
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.signals.model.movement import agreed_gain
from hf_ftrisk.signals.ordering import ORDERING

# A goal without a target is met by any value better than the trivial one; a little of the way from
# there to the best possible one stands for it.
_MIN_SKILL = 0.05
_MIN_FALL = 0.1
# Skill that stands for none: an order of magnitude below the one that is asked for at least.
_SMALLEST_SKILL = 0.005
# Standard errors from which on a language model is taken to use its inputs, and perplexity below
# which it knows the language.
_USED = 3.0
_FLUENT = 1000.0
# log10 of the share of the trivial loss that a step may change it by without a stir.
_CALM = math.log10(0.05)
_EVAL_LOSS = "eval_loss"
# What twice the rows add to the log odds of a probe's skill: 0.2 to 0.6 from 40 to 640 rows of
# trec6, sst2, snips and tweet_emotion; fine-tunes end where some 0.4 leads to.
_PER_DOUBLING = 0.4
_MAX_DOUBLINGS = 5.0


@dataclass(frozen=True)
class Parts:
    """What was seen, part by part.

    Args:
        signal: how surely the labels depend on the representation (a language model's targets on
            their inputs): log2(1 + z / 2) of the permutation test, in [0, 2].
        reach: skill of the frozen model's probe, carried on to the rows that the run gets to see,
            against the one that is asked for, as a difference of log odds, in [-4, 2]. Skill is
            the share of the way from the trivial predictor to the best possible one.
        rows: log10 of the rows for each class that the run gets to see, in [0, 2].
        movement: log10 of the fall of the loss that the schedule can bring to first order over the
            one that is asked for, twice that where it is less, in [-5, 1]. See
            `agreed_gain`.
        simulated: skill of a linear head that is trained on the frozen model for as long as the
            schedule lasts, against the one that is asked for, as a difference of log odds, in
            [-4, 2].
        heat: by how many powers of ten a single step at the peak rate changes the loss by more than
            a twentieth of the trivial one, to first order; with a minus sign, in [-2, 0].
        learning: fall of the losses at the probe's end below the trivial one, as a share of it, in
            [-0.2, 0.6].
        separation: how well the model's scores order the evaluation rows by class at the probe's
            end: twice the area under the ROC curve less one, in [-0.2, 1].
        progress: skill at the probe's end over the one that is asked for, in [-0.3, 1].
        stability: minus log2 of the losses at the probe's end over those it began with, where
            they rose, in [-2, 0].
        forecast: log odds of a good outcome by the forecast of the probe, in [-4, 4].
    """

    signal: float | None = None
    reach: float | None = None
    rows: float | None = None
    movement: float | None = None
    simulated: float | None = None
    heat: float | None = None
    learning: float | None = None
    separation: float | None = None
    progress: float | None = None
    stability: float | None = None
    forecast: float | None = None

    def values(self, missing: Mapping[str, float]) -> np.ndarray:
        """(n_parts,) numbers; `missing` has one for each part that was not measured."""
        measured = vars(self)
        return np.array(
            [missing[name] if measured[name] is None else measured[name] for name in part_names()]
        )

    @property
    def measured(self) -> int:
        """Number of parts that were measured."""
        return sum(value is not None for value in vars(self).values())


TaskKind = Literal["rows", "tokens", "labels", "numbers", "text"]


def task_kind(static: Mapping[str, float]) -> TaskKind | None:
    """What a model is trained to tell, by what could be measured of it; None for anything else.

    Returns:
        ``"rows"``: a class of each row; ``"tokens"``: of each token; ``"labels"``: several labels
        of a row; ``"numbers"``: a regression; ``"text"``: tokens that follow, or are left out.
    """
    if "uniform_loss" in static:
        return "rows"
    if "signal_correlation" in static:
        return "numbers"
    if "signal_score" in static:
        return "tokens" if "perplexity" in static else "labels"
    return "text" if "perplexity" in static else None


@cache
def part_names() -> tuple[str, ...]:
    """Names of the parts, in the order of `Parts.values`."""
    return tuple(field.name for field in fields(Parts))


def read_parts(
    probe: RunRecord, goal: Goal, baseline: float | None, forecast: Forecast | None = None
) -> Parts:
    """The parts of one probe and the signals of the untrained model in its ``static``.

    Args:
        probe: the trajectory, with its evaluations (that of the untrained model at step 0, where
            there was one) and static signals.
        goal: what the run is judged by.
        baseline: trivial baseline of the goal's metric.
        forecast: of the full run's outcome, from this probe and without completed runs of the task;
            None: not measured.
    """
    static = probe.static
    asked = skill_asked(goal, baseline)
    gain, wanted = agreed_gain(static), needed_fall(probe, goal, asked)
    ratio, excess = _powers(gain, wanted), _powers(step_gain(probe), trivial_loss(probe))
    return Parts(
        signal=_signal(static),
        reach=_reach(probe, goal, asked),
        rows=_rows(probe),
        movement=None if ratio is None else _cut(min(ratio, 2.0 * ratio), -5.0, 1.0),
        simulated=_simulated(static, asked),
        heat=None if excess is None else -_cut(excess - _CALM, 0.0, 2.0),
        learning=_learning(probe),
        separation=_separation(probe),
        progress=_progress(probe, goal, baseline, asked),
        stability=_stability(probe),
        forecast=_forecast(forecast, goal, baseline),
    )


def _powers(gain: float | None, of: float | None) -> float | None:
    """Powers of ten by which a gain exceeds another fall of the loss."""
    return None if gain is None or not of else math.log10(max(gain, 1e-12) / of)


def _cut(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


# --- what is asked for ---------------------------------------------------------------------------


def skill(goal: Goal, baseline: float | None, value: float) -> float | None:
    """Share of the way from the trivial value to the best possible one; None where there is none.

    Negative below the trivial value.
    """
    best = goal.bounds[1] if goal.greater_is_better else goal.bounds[0]
    if baseline is None and goal.kind != "loss":
        baseline = 0.0 if goal.greater_is_better else goal.bounds[1]
    if baseline is None or not math.isfinite(best) or not math.isfinite(baseline):
        return None
    return None if best == baseline else (value - baseline) / (best - baseline)


def skill_asked(goal: Goal, baseline: float | None) -> float | None:
    """Skill at which the goal is met, at least `_MIN_SKILL`."""
    threshold = goal.threshold(baseline)
    asked = None if threshold is None else skill(goal, baseline, threshold)
    return None if asked is None else max(asked, _MIN_SKILL)


def trivial_loss(probe: RunRecord) -> float | None:
    """Loss of a predictor without learning: the labels' entropy, or the untrained model's loss."""
    candidates = [
        probe.static.get("label_entropy") if task_kind(probe.static) == "rows" else None,
        probe.baselines.get(_EVAL_LOSS),
        probe.static.get("zero_shot_loss"),
    ]
    return next((value for value in candidates if value is not None and value > 0.0), None)


def needed_fall(probe: RunRecord, goal: Goal, asked: float | None) -> float | None:
    """By how much the loss has to fall, in nats.

    To the target where that is a loss; else to the trivial loss, and from there by the share of it
    that the skill asked for is of all skill, a tenth at least: predictions begin to differ from
    the trivial one only some way below its loss.
    """
    untrained = probe.static.get("zero_shot_loss")
    trivial = trivial_loss(probe)
    if goal.metric == _EVAL_LOSS and goal.target is not None and untrained is not None:
        return max(untrained - goal.target, 1e-3)
    if trivial is None or asked is None:
        return None
    share = _cut(asked, _MIN_FALL, 1.0)
    return max((untrained or trivial) - trivial, 0.0) + share * trivial


def step_gain(probe: RunRecord) -> float | None:
    """First-order fall of the loss by one step at the peak rate, in nats."""
    gain, total = probe.static.get("schedule_gain"), probe.static.get("schedule_rates")
    peak = peak_rate(probe)
    return None if gain is None or not total or peak is None else gain * peak / total


# --- what data and model allow -------------------------------------------------------------------


def _signal(static: Mapping[str, float]) -> float | None:
    z = static.get("signal_z", _input_z(static))
    return None if z is None else _cut(math.log2(1.0 + max(z, 0.0) / 2.0), 0.0, 2.0)


def _input_z(static: Mapping[str, float]) -> float | None:
    """How surely targets depend on their inputs; None where that is not known.

    That a model which does not know the language makes nothing of its inputs says nothing.
    """
    z = static.get("input_gain_z")
    knows = static.get("perplexity", math.inf) < _FLUENT
    return z if z is not None and (knows or z > _USED) else None


def uses_inputs(static: Mapping[str, float]) -> bool:
    """Whether targets seem to depend on their inputs, as far as that was measured.

    A language model lowers its loss on shuffled answers as well, by what answers have in common.
    """
    z = _input_z(static)
    return z is None or z > _USED


def rows_seen(probe: RunRecord) -> float | None:
    """Training rows that the full run gets to see; None if unknown."""
    static, settings = probe.static, probe.settings
    rows = static.get("train_rows", static.get("sampled_rows"))
    if not rows or "batch_size" not in settings:
        return rows or None
    factors = ("batch_size", "gradient_accumulation_steps", "world_size")
    drawn = probe.max_steps * math.prod(float(settings.get(name) or 1) for name in factors)
    return min(rows, drawn)


def _rows(probe: RunRecord) -> float | None:
    rows = rows_seen(probe)
    if rows is None:
        return None
    return _cut(math.log10(max(rows, 1.0) / max(probe.static.get("classes", 1.0), 1.0)), 0.0, 2.0)


def probe_skill(static: Mapping[str, float]) -> float | None:
    """Skill of the frozen model's linear probe, on evaluation rows where there were enough."""
    rows = static.get("signal_eval_rows", 0.0)
    score, trivial = static.get("signal_eval_score"), static.get("signal_eval_trivial")
    if score is None or trivial is None or rows < 20:
        score = static.get("signal_score")
        trivial = static.get("majority_share") if "signal_correlation" not in static else 0.0
    if score is None or trivial is None or trivial >= 1.0:
        return None
    return (score - trivial) / (1.0 - trivial)


def probe_log_odds(probe: RunRecord, goal: Goal) -> float | None:
    """Log odds of the linear probe's skill, carried on to the rows that the run gets to see."""
    static = probe.static
    skill_of_probe = probe_skill(static)
    if skill_of_probe is None:
        return None
    if goal.kind == "correlation" and "signal_correlation" in static:
        skill_of_probe = static["signal_correlation"]
    fitted, rows = static.get("signal_rows"), rows_seen(probe)
    if not fitted or rows is None or skill_of_probe <= 0.0:
        return _log_odds(skill_of_probe)
    doublings = _cut(math.log2(max(rows, 1.0) / fitted), 0.0, _MAX_DOUBLINGS)
    return _log_odds(skill_of_probe) + _PER_DOUBLING * doublings


def _reach(probe: RunRecord, goal: Goal, asked: float | None) -> float | None:
    log_odds = probe_log_odds(probe, goal)
    if log_odds is None or asked is None:
        return None
    return _cut(log_odds - _log_odds(asked), -4.0, 2.0)


def _log_odds(share: float) -> float:
    share = _cut(share, _SMALLEST_SKILL, 0.995)
    return math.log(share / (1.0 - share))


# --- what the recipe makes of it -----------------------------------------------------------------


def _losses(probe: RunRecord) -> tuple[np.ndarray, float | None]:
    """Finite training losses (n,), and the last finite evaluation loss."""
    evaluated = probe.trained(_EVAL_LOSS)[1]
    return probe.finite_losses()[1], float(evaluated[-1]) if evaluated.size else None


def _at_end(probe: RunRecord) -> float | None:
    """Loss at the probe's end: the mean of its last third of steps and its last evaluation."""
    losses, evaluated = _losses(probe)
    levels = [] if evaluated is None else [evaluated]
    if losses.size >= 3:
        levels.append(float(losses[-max(3, losses.size // 3) :].mean()))
    return sum(levels) / len(levels) if levels else None


def _learning(probe: RunRecord) -> float | None:
    end, trivial = _at_end(probe), trivial_loss(probe)
    if end is None or trivial is None:
        return None
    return _cut((trivial - end) / trivial, -0.2, 0.6)


def _separation(probe: RunRecord) -> float | None:
    areas = probe.trained(ORDERING)[1]
    return _cut(2.0 * float(areas[-1]) - 1.0, -0.2, 1.0) if areas.size else None


def _progress(
    probe: RunRecord, goal: Goal, baseline: float | None, asked: float | None
) -> float | None:
    values = probe.trained(goal.metric)[1]
    if asked is None or not values.size:
        return None
    reached = skill(goal, baseline, float(values[-1]))
    return None if reached is None else _cut(reached / asked, -0.3, 1.0)


def _stability(probe: RunRecord) -> float | None:
    losses = probe.train_curve()[1]
    if losses.size and not math.isfinite(losses[-1]):
        return -2.0
    end = _at_end(probe)
    beginnings = [
        value
        for value in (probe.static.get("zero_shot_loss"), trivial_loss(probe))
        if value is not None
    ]
    if end is None or not beginnings or end <= 0.0:
        return None
    return -_cut(math.log2(end / max(beginnings)), 0.0, 2.0)


def _simulated(static: Mapping[str, float], asked: float | None) -> float | None:
    score, trivial = static.get("simulated_score"), static.get("signal_eval_trivial")
    if score is None or trivial is None or trivial >= 1.0 or asked is None:
        return None
    return _cut(_log_odds((score - trivial) / (1.0 - trivial)) - _log_odds(asked), -4.0, 2.0)


# --- how such runs went on -----------------------------------------------------------------------


def _forecast(forecast: Forecast | None, goal: Goal, baseline: float | None) -> float | None:
    if forecast is None or goal.threshold(baseline) is None:
        return None
    chance = _cut(forecast.prob_meets(goal, baseline), 1e-3, 1.0 - 1e-3)
    return _cut(math.log(chance / (1.0 - chance)), -4.0, 4.0)
