"""What is advised where no diagnosis names the fault."""

from __future__ import annotations

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.watch.watcher import rate_advice

GOAL = Goal("eval_accuracy", target=0.8)


def _run(rate: float, end: float) -> RunRecord:
    return RunRecord(
        max_steps=10,
        schedule=np.linspace(rate, 0.0, 10),
        eval_step=np.array([10.0]),
        evals={"eval_accuracy": np.array([end])},
    )


KNOWN = [_run(1e-4, 0.9), _run(3e-4, 0.85), _run(1e-2, 0.2)]


def test_a_rate_below_those_of_good_runs_is_held_against_them() -> None:
    advice = rate_advice(_run(1e-7, 0.2), KNOWN, GOAL)
    assert "1e-07 here" in advice
    assert "from 0.0001 to 0.0003 in the 2 good runs" in advice


def test_a_rate_above_those_of_good_runs_is_held_against_them() -> None:
    assert "0.01 here" in rate_advice(_run(1e-2, 0.2), KNOWN, GOAL)


def test_a_rate_like_those_of_good_runs_is_to_be_lowered() -> None:
    assert "peak learning rate of 5e-05" in rate_advice(_run(1.5e-4, 0.2), KNOWN, GOAL)


def test_without_known_rates_none_is_named() -> None:
    record = RunRecord(max_steps=10)
    assert rate_advice(record, KNOWN, GOAL).endswith("a third of the learning rate.")
