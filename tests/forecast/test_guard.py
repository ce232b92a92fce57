"""Whatever a log holds, a forecast is finite, in range, and no farther off than runs ever were."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk.forecast.change_model import family_of, load_change_model
from hf_ftrisk.forecast.cold import UNKNOWN_SHARE, share_before
from hf_ftrisk.forecast.conformal import DEPTHS
from hf_ftrisk.forecast.features import RANGES, run_state
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)
USUAL = st.floats(0.0, 1.0) | st.floats(0.0, 100.0) | st.floats(-5.0, 20.0) | ANY
METRICS = ["accuracy", "f1", "bleu", "wer", "loss", "error_rate", "matthews_correlation", "reward"]


@st.composite
def runs(draw):
    """A log of any shape: what is logged where, on any scale, with numbers of any size."""
    metric = f"eval_{draw(st.sampled_from(METRICS))}"
    total = draw(st.sampled_from([1, 7, 100, 20_000, 10**12]))
    n = draw(st.integers(1, 12))
    log = []
    for i in range(n):
        step = max(1, total * (i + 1) // (n + draw(st.integers(0, 3))))
        row = {"step": step, "epoch": draw(st.floats(1e-9, 1e9))}
        for name in ("loss", "grad_norm", "learning_rate"):
            if draw(st.booleans()):
                row[name] = draw(USUAL)
        log.append(row)
        log.append({"step": step, metric: draw(USUAL), "eval_loss": draw(USUAL)})
    fields = {"load_best": draw(st.booleans())}
    if draw(st.booleans()):
        fields["static"] = {"eval_rows": draw(st.sampled_from([0.0, 1.0, 18.0, 5000.0, math.nan]))}
    if draw(st.booleans()):
        fields["baselines"] = {metric: draw(st.floats(0.0, 1.0))}
    record = RunRecord.from_log_history(log, max_steps=total, **fields)
    return record.prefix(draw(st.floats(0.0, 1.0)) * total), Goal(metric)


@given(runs())
@settings(max_examples=60, deadline=None)
def test_any_log_gives_a_finite_forecast_inside_the_range_of_its_metric(case):
    record, goal = case
    forecast = Forecaster.default().predict(record, goal)
    scaled, _ = record.goal_scale(goal)
    low, high = scaled.bounds
    assert np.isfinite(forecast.samples).all()
    assert low <= forecast.samples[0] <= forecast.samples[-1] <= high
    lower, upper = forecast.interval(0.9)
    assert lower <= forecast.point <= upper


@given(runs())
@settings(max_examples=60, deadline=None)
def test_features_are_bounded_whatever_was_logged(case):
    record, goal = case
    state = run_state(record, goal)
    if state is None:
        return
    for value, (low, high) in zip(state.features, RANGES.values(), strict=True):
        assert math.isnan(value) or low <= value <= high


@given(runs())
@settings(max_examples=60, deadline=None)
def test_no_forecast_is_farther_from_the_last_value_than_runs_ever_went(case):
    record, goal = case
    state = run_state(record, goal)
    if state is None:
        return
    model = load_change_model(family_of(state.scale))
    changes = model.changes(state.features, state.curve, record.progress, "end", 200)
    depth = max(int(np.searchsorted(DEPTHS, record.progress, side="right")) - 1, 0)
    low, high = model.outcomes["end"].reach[depth]
    assert low <= changes[0] <= changes[-1] <= high


def run(values, metric="eval_accuracy", total=100, **fields):
    log = [{"step": 10 * (i + 1), metric: v} for i, v in enumerate(values)]
    return RunRecord.from_log_history(log, max_steps=total, **fields)


def test_none_right_of_eighteen_rows_is_not_certain():
    few = run([0.0, 0.0], static={"eval_rows": 18.0})
    many = run([0.0, 0.0], static={"eval_rows": 20_000.0})
    goal = Goal("accuracy")
    upper = [Forecaster.default().predict(r, goal).interval(0.9)[1] for r in (few, many)]
    assert upper[0] > 1 / 18
    assert upper[0] > upper[1]


def test_the_rows_that_a_probe_saw_count_and_not_those_of_the_whole_set():
    whole = run([0.6, 0.7], static={"eval_rows": 20_000.0})
    sample = replace(whole, settings={"eval_rows": 18})
    spans = [
        Forecaster.default().predict(r, Goal("accuracy")).interval(0.9) for r in (whole, sample)
    ]
    assert spans[1][1] - spans[1][0] > spans[0][1] - spans[0][0] + 0.01


@pytest.mark.parametrize("goal", ["eval_bleu>=20", "eval_sacrebleu>=20", "eval_rouge1>=20"])
def test_an_overlap_that_has_not_moved_yet_may_still_take_off(goal):
    goal = Goal.parse(goal)
    early = Forecaster.default().predict(run([0.2, 0.5], goal.metric), goal)
    low, high = early.interval(0.9)
    assert low < 2.0
    assert early.point < 5.0
    assert high > 50.0  # a translation model that ends at 47.6 began like this
    moving = Forecaster.default().predict(run([4.0, 9.0], goal.metric), goal)
    late = Forecaster.default().predict(run([0.2, 0.5, 0.5, 0.5, 0.5, 0.5], goal.metric), goal)
    assert late.interval(0.9)[1] < 5.0
    assert not np.array_equal(moving.samples, early.samples)


def test_a_score_below_its_trivial_predictor_early_in_a_run_is_not_forecast_to_stay_there():
    goal = Goal("accuracy")
    first = run([0.129], total=200, baselines={goal.metric: 0.16})  # a run that ended at 0.984
    bare = run([0.129], total=200)
    with_trivial, without = (Forecaster.default().predict(r, goal) for r in (first, bare))
    assert with_trivial.prob_meets(goal.with_target(0.9), 0.16) > 0.01
    assert with_trivial.interval(0.9)[1] > 0.6
    assert with_trivial.point > without.point


def test_what_was_known_before_counts_less_from_evaluation_to_evaluation():
    goal = Goal("accuracy")
    parts = [
        share_before(run_state(record, goal), record, goal)
        for n in (1, 2, 5, 15)
        for record in [run([0.2] * n, total=200, baselines={goal.metric: 0.25})]
    ]
    assert parts == pytest.approx([0.25, UNKNOWN_SHARE, UNKNOWN_SHARE, 0.0])


@pytest.mark.parametrize("values", [[0.3], [0.2, 0.3]])
def test_a_score_that_has_left_its_trivial_predictor_is_forecast_from_its_evaluations(values):
    goal = Goal("accuracy")
    record = run(values, baselines={goal.metric: 0.25})
    assert share_before(run_state(record, goal), record, goal) == 0.0


def test_what_an_overlap_has_reached_is_kept_where_the_best_checkpoint_is():
    goal = Goal.parse("eval_bleu>=20")
    kept = run([0.1, 1.2], goal.metric, load_best=True)
    assert Forecaster.default().predict(kept, goal).samples.min() >= 1.2


def test_an_error_rate_is_not_forecast_beyond_one_or_what_was_seen():
    goal = Goal("wer")
    for values, most in (([], 1.0), ([0.4, 0.3], 1.0), ([1.6, 1.2], 1.6), ([40.0, 30.0], 100.0)):
        forecast = Forecaster.default().predict(run(values, goal.metric), goal)
        assert forecast.samples[-1] <= most


def test_an_epoch_count_that_is_not_meant_changes_nothing():
    plain = run([0.5, 0.6, 0.65])
    odd = run([0.5, 0.6, 0.65], steps_per_epoch=100 / (2.0**63 - 1))
    first, second = (Forecaster.default().predict(r, Goal("accuracy")) for r in (plain, odd))
    np.testing.assert_array_equal(first.samples, second.samples)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "wer", "bleu"])
def test_a_score_in_percent_is_forecast_as_its_fraction_is(metric):
    values = [0.31, 0.42, 0.47]
    goal = Goal(metric)
    share = run(values, goal.metric)
    percent = run([100 * v for v in values], goal.metric)
    first, second = (Forecaster.default().predict(r, goal).point for r in (share, percent))
    assert second == pytest.approx(100 * first, rel=1e-6)


def test_the_end_of_a_run_is_what_it_was():
    whole = run([0.5, 0.6, 0.65], total=30)
    forecast = Forecaster.default().predict(whole, Goal("accuracy"))
    assert set(forecast.samples.tolist()) == {0.65}
