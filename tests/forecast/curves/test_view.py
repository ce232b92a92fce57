"""Where a run is taken to have started, and what of it is seen."""

import numpy as np
import pytest

from hf_ftrisk.forecast.curves.view import CurveView
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord


def view(values, metric="eval_accuracy", baseline=None, **fields):
    record = RunRecord(
        max_steps=100,
        eval_step=10.0 * np.arange(1, len(values) + 1),
        evals={metric: np.array(values)},
        baselines={} if baseline is None else {metric: baseline},
        **fields,
    )
    return CurveView.of(record, Goal(metric))


def test_a_run_starts_at_the_trivial_predictor():
    found = view([0.6, 0.7], baseline=0.5)
    assert found.start.mean == pytest.approx(0.0)
    assert found.start.sd == 0.5


def test_a_run_that_is_far_worse_than_the_trivial_predictor_at_first_started_there():
    found = view([0.01, 0.02], baseline=0.2)  # 150 classes: chance is far below the majority
    assert found.start.mean == pytest.approx(float(found.z[0]))


def test_a_first_value_somewhat_below_the_trivial_predictor_is_noise():
    found = view([0.45, 0.6], baseline=0.5)
    assert found.start.mean == pytest.approx(0.0)


def test_where_the_trivial_predictor_scores_nothing_its_coordinate_is_hardly_known():
    found = view([0.3, 0.4], baseline=0.0)
    assert found.start.mean == pytest.approx(found.coordinate(0.0))
    assert found.start.sd == 2.0


def test_without_a_baseline_a_loss_starts_at_the_first_train_loss_else_at_its_first_value():
    logged = {"train_step": np.array([1.0]), "train_loss": np.array([3.0])}
    assert view([2.0, 1.0], "eval_loss", **logged).start.mean == pytest.approx(-np.log(3.0))
    assert view([2.0, 1.0], "eval_loss").start.mean == pytest.approx(-np.log(2.0))


def test_greater_is_better_in_the_coordinates_of_a_loss_too():
    found = view([2.0, 1.0], "eval_loss")
    assert found.z[1] > found.z[0]
    np.testing.assert_allclose(found.metric(found.z), [2.0, 1.0])


def test_evaluations_that_are_not_finite_are_not_seen():
    assert view([np.nan, np.inf]) is None
    assert view([np.nan, 0.5]).steps.tolist() == [20.0]
