"""Goals by which runs of all sources are judged, and thresholds that know no source of a fold."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import all_sources
from benchmarks.all_sources import margin_name, threshold_without, with_target
from benchmarks.forecasting.held_out import fold_of
from benchmarks.watched import Watched
from hf_ftrisk import Goal


@pytest.mark.parametrize(
    ("goal", "outcome", "met_by", "target"),
    [
        (Goal("eval_accuracy"), 0.8, 0.03, 0.77),
        (Goal("eval_accuracy"), 0.8, -0.03, 0.83),
        (Goal("eval_accuracy", kind="percent"), 80.0, 0.03, 77.0),
        (Goal("eval_loss"), 2.0, 0.1, 2.2),
        (Goal("eval_loss"), 2.0, -0.1, 1.8),
        (Goal("eval_wer"), 0.4, 0.1, 0.44),
    ],
)
def test_a_target_is_met_or_missed_by_its_margin(goal, outcome, met_by, target):
    made = with_target(goal, outcome, met_by)
    assert made.target == pytest.approx(target)
    assert made.meets(outcome, None) == (met_by > 0)


def test_a_target_that_the_outcome_just_reaches_is_met():
    assert with_target(Goal("eval_f1"), 0.8, 0.0).meets(0.8, None)


@pytest.mark.parametrize(("outcome", "by"), [(0.95, -0.1), (0.05, 0.1), (1.0, 0.0)])
def test_there_is_no_target_where_none_could_meet_it_or_all_do(outcome, by):
    assert with_target(Goal("eval_accuracy"), outcome, by) is None


def look(source: str, prob: float, *, good: bool = True, judged: str = "baseline") -> Watched:
    progress = np.array([1.0])
    return Watched(source, good, progress, np.array([prob]), 0.5, progress, judged=judged)


@pytest.fixture
def sources(monkeypatch):
    """Twenty sources in several folds, 15 good runs each of P(good) = 0.9, two of each of 0.05."""
    runs = [
        look(f"own {source}", 0.05 if number < 2 else 0.9)
        for source in "abcdefghijklmnopqrst"
        for number in range(15)
    ]
    monkeypatch.setattr(all_sources, "watched_sources", lambda name: tuple(runs))
    threshold_without.cache_clear()
    yield runs
    threshold_without.cache_clear()


def test_a_threshold_knows_no_source_of_the_fold_it_is_for(sources):
    fold = fold_of("own a")
    others = [run for run in sources if fold_of(run.group) != fold]
    assert 0 < len(others) < len(sources)
    low = threshold_without("score", fold, False, 0.3)
    assert low == pytest.approx(0.9)
    of_fold = [run for run in sources if fold_of(run.group) == fold]
    sources[:] = [*others, *(look(run.group, 0.0) for run in of_fold)]
    threshold_without.cache_clear()
    assert threshold_without("score", fold, False, 0.3) == low


def test_easy_targets_make_no_threshold(sources):
    sources[:] = [look(run.group, 0.9, judged=margin_name(0.1)) for run in sources]
    assert threshold_without("score", fold_of("own a"), True, 0.3) is None
