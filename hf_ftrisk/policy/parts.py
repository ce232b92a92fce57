"""What a pre-flight saw of a run, as a handful of bounded numbers that mean the same everywhere.

Two halves, as in the decomposition of the risk: what data and model allow (`signal`, `reach`,
`rows`), and what the recipe makes of it (`movement`, `heat`, `learning`, `progress`, `stability`).
Each is larger the better the run looks, is cut where more of it would say nothing more, and is None
where it could not be measured. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

# A goal without a target is met by any value better than the trivial one; a little of the way from
# there to the best possible one stands for it.
_LEAST_SKILL = 0.05
_EVAL_LOSS = "eval_loss"
# Share of a gradient that batches are taken to agree on at least: the estimate is noisy.
_LEAST_AGREED = 0.03


@dataclass(frozen=True)
class Parts:
    """What was seen, part by part.

    Args:
        signal: how surely the labels depend on the representation (a language model's targets on
            their inputs): log2(1 + z / 2) of the permutation test, in [0, 5].
        reach: skill of the frozen model's probe against the one that is asked for, as a difference
            of log odds, in [-4, 1.5]. Skill is the share of the way from the trivial predictor to
            the best possible one.
        rows: log10 of the training rows for each class, of those that the run gets to see, in
            [0, 2.5].
        movement: log10 of the fall of the loss that the schedule can bring to first order over the
            one that is asked for, twice that where it is less, in [-5, 1]. Of the gradient the
            mean of its 1-norm and of that part of it which batches agree on: the one takes noise
            for signal, the other does not see what many steps average out.
        heat: by how many powers of ten that exceeds 10 times what is asked for, with a minus
            sign, in [-1.5, 0].
        learning: fall of the losses at the probe's end below the trivial one, as a share of it, in
            [-0.2, 0.6].
        progress: skill at the probe's end over the one that is asked for, in [-0.3, 1].
        stability: minus log2 of the losses at the probe's end over those it began with, where
            they rose, in [-2, 0].
    """

    signal: float | None = None
    reach: float | None = None
    rows: float | None = None
    movement: float | None = None
    heat: float | None = None
    learning: float | None = None
    progress: float | None = None
    stability: float | None = None

    def values(self, missing: Mapping[str, float]) -> np.ndarray:
        """(n_parts,) numbers; `missing` has one for each part that was not measured."""
        names = part_names()
        return np.array(
            [
                missing[name] if value is None else value
                for name, value in zip(names, astuple(self), strict=True)
            ]
        )


def part_names() -> tuple[str, ...]:
    """Names of the parts, in the order of `Parts.values`."""
    return tuple(field.name for field in fields(Parts))


def read_parts(probe: RunRecord, goal: Goal, baseline: float | None) -> Parts:
    """The parts of one probe and the signals of the untrained model in its ``static``.

    Args:
        probe: the trajectory, with its evaluations (that of the untrained model at step 0, where
            there was one) and static signals.
        goal: what the run is judged by.
        baseline: trivial baseline of the goal's metric.
    """
    static = probe.static
    asked = skill_asked(goal, baseline)
    gain, wanted = expected_gain(static), needed_fall(probe, goal, asked)
    ratio = None if gain is None or wanted is None else math.log10(max(gain, 1e-12) / wanted)
    return Parts(
        signal=_signal(static),
        reach=_reach(static, goal, asked),
        rows=_rows(probe),
        movement=None if ratio is None else _cut(min(ratio, 2.0 * ratio), -5.0, 1.0),
        heat=None if ratio is None else -_cut(ratio - 1.0, 0.0, 1.5),
        learning=_learning(probe),
        progress=_progress(probe, goal, baseline, asked),
        stability=_stability(probe),
    )


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
    """Skill at which the goal is met, at least `_LEAST_SKILL`."""
    threshold = goal.threshold(baseline)
    asked = None if threshold is None else skill(goal, baseline, threshold)
    return None if asked is None else max(asked, _LEAST_SKILL)


def trivial_loss(probe: RunRecord) -> float | None:
    """Loss of a predictor without learning: the labels' entropy, or the untrained model's loss."""
    known = [
        probe.static.get("label_entropy") if "uniform_loss" in probe.static else None,
        probe.baselines.get(_EVAL_LOSS),
        probe.static.get("zero_shot_loss"),
    ]
    return next((value for value in known if value is not None and value > 0.0), None)


def needed_fall(probe: RunRecord, goal: Goal, asked: float | None) -> float | None:
    """By how much the loss has to fall, in nats; for other metrics the skill's share of it."""
    untrained = probe.static.get("zero_shot_loss")
    trivial = trivial_loss(probe)
    if goal.metric == _EVAL_LOSS and goal.target is not None and untrained is not None:
        return max(untrained - goal.target, 1e-3)
    if trivial is None or asked is None:
        return None
    return max(min(asked, 1.0) * trivial, 1e-3)


