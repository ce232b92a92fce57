"""No forecast lies beyond what its metric can be, by the metric's name, from no evaluation on."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hf_ftrisk import Forecaster, Goal, RunRecord
from hf_ftrisk.cli.app import app
from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.record import ModelSelection
from tests.fuzzing import fuzz

INF = math.inf
# By the definition of each, not by what the package says of it.
RANGES = {
    "accuracy": (0, 1),
    "macro_f1": (0, 1),
    "exact_match": (0, 1),
    "bleu": (0, 1),
    "rougeL": (0, 1),
    "error_rate": (0, 1),
    "brier_score": (0, 1),
    "sacrebleu": (0, 100),
    "sari": (0, 100),
    "pearson": (-1, 1),
    "spearmanr": (-1, 1),
    "matthews_correlation": (-1, 1),
    "loss": (0, INF),
    "mse": (0, INF),
    "mae": (0, INF),
    "wer": (0, INF),
    "cer": (0, INF),
    "perplexity": (1, INF),
    "ppl": (1, INF),
    "r2": (-INF, 1),
    "explained_variance": (-INF, 1),
    "d2_score": (-INF, 1),
    "neg_mean_squared_error": (-INF, 0),
    "neg_log_loss": (-INF, 0),
    "reward": (-INF, INF),
}
IN_PERCENT = ("accuracy", "macro_f1", "exact_match", "bleu", "rougeL", "error_rate", "pearson")


def placed(share, low, high, size):
    """A share in [0, 1] as a value of a metric whose range is (low, high)."""
    if low > -INF and high < INF:
        return low + (high - low) * share
    if low > -INF:
        return low + size * (1.0 - share)
    return high - size * (1.0 - share) if high < INF else size * (share - 0.5)


@st.composite
def cases(draw):
    """A run of a metric with its range, a depth, and completed runs of the same task."""
    name = draw(st.sampled_from(sorted(RANGES)))
    low, high = RANGES[name]
    factor = 100.0 if name in IN_PERCENT and draw(st.booleans()) else 1.0
    size = 10.0 ** draw(st.integers(-3, 4))
    shares = draw(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8))
    order = draw(st.sampled_from(["as drawn", "rising", "falling"]))
    if order != "as drawn":
        shares = sorted(shares, reverse=order == "falling")
    values = [factor * placed(share, low, high, size) for share in shares]
    if factor == 100.0:
        values[0] = factor * (high if name == "error_rate" else max(low, 0.2))
        values = [max(value, 0.0) for value in values]
        low, high = 0.0, 100.0
    if draw(st.booleans()):
        values[draw(st.integers(0, len(values) - 1))] = math.nan if factor == 1.0 else values[0]
    total = 10 * (len(values) + draw(st.integers(0, 3)))
    fields = {"load_best": draw(st.booleans()), "task": "t"}
    record = run(values, f"eval_{name}", total, **fields)
    known = [
        run([_moved(v, s, low, high) for v in values], f"eval_{name}", 10 * len(values), task="t")
        for s in draw(st.lists(st.floats(-0.2, 0.2), max_size=5))
    ]
    depth = draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    scaled = record.goal_scale(Goal(name))[0] if factor == 100.0 else Goal(name)
    return record.prefix(depth * total), scaled, (low, high), known


def _moved(value, by, low, high):
    return float(np.clip(value * (1.0 + by), low, high))


def run(values, metric, total, **fields):
    log = []
    for i, value in enumerate(values):
        log += [
            {"step": 10 * (i + 1), "loss": 1.0 / (i + 1)},
            {"step": 10 * (i + 1), metric: value},
        ]
    return RunRecord.from_log_history(log, max_steps=total, **fields)


@given(cases())
@settings(max_examples=fuzz(120), deadline=None)
def test_a_forecast_is_finite_and_inside_the_range_of_its_metric(case):
    record, goal, (low, high), known = case
    forecast = Forecaster.default(known or None).predict(record, goal)
    assert np.isfinite(forecast.samples).all()
    assert low <= forecast.samples[0] <= forecast.samples[-1] <= high
    lower, upper = forecast.interval(0.9)
    assert lower <= forecast.point <= upper
    again = Forecast.from_dict(json.loads(json.dumps(forecast.to_dict())))
    assert (again.interval(0.9), again.point) == ((lower, upper), forecast.point)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_a_replay_shows_no_value_outside_the_range_of_the_metric(name, tmp_path):
    low, high = RANGES[name]
    shares = [0.2, 0.6, 0.9, 0.97, 0.99, 1.0]
    values = [placed(share, low, high, 3.0) for share in shares]
    log = [{"step": 10 * (i + 1), f"eval_{name}": value} for i, value in enumerate(values)]
    path = tmp_path / "trainer_state.json"
    path.write_text(json.dumps({"log_history": log, "max_steps": 70, "global_step": 60}))
    done = CliRunner().invoke(app, ["replay", str(path), "--goal", f"eval_{name}", "--json"])
    assert done.exit_code == 0, done.output
    looks = json.loads(done.stdout)["looks"]
    assert looks
    for look in looks:
        assert low <= look["low"] <= look["median"] <= look["high"] <= high


@pytest.mark.parametrize("goal", [Goal("accuracy"), Goal("loss"), Goal("error_rate")])
def test_a_chance_from_elsewhere_moves_no_draw_beyond_the_best_value(goal):
    best = 1.0 if goal.greater_is_better else 0.0
    forecast = Forecast(np.full(10, 0.5)).with_chance(goal, best, 0.7)
    assert 0.0 <= forecast.samples[0] <= forecast.samples[-1] <= 1.0


@pytest.mark.parametrize(
    ("name", "values", "loss"),
    [
        ("perplexity", [31.0, 12.0, 9.0], lambda v: math.log(v)),
        ("r2", [-0.4, 0.5, 0.7], lambda v: 1.0 - v),
        ("neg_mean_squared_error", [-3.0, -1.0, -0.4], lambda v: -v),
    ],
)
@pytest.mark.parametrize("known", [0, 5])
@pytest.mark.parametrize("load_best", [False, True])
def test_what_is_made_of_a_loss_is_forecast_as_that_loss(name, values, loss, known, load_best):
    """Live, with and without completed runs, and where the best checkpoint is kept."""
    back = {"perplexity": lambda x: np.minimum(np.exp(x), 256_000), "r2": lambda x: 1.0 - x}.get(
        name, np.negative
    )
    own, other = f"eval_{name}", "eval_mse"
    runs = [values] + [[v * (1.0 + 0.02 * i) for v in values] for i in range(known)]
    of_own = [run(each, own, 30 + 20 * (not i), task="t") for i, each in enumerate(runs)]
    of_loss = [
        run([loss(v) for v in each], other, 30 + 20 * (not i), task="t")
        for i, each in enumerate(runs)
    ]
    for seen in (1, 3):
        first, second = (
            Forecaster.default(each[1:] or None).predict(
                _keeping(each[0].prefix(10 * seen), metric, greater, load_best), Goal(metric)
            )
            for each, metric, greater in (
                (of_own, own, name != "perplexity"),
                (of_loss, other, False),
            )
        )
        np.testing.assert_allclose(first.samples, np.sort(back(second.samples)), rtol=1e-9)


def test_no_perplexity_is_forecast_above_a_guess_among_all_tokens_or_what_was_shown():
    for values, most in (([6.0, 6.0, 2500.0], 256_000), ([3e6, 2e6], 3e6), ([], 256_000)):
        record = run(values, "eval_ppl", 100)
        assert Forecaster.default().predict(record, Goal("ppl")).samples[-1] <= most * (1 + 1e-9)


def _keeping(record, metric, greater, load_best):
    selection = ModelSelection(metric, greater)
    return replace(record, load_best=load_best, selection=selection)


def test_values_that_contradict_a_definition_are_forecast_as_they_are():
    for name, values in (("r2", [0.7, 1.4, 1.6]), ("perplexity", [0.9, 0.6, 0.5])):
        forecast = Forecaster.default().predict(run(values, f"eval_{name}", 60), Goal(name))
        low, high = forecast.interval(0.9)
        assert low < values[-1] < high
