"""What a stop advises, where the untrained model's signals are known."""

from __future__ import annotations

import numpy as np

from hf_ftrisk import RunRecord
from hf_ftrisk.policy.ruling import Ruling
from hf_ftrisk.verdict import Verdict
from hf_ftrisk.watch.trace import Trace
from hf_ftrisk.watch.watcher import Watcher
from tests.policy.parts.test_parts import GOAL, STATIC


class _Poor:
    """Calls every run poor, and names nothing to change."""

    def judge(self, record: RunRecord) -> Ruling:
        return Ruling(Verdict.NO_GO, "poor")


def advice(losses: list[float], **static: float) -> str | None:
    plan = RunRecord(
        max_steps=100,
        schedule=np.full(100, 2e-4),
        static=STATIC | static,
        baselines={"eval_accuracy": 0.5},
    )
    trace = Trace(plan)
    for step, loss in enumerate(losses, 1):
        trace.add_step(step, loss=loss, learning_rate=2e-4)
    trace.add_eval(len(losses), {"eval_accuracy": 0.5})
    watcher = Watcher(plan, GOAL, trace, make_rule=lambda *_: _Poor())
    judged = watcher.judge(len(losses))
    assert judged is not None
    return judged.advice


def test_labels_without_signal_are_to_be_read_whatever_the_learning_rate():
    assert advice([0.7] * 60, signal_z=0.0).startswith("Read ten training rows")


def test_what_was_wrong_before_the_first_step_comes_before_a_guess_at_the_rate():
    falling = np.linspace(0.7, 0.6, 60).tolist()
    assert "Set a target below" in advice(falling, signal_eval_score=0.6)


def test_without_signals_the_rate_is_what_is_left():
    falling = np.linspace(0.7, 0.6, 60).tolist()
    assert "a third of this" in advice(falling, signal_eval_score=0.95, signal_z=40.0)
