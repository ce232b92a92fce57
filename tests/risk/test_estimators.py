"""Replay and probes: which runs are forecast from what, and the risk that comes out."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hf_ftrisk.forecast.distribution import Forecast
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk import fit_risk_curve, probe_risk, replay_risk
from hf_ftrisk.risk.estimators import effective_count

GOAL = Goal("eval_accuracy", target=0.5)


def run(curve: Sequence[float], task: str = "t", final: float | None = None) -> RunRecord:
    """A finished run of 10 steps for each value of its curve."""
    steps = 10.0 * np.arange(1, len(curve) + 1)
    return RunRecord(
        max_steps=int(steps[-1]),
        train_step=steps,
        train_loss=np.ones(len(curve)),
        eval_step=steps,
        evals={"eval_accuracy": np.array(curve, dtype=float)},
        status="finished",
        task=task,
        final={} if final is None else {"eval_accuracy": final},
    )


class MeanOfPeers:
    """Forecasts the mean outcome of the runs it was given."""

    def __init__(self, peers: Sequence[RunRecord]) -> None:
        self.peers = list(peers)

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        return Forecast(np.array([np.mean([peer.outcome(goal) for peer in self.peers])]))


class LastValue:
    """Forecasts the last value seen; remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[RunRecord] = []

    def predict(self, record: RunRecord, goal: Goal) -> Forecast:
        self.shown.append(record)
        return Forecast(record.evals[goal.metric][-1:])


def test_replay_leaves_each_run_out_within_its_task():
    ends = {"a": [0.2, 0.4, 0.9], "b": [0.5, 0.7]}
    runs = [run([0.1, end], task) for task, values in ends.items() for end in values]
    replayed = replay_risk(runs, MeanOfPeers, [10, 20], GOAL)
    squares = [
        (np.mean(values[:i] + values[i + 1 :]) - end) ** 2
        for values in ends.values()
        for i, end in enumerate(values)
    ]
    assert replayed.risks == pytest.approx([np.mean(squares)] * 2)
    assert replayed.runs.tolist() == [5, 5]
    assert replayed.depths.tolist() == [10.0, 20.0]


def test_replay_shows_the_prefix_and_nothing_of_the_end():
    predictor = LastValue()
    runs = [run([0.3, 0.6, 0.7], final=0.75), run([0.2, 0.2, 0.1], final=0.05)]
    replayed = replay_risk(runs, predictor, [10, 25], GOAL)
    assert replayed.risks == pytest.approx([(0.45**2 + 0.15**2) / 2, (0.15**2 + 0.15**2) / 2])
    for shown in predictor.shown:
        assert shown.final == {}
        assert shown.status == "running"
        assert shown.eval_step.max() <= 25
        assert not shown.has_outcome(GOAL) or shown.eval_step.size < 3


def test_the_final_score_is_the_outcome_where_there_is_one():
    runs = [run([0.5, 0.5], final=0.9), run([0.5, 0.5], final=0.1)]
    assert replay_risk(runs, LastValue(), [20], GOAL).risks == pytest.approx([0.16])


def test_runs_too_short_for_a_depth_do_not_count_there():
    runs = [run([0.5, 0.6]), run([0.5, 0.7]), run([0.5, 0.5, 0.5, 0.6])]
    replayed = replay_risk(runs, LastValue(), [10, 20], GOAL)
    assert replayed.runs.tolist() == [3, 3]
    with pytest.raises(ValueError, match="1 of 3 runs reach depth 30, 2 are needed"):
        replay_risk(runs, LastValue(), [10, 30], GOAL)


def test_runs_without_an_outcome_are_passed_over():
    lost = run([0.5, 0.6], final=float("nan"))
    going = replace(run([0.5, 0.6]), status="running")
    good = [run([0.5, 0.6]), run([0.5, 0.7])]
    replayed = replay_risk([*good, lost, going], LastValue(), [10], GOAL)
    assert replayed.runs.tolist() == [2]
    with pytest.raises(ValueError, match="at least 2 completed runs with a finite eval_accuracy"):
        replay_risk([run([0.5, 0.6]), lost], LastValue(), [10], GOAL)