def expected_gain(static: Mapping[str, float]) -> float | None:
    """First-order fall of the loss by the schedule, part of the noise taken off, in nats."""
    gain = static.get("schedule_gain")
    whole = static.get("gradient_l1")
    if gain is None or not whole:
        return gain
    agreed = max(static.get("gradient_l1_agreed", whole) / whole, _LEAST_AGREED)
    return gain * math.sqrt(min(agreed, 1.0))


# --- what data and model allow -------------------------------------------------------------------


def _signal(static: Mapping[str, float]) -> float | None:
    z = static.get("signal_z", static.get("input_gain_z"))
    return None if z is None else _cut(math.log2(1.0 + max(z, 0.0) / 2.0), 0.0, 5.0)


def _rows(probe: RunRecord) -> float | None:
    static, settings = probe.static, probe.settings
    rows = static.get("train_rows", static.get("sampled_rows"))
    if not rows:
        return None
    batch = [
        settings.get(name, 1)
        for name in ("batch_size", "gradient_accumulation_steps", "world_size")
    ]
    shown = probe.max_steps * math.prod(float(value or 1) for value in batch)
    if "batch_size" in settings:
        rows = min(rows, shown)
    return _cut(math.log10(rows / max(static.get("classes", 1.0), 1.0)), 0.0, 2.5)


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


def _reach(static: Mapping[str, float], goal: Goal, asked: float | None) -> float | None:
    has = probe_skill(static)
    if has is None or asked is None:
        return None
    if goal.kind == "correlation" and "signal_correlation" in static:
        has = static["signal_correlation"]
    return _cut(_log_odds(has) - _log_odds(asked), -4.0, 1.5)


def _log_odds(share: float) -> float:
    share = _cut(share, 0.02, 0.995)
    return math.log(share / (1.0 - share))


# --- what the recipe makes of it -----------------------------------------------------------------


def _losses(probe: RunRecord) -> tuple[np.ndarray, float | None]:
    """Finite training losses (n,), and the last finite evaluation loss."""
    losses = probe.train_curve()[1]
    steps, values = probe.curve(_EVAL_LOSS)
    known = values[np.isfinite(values) & (steps > 0)]
    return losses[np.isfinite(losses)], float(known[-1]) if known.size else None


def _at_end(probe: RunRecord) -> float | None:
    """Loss at the probe's end: the mean of its last third of steps and its last evaluation."""
    losses, evaluated = _losses(probe)
    found = [] if evaluated is None else [evaluated]
    if losses.size >= 3:
        found.append(float(losses[-max(3, losses.size // 3) :].mean()))
    return sum(found) / len(found) if found else None


def _learning(probe: RunRecord) -> float | None:
    end, trivial = _at_end(probe), trivial_loss(probe)
    if end is None or trivial is None:
        return None
    return _cut((trivial - end) / trivial, -0.2, 0.6)


def _progress(
    probe: RunRecord, goal: Goal, baseline: float | None, asked: float | None
) -> float | None:
    steps, values = probe.curve(goal.metric)
    known = values[np.isfinite(values) & (steps > 0)]
    if asked is None or not known.size:
        return None
    has = skill(goal, baseline, float(known[-1]))
    return None if has is None else _cut(has / asked, -0.3, 1.0)


def _stability(probe: RunRecord) -> float | None:
    losses = probe.train_curve()[1]
    if losses.size and not math.isfinite(losses[-1]):
        return -2.0
    end = _at_end(probe)
    began = [
        value
        for value in (probe.static.get("zero_shot_loss"), trivial_loss(probe))
        if value is not None
    ]
    if end is None or not began or end <= 0.0:
        return None
    return -_cut(math.log2(end / max(began)), 0.0, 2.0)
