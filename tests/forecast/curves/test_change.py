"""How far a run will still move: each term has its sign, and none is left at the end."""

import numpy as np
import pytest

from hf_ftrisk.forecast.curves.change import TERMS, loss_terms, score_change
from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

LOSS = Goal("eval_loss")
STEPS = np.array([20.0, 40.0])


def losses(eval_loss, train_loss, **fields):
    return RunRecord(
        max_steps=100,
        train_step=np.arange(1.0, len(train_loss) + 1),
        train_loss=np.array(train_loss),
        eval_step=STEPS,
        evals={"eval_loss": np.array(eval_loss)},
        schedule=np.ones(100),
        steps_per_epoch=10,
        **fields,
    )


def terms(record, gain=0.0):
    view = CurveView.of(record, LOSS)
    return dict(zip(TERMS, loss_terms(view, record, gain).tolist(), strict=True))


def test_terms_are_those_computed_by_hand():
    found = terms(losses([2.0, 1.0], [4.0, 2.0, 0.5]), gain=0.3)
    left = 0.6  # of a constant schedule, after 40 of 100 steps
    assert found["gain"] == 0.3
    assert found["fallen"] == 0.0
    # z is minus the log loss; half of the drift so far passed at step 20, where the loss was 2.
    assert found["recent"] == pytest.approx(left * np.log(2.0))
    assert found["train_fall"] == pytest.approx(left * np.log(4.0 / 0.5))
    # The train loss lies log(1 / 0.5) below the eval loss, with 10 epochs planned.
    assert found["overfit"] == pytest.approx(-left * np.log(2.0) * np.log(10.0))


def test_a_loss_above_its_best_may_come_back():
    assert terms(losses([1.0, 2.0], [1.0]))["fallen"] == pytest.approx(0.6 * np.log(2.0))


def test_train_loss_above_eval_loss_is_no_overfitting():
    assert terms(losses([1.0, 1.0], [2.0, 2.0, 2.0]))["overfit"] == 0.0


def test_without_train_loss_its_terms_are_zero():
    found = terms(losses([2.0, 1.0], []))
    assert found["train_fall"] == found["overfit"] == 0.0


def test_nothing_is_left_at_the_end():
    record = RunRecord(
        max_steps=40,
        train_step=np.array([10.0, 20.0, 40.0]),
        train_loss=np.array([3.0, 2.0, 0.1]),
        eval_step=STEPS,
        evals={"eval_loss": np.array([2.0, 1.0])},
        steps_per_epoch=5,
    )
    assert not np.any(list(terms(record).values()))


def scores(values):
    record = RunRecord(max_steps=100, eval_step=STEPS, evals={"eval_accuracy": np.array(values)})
    return CurveView.of(record, Goal("accuracy"))


def test_a_score_gains_half_of_what_its_curve_promises():
    view = scores([0.5, 0.6])
    assert score_change(view, 100, 0.8) == pytest.approx(0.4)
    assert score_change(view, 1000, 0.8) == pytest.approx(0.8 - 0.1 * 0.8)  # after 4 % of the run


def test_after_a_leap_no_more_than_one_unit_is_expected():
    view = scores([0.1, 0.6])
    assert score_change(view, 100, 5.0) == score_change(view, 100, 1.0) == pytest.approx(0.5)


def test_a_collapsed_score_is_not_forecast_to_come_back():
    small, large = scores([0.62, 0.6]), scores([0.97, 0.5])
    fall = float(small.z.max() - small.z[-1])
    assert score_change(small, 100, 0.0) == pytest.approx(0.25 * fall)
    assert score_change(large, 100, 0.0) == pytest.approx(0.25 * 0.4)
