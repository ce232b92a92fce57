"""What is advised about the learning rate: one direction, whatever was found, and the right one."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from hf_ftrisk.diagnoses.advice import on_poor_outcome
from hf_ftrisk.diagnoses.checks import diagnose
from hf_ftrisk.diagnoses.rates import GoodRates
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

GOAL = Goal("eval_accuracy", target=0.8)
STEPS = 100
RATES = (0.0, 1e-12, 1e-9, 1e-7, 1e-6, 2e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
MAJORITY = 0.6


def _random(scale: float) -> np.ndarray:
    return scale * np.random.default_rng(0).standard_normal(STEPS)


# How runs end: training losses, evaluation losses, accuracies.
_OUTCOMES: dict[str, tuple[np.ndarray, list[float], list[float]]] = {
    "stands still": (0.69 + _random(0.003), [0.69] * 10, [0.55] * 10),
    "collapsed": (0.69 + _random(0.01), [0.69] * 10, [MAJORITY] * 10),
    "collapsed later": (
        np.concatenate([np.linspace(0.7, 0.5, 40), 0.69 + _random(0.02)[:60]]),
        [0.68, 0.6, 0.55, 0.52, *[0.69] * 6],
        [0.65, 0.7, 0.72, 0.74, *[MAJORITY] * 6],
    ),
    "rises": (
        np.concatenate([np.linspace(0.7, 0.3, 50), np.linspace(0.3, 2.0, 50)]),
        [0.7, 0.6, 0.5, 0.4, 0.35, 0.6, 1.0, 1.4, 1.8, 2.0],
        [0.6, 0.7, 0.75, 0.8, 0.8, 0.7, 0.6, 0.5, 0.5, 0.5],
    ),
    "thrown up at once": (
        np.concatenate([[0.69], 3.0 + _random(1.0)[1:]]),
        [4.2, 2.0, 1.2, 1.8, 2.6, 0.8, 2.2, 1.7, 1.9, 2.0],
        [0.4, MAJORITY] * 5,
    ),
    "swings": (
        np.abs(0.74 + _random(0.06)),
        [0.67, 0.73, 0.79, 0.68, 0.74, 0.68, 0.67, 0.67, 0.68, 0.68],
        [0.6, 0.4, 0.6, 0.6, 0.4, *[MAJORITY] * 5],
    ),
    "not a number": (
        np.concatenate([np.linspace(0.7, 0.6, 30), np.full(70, math.nan)]),
        [0.7, 0.65, 0.63],
        [0.6, 0.61, 0.62],
    ),
}


def _run(rate: float | None, outcome: str, **fields) -> RunRecord:
    loss, eval_loss, accuracy = _OUTCOMES[outcome]
    log: list[dict] = []
    for i, value in enumerate(loss.tolist()):
        log.append({"step": i + 1, "loss": value, "grad_norm": 1.0})
        at, rest = divmod(i + 1, 10)
        if rest == 0 and at <= len(accuracy):
            seen = {"eval_loss": eval_loss[at - 1], "eval_accuracy": accuracy[at - 1]}
            log.append({"step": i + 1, **seen})
    planned = None if rate is None else np.linspace(rate, 0.0, STEPS)
    return RunRecord.from_log_history(
        log, max_steps=STEPS, schedule=planned, baselines={"eval_accuracy": MAJORITY}, **fields
    )


_DOWN = re.compile(r"[Ll]ower the learning rate|times lower|a third")
_UP = re.compile(r"[Rr]aise the learning rate|Set a learning rate above 0")


@pytest.mark.parametrize("outcome", _OUTCOMES)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "full", "parameters": 3e8, "optimizer": "adamw_torch"},
        {"method": "partial", "parameters": 7e9, "optimizer": "adamw_torch"},
        {"method": "full", "parameters": 2e5, "optimizer": "adamw_torch"},
    ],
)
def test_advice_on_the_learning_rate_has_one_direction_and_the_right_one(rate, outcome, settings):
    diagnoses = diagnose(_run(rate, outcome, settings=settings), GOAL)
    advice = [one.advice for one in diagnoses]
    down = any(_DOWN.search(text) for text in advice)
    up = any(_UP.search(text) for text in advice)
    assert advice, "a run that ends like this has a diagnosis"
    assert not (down and up), advice
    if rate <= 1e-7:
        assert not down, advice
    if rate >= 0.1:
        assert not up, advice
        assert down, advice
    if rate == 0.0:
        assert not any("factor" in text for text in advice)
    if outcome in ("rises", "thrown up at once", "not a number"):
        assert not up, advice


@pytest.mark.parametrize("outcome", _OUTCOMES)
@pytest.mark.parametrize("rate", RATES)
def test_the_advice_that_a_stop_quotes_has_the_direction_of_the_report(rate, outcome):
    """The first diagnosis is quoted where a run is stopped."""
    diagnoses = diagnose(_run(rate, outcome), GOAL)
    first = diagnoses[0].advice
    if any(_DOWN.search(one.advice) for one in diagnoses) and ("learning rate" in first):
        assert not _UP.search(first)


@pytest.mark.parametrize("rate", RATES)
def test_where_no_diagnosis_names_the_fault_the_direction_is_right_too(rate):
    advice = on_poor_outcome(_run(rate, "stands still"))
    if rate <= 1e-7:
        assert _UP.search(advice)
        assert not _DOWN.search(advice)
    else:
        assert _DOWN.search(advice)


def test_a_rate_that_sgd_needs_is_not_too_high_for_it():
    sgd = {"optimizer": "sgd", "method": "full", "parameters": 3e8}
    (diagnosis,) = diagnose(_run(1e-3, "stands still", settings=sgd), GOAL)
    assert "raise the learning rate by a factor of 3 to 10" in diagnosis.advice
    adam = sgd | {"optimizer": "adamw_torch"}
    (diagnosis,) = diagnose(_run(1e-2, "stands still", settings=adam), GOAL)
    assert diagnosis.name == "diverging"


def _poor(rate: float, end: float) -> RunRecord:
    return RunRecord(
        max_steps=10,
        schedule=np.linspace(rate, 0.0, 10),
        eval_step=np.array([10.0]),
        evals={"eval_accuracy": np.array([end])},
    )


KNOWN = GoodRates.of([_poor(1e-4, 0.9), _poor(3e-4, 0.85), _poor(1e-2, 0.2)], GOAL)


def test_a_rate_below_those_of_good_runs_is_held_against_them() -> None:
    advice = on_poor_outcome(_poor(1e-7, 0.2), KNOWN)
    assert "1e-07 here" in advice
    assert "from 0.0001 to 0.0003 in the 2 good runs" in advice


def test_a_rate_above_those_of_good_runs_is_held_against_them() -> None:
    assert "0.01 here" in on_poor_outcome(_poor(1e-2, 0.2), KNOWN)


def test_a_rate_like_those_of_good_runs_is_to_be_lowered() -> None:
    assert "peak learning rate of 5e-05" in on_poor_outcome(_poor(1.5e-4, 0.2), KNOWN)


def test_without_known_rates_none_is_named() -> None:
    record = RunRecord(max_steps=10)
    assert on_poor_outcome(record, KNOWN).endswith("a third of the learning rate.")
