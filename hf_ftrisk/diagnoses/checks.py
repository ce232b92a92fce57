"""The list of checks: each with its name, what it needs, and when another finding replaces it.

`diagnose` runs the list in order, docs/reference/diagnoses.md has it as a table (``python -m
hf_ftrisk.diagnoses``).
Data and wiring of a Trainer have checks of their own before a run (`diagnoses.wiring`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hf_ftrisk.diagnoses import certain, data, divergence, exploded, steps, trajectory
from hf_ftrisk.diagnoses.evidence import Evidence
from hf_ftrisk.diagnoses.rates import GoodRates
from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.verdict import Diagnosis

ANYTHING = "anything"


@dataclass(frozen=True)
class Check:
    """One thing that is looked for.

    Args:
        name: of the diagnoses it gives, several where they are told apart in the same look.
        needs: what it reads; without it the check stays silent.
        fires: what it fires on.
        silent: what looks like it and is not.
        function: the check.
        unless: names of findings that say the same and more: after those it is not asked.
            "anything": asked only where nothing has been found.
    """

    name: str
    needs: str
    fires: str
    silent: str
    function: Callable[[Evidence], Diagnosis | None]
    unless: tuple[str, ...] = ()


_LOST = ("non_finite_loss", "non_finite_gradients", "zero_gradients", "all_labels_masked")

CHECKS: tuple[Check, ...] = (
    Check(
        "non_finite_loss",
        "training loss",
        "NaN or infinite in consecutive logs: a certain failure",
        "a single one, which may be one bad batch",
        certain.non_finite_loss,
    ),
    Check(
        "non_finite_gradients",
        "gradient norm",
        "not finite for longer than a fp16 scaler searches: a certain failure",
        "infinite gradients that a scaler skips",
        certain.non_finite_gradients,
        unless=("non_finite_loss",),
    ),
    Check(
        "zero_gradients, all_labels_masked",
        "gradient norm, learning rate",
        "exactly 0 from the first step on, where gradients were seen or the loss does not move "
        "either: a certain failure",
        "policy gradients, optimizers that step inside the backward pass, a learning rate of 0",
        certain.zero_gradients,
        unless=("non_finite_loss", "non_finite_gradients"),
    ),
    Check(
        "non_finite_evaluations",
        "evaluations",
        "the last evaluation of a loss or of the goal is NaN or infinite; a certain failure once "
        "the goal is a loss and three evaluations in a row are",
        "the correlation of a constant prediction",
        lambda e: certain.lost_evaluations(e) or certain.non_finite_evaluations(e),
    ),
    Check(
        "diverging",
        "training loss",
        "windowed training loss above its start, after it had been lower by more than noise; or "
        "far above its first value throughout; or nothing learned at a rate too high for nearly "
        "all fine-tunes",
        "spikes and bumps that pass, steps at epoch boundaries, policy-gradient losses",
        divergence.diverging,
        unless=_LOST,
    ),
    Check(
        "exploded_loss",
        "training loss",
        "above 1.25 or 1.5 times where it began for longer than any good run on record, or "
        "with the evaluation loss above that of the untrained model: a certain failure",
        "spikes that pass, an easy first batch, policy-gradient losses",
        lambda e: exploded.exploded_loss(e.record),
        unless=("non_finite_loss", "diverging"),
    ),
    Check(
        "collapsed",
        "evaluations",
        "accuracy exactly at the majority rate (correlation at 0) in consecutive evaluations, "
        "after having been better, or past half of the learning with no fall of the evaluation "
        "loss",
        "runs that have not taken off yet, exact-match scores of 0",
        trajectory.collapsed,
    ),
    Check(
        "overfitting",
        "evaluation loss",
        "5 % above its lowest point and not back, while the training loss falls; a hint when the "
        "goal metric still improves",
        "single bumps, plateaus, runs that diverge",
        trajectory.overfitting,
        unless=("diverging",),
    ),
    Check(
        "not_learning",
        "training loss",
        "no move of the training loss beyond its noise, none of the evaluation loss, metric not "
        "above its baseline; a hint before 40 % of the planned learning, a warning after",
        "warm-up, runs whose metric or evaluation loss improves, runs that have collapsed",
        trajectory.not_learning,
        unless=(*_LOST, "diverging", "collapsed"),
    ),
    Check(
        "noisy_labels",
        "losses, or labels of equal rows",
        "training loss stalled well above the evaluation loss; or equal rows under different "
        "labels",
        "losses still falling, label smoothing, language models, scores of generated text",
        lambda e: data.conflicting_labels(e) or trajectory.noisy_labels(e),
    ),
    Check(
        "data_model_mismatch",
        "signals of the untrained model",
        "perplexity of 1,000 and more, or a linear probe no better than the majority class",
        "runs that beat their baseline, new heads",
        data.data_model_mismatch,
    ),
    Check(
        "truncated_inputs",
        "signals of the data",
        "a tenth of the rows at the length limit",
        "packed rows",
        data.truncated_inputs,
    ),
    Check(
        "train_eval_overlap",
        "signals of the data",
        "5 % of the evaluation rows in the training set, or 20 % as near duplicates",
        "common phrases",
        data.train_eval_overlap,
    ),
    Check(
        "too_few_steps",
        "evaluations, a forecaster",
        "metric still improving past half of the run, and twice the steps forecast to gain at "
        "least the tolerance; tells the forecasts at half, planned and twice",
        "plateaus, runs with another diagnosis",
        steps.too_few_steps,
        unless=(ANYTHING,),
    ),
)
_ORDER = {"fatal": 0, "warning": 1, "info": 2}


def diagnose(
    record: RunRecord,
    goal: Goal,
    *,
    signals: Mapping[str, float] | None = None,
    forecaster: Predictor | None = None,
    runs: Sequence[RunRecord] = (),
) -> tuple[Diagnosis, ...]:
    """Named failures of a run so far, the most severe first; empty when nothing is wrong.

    Args:
        record: the run so far.
        goal: what it is judged by.
        signals: static and dynamic signals of the run, name -> value, besides those in the record.
        forecaster: predicts the end at half and at twice the steps; without it "too few steps" is
            not looked for.
        runs: completed runs of the same task: what is advised about the learning rate is held
            against that of the good ones.
    """
    evidence = Evidence(
        record,
        record.goal_scale(goal)[0],
        signals={**record.static, **(signals or {})},
        rates=GoodRates.of(runs, goal),
        forecaster=forecaster,
    )
    diagnoses: dict[str, Diagnosis] = {}
    for check in CHECKS:
        if (ANYTHING in check.unless and diagnoses) or not diagnoses.keys().isdisjoint(
            check.unless
        ):
            continue
        diagnosis = check.function(evidence)
        if diagnosis is not None:
            diagnoses[diagnosis.name] = diagnosis
    return tuple(sorted(diagnoses.values(), key=lambda one: _ORDER[one.severity]))


def checks_table() -> str:
    """The checks as the Markdown table of docs/reference/diagnoses.md."""
    rows = ["| name | needs | fires on | stays silent on |", "| --- | --- | --- | --- |"]
    for check in CHECKS:
        names = ", ".join(f"`{name}`" for name in check.name.split(", "))
        rows.append(f"| {names} | {check.needs} | {check.fires} | {check.silent} |")
    return "\n".join(rows)
