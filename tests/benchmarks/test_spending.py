"""What stopping saves: methods of stopping on hand-made pools, and the measure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.spending import methods
from benchmarks.spending.candidates import OWN, Candidate
from benchmarks.spending.measure import GOOD, KEPT, POOR, REACHED, at_kept, measured, poor_at
from benchmarks.spending.methods import halving, median_pruner, patience, restart, with_history
from benchmarks.watched import Watched
from hf_ftrisk.goal import Goal


def run(*values: float, source: str = "a", prob: float = 0.5, level: float = 0.8) -> Candidate:
    """A run evaluated at even shares; good when its last value reaches the level."""
    at = np.arange(1, len(values) + 1) / len(values)
    watched = Watched(
        group=source,
        good=values[-1] >= level,
        progress=at[:-1],
        prob=np.full(len(values) - 1, prob),
        before=0.5,
        last=np.array(values[:-1]),
    )
    goal = Goal("accuracy", target=level)
    return Candidate(
        OWN, source, "a fold", 0, source, goal, watched, at, np.array(values), level, 0.5, watched
    )


def test_patience_ends_a_run_after_so_many_evaluations_without_a_better_value():
    rising, stuck = run(0.6, 0.7, 0.8, 0.9), run(0.5, 0.5, 0.5, 0.5, 0.5)
    assert patience(2)([rising, stuck]) == [None, pytest.approx(0.6)]


def test_patience_ends_nothing_at_the_last_evaluation():
    assert patience(1)([run(0.5, 0.6, 0.5)]) == [None]


def test_a_restart_is_of_a_run_that_is_no_better_than_the_baseline_by_then():
    late, failed = run(0.5, 0.5, 0.5, 0.9), run(0.5, 0.4, 0.5, 0.5)
    assert restart(0.5)([late, failed]) == [0.5, 0.5]
    assert restart(0.5)([run(0.5, 0.6, 0.5, 0.5)]) == [None]


def test_successive_halving_lets_the_best_go_on():
    pool = [run(*np.linspace(end / 4, end, 8)) for end in (0.3, 0.5, 0.7, 0.9)]
    stops = halving(2.0)(pool)
    assert stops[3] is None
    assert [stop is None for stop in stops].count(True) == 1


def test_optunas_own_pruner_prunes_below_the_median_after_its_first_trials():
    pool = [run(*np.linspace(0.1, 0.9, 8)) for _ in range(8)] + [run(*np.full(8, 0.05))] * 8
    stops = median_pruner(50.0)(pool)
    assert all(stop is None for stop in stops[:8])
    assert any(stop is not None for stop in stops[8:])


def test_a_known_pool_bounds_the_good_runs_stopped_by_the_allowed_rate():
    rng = np.random.default_rng(0)
    good = [run(0.5, 0.7, 0.9, prob=p) for p in rng.uniform(0.1, 0.9, 60)]
    poor = [run(0.5, 0.5, 0.5, prob=0.01) for _ in range(10)]
    stops = with_history(0.1)([*good, *poor])
    assert sum(stop is not None for stop in stops[:60]) <= 6
    assert all(stop is not None for stop in stops[60:])


def test_a_pool_of_too_few_good_runs_is_judged_by_other_tasks_and_its_own_forecast(monkeypatch):
    monkeypatch.setattr(methods, "packaged_threshold", lambda candidate, rate: 0.3)
    poor = run(0.5, 0.5, 0.5, prob=0.01)
    promising = replace(poor, known=replace(poor.watched, prob=np.full(2, 0.9)))
    stops = with_history(0.1)([run(0.5, 0.7, 0.9, prob=0.9), poor, promising])
    assert stops == [None, pytest.approx(1 / 3), None]


def test_a_run_that_was_not_forecast_with_a_history_is_refused_with_its_name():
    with pytest.raises(ValueError, match="run 0 of a was not forecast with a history"):
        with_history(0.1)([replace(run(0.5, 0.9), known=None)])


def test_the_measure_weighs_sources_alike_and_charges_what_a_probe_costs():
    first = [*[run(0.5, 0.9)] * 10, *[run(0.5, 0.5)] * 10]
    second = [run(0.5, 0.5, source="b")] * 6
    stops = [*[None] * 5, *[0.5] * 15, *[None] * 6]
    spending = measured([*first, *second], stops, [0.1] * 26)
    assert spending.mean(KEPT) == 0.5
    assert spending.mean(POOR) == pytest.approx(((0.5 - 0.1) + (0.0 - 0.1)) / 2)
    assert spending.mean(GOOD) == pytest.approx((-0.1 + 0.4) / 2)


def test_sources_of_a_run_or_two_count_together_as_one():
    rows = [*[run(0.5, 0.5)] * 6, run(0.5, 0.5, source="b"), run(0.5, 0.5, source="c")]
    spending = measured(rows, [*[None] * 6, 0.5, 0.5])
    assert spending.sources.shape[0] == 2
    assert spending.mean(POOR) == 0.25


def test_a_stopped_run_that_had_reached_its_goal_is_counted_as_such():
    rows = [run(0.9, 0.85, 0.9), run(0.6, 0.7, 0.9)]
    spending = measured(rows, [2 / 3, 2 / 3])
    assert spending.mean(KEPT) == 0.0
    assert spending.mean(REACHED) == 0.5


def test_what_a_method_saves_at_a_share_kept_is_read_between_its_settings():
    rows = [*[run(0.5, 0.9)] * 10, *[run(0.5, 0.5)] * 2]
    cautious = measured(rows, [*[None] * 10, 0.5, None])
    eager = measured(rows, [*[0.5] * 2, *[None] * 8, 0.5, 0.5])
    settings = {"cautious": cautious, "eager": eager}
    assert poor_at(settings, 1.0) == pytest.approx(0.25)
    assert poor_at(settings, 0.9) == pytest.approx((0.25 + 0.5) / 2)
    best = at_kept(settings)
    assert best is not None
    assert best[0] == "cautious"