@pytest.mark.parametrize("depths", [[], [-1.0], [float("nan")], [[1.0, 2.0]]])
def test_depths_that_cannot_be_are_refused(depths):
    with pytest.raises(ValueError, match="depths must be a list of optimizer steps"):
        replay_risk([run([0.5, 0.6]), run([0.5, 0.7])], LastValue(), depths, GOAL)


def test_replayed_peers_recover_the_spread_of_the_outcome():
    # The mean of n - 1 others misses by (1 + 1/(n-1)) of the variance.
    random = np.random.default_rng(0)
    runs = [run([0.5, end]) for end in random.normal(0.6, 0.05, 200)]
    replayed = replay_risk(runs, MeanOfPeers, [10], GOAL)
    ends = np.array([r.outcome(GOAL) for r in runs])
    assert replayed.risks[0] == pytest.approx(ends.var(ddof=1) * (1 + 1 / 199), rel=1e-9)
    assert replayed.counts[0] == pytest.approx(200, rel=0.15)


def test_probe_risk_is_the_mean_predictive_variance():
    narrow, wide = Forecast(np.array([0.4, 0.6])), Forecast(np.array([0.2, 0.8]))
    replayed = probe_risk({50: [narrow, wide], 10: [wide, wide]})
    assert replayed.depths.tolist() == [10.0, 50.0]
    assert replayed.risks == pytest.approx([0.09, (0.01 + 0.09) / 2])
    assert replayed.runs.tolist() == [2, 2]


def test_one_probe_counts_as_the_least_that_has_a_variance():
    replayed = probe_risk({10: [Forecast(np.array([0.2, 0.8]))]})
    assert replayed.counts.tolist() == [2.0]
    assert replayed.runs.tolist() == [1]


def test_probes_that_agree_count_no_more_than_they_are():
    same = Forecast(np.array([0.2, 0.8]))
    assert probe_risk({10: [same] * 5}).counts.tolist() == [5.0]


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "depths"), ({10: []}, r"no forecast at depths \[10"), ({-1: [1]}, "-1")],
)
def test_probes_that_say_nothing_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        probe_risk(given)


def test_normal_errors_count_as_the_runs_they_are():
    random = np.random.default_rng(1)
    counts = [effective_count(random.normal(size=400) ** 2) for _ in range(50)]
    assert np.mean(counts) == pytest.approx(390, rel=0.05)


def test_heavy_tails_count_as_fewer_runs():
    # Two failures among 48 good runs: their errors are all the risk there is.
    squares = np.array([0.0001] * 48 + [0.25, 0.36])
    mean, variance = squares.mean(), squares.var(ddof=1)
    assert effective_count(squares) == pytest.approx(2 * 50 * mean**2 / variance + 1)
    assert effective_count(squares) < 6


def test_the_effective_count_is_as_sure_as_the_risk_really_is():
    # Errors with heavy tails: the chi-square of the count scatters as the mean square does.
    random = np.random.default_rng(2)
    squares = random.standard_t(9, size=(4000, 60)) ** 2
    scatter = squares.mean(axis=1).std() / squares.mean()
    count = np.median([effective_count(row) for row in squares])
    assert np.sqrt(2 / (count - 1)) == pytest.approx(scatter, rel=0.15)


def test_no_variance_at_all_counts_every_run():
    assert effective_count(np.zeros(7)) == 7.0
    assert effective_count(np.array([0.3])) == 2.0


def test_a_replay_goes_straight_into_the_fit():
    # A walk whose steps shrink: the last value is the best forecast there is.
    random = np.random.default_rng(3)
    scale = np.array([0.08, 0.05, 0.03, 0.02, 0.01])
    runs = [run(0.5 + np.cumsum(scale * random.normal(size=5))) for _ in range(60)]
    replayed = replay_risk(runs, LastValue(), [10, 20, 30, 40], GOAL)
    fit = fit_risk_curve(
        replayed.depths, replayed.risks, replayed.counts, horizon=50, same_runs=True, tolerance=0.02
    )
    left = np.cumsum((scale**2)[:0:-1])[::-1]
    for depth, risk in zip(replayed.depths, left, strict=True):
        low, high = fit.band(depth, level=0.99)
        assert low < risk < high
    assert fit.regime == "dynamic-critical"
