"""The rule calibrated on packaged runs of other tasks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from hf_ftrisk import Forecaster, Goal, RunRecord
from hf_ftrisk.policy import default_rule
from hf_ftrisk.policy import packaged as module
from hf_ftrisk.policy.packaged import ReferenceScores, reference_rule
from hf_ftrisk.verdict import Verdict

GOAL = Goal("accuracy", target=0.8)
BASELINE = Goal("accuracy")


def scores(*by_data_set, judged: str = "50%") -> ReferenceScores:
    return ReferenceScores(
        scores=tuple(value for values in by_data_set for value in values),
        groups=tuple(str(i) for i, values in enumerate(by_data_set) for _ in values),
        judged=(judged,) * sum(map(len, by_data_set)),
        runs=sum(map(len, by_data_set)),
    )


def alike(n_sources: int, runs: int = 20, judged: str = "50%") -> ReferenceScores:
    """Data sets whose good runs have one law of scores."""
    drawn = np.random.default_rng(0).uniform(size=(n_sources, runs))
    return scores(*drawn.tolist(), judged=judged)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Writes scores where the packaged ones are looked for."""

    def write(known: ReferenceScores | None) -> None:
        file = tmp_path / "stopping.json"
        if known is not None:
            entry = vars(known)
            file.write_text(json.dumps({"families": {"score": entry}}))
        monkeypatch.setattr(module, "SCORES_FILE", file)
        module.reference_scores.cache_clear()

    yield write
    module.reference_scores.cache_clear()


def record(value: float, step: int = 30) -> RunRecord:
    steps = np.arange(10, step + 1, 10)
    return RunRecord(
        max_steps=100,
        eval_step=steps,
        evals={"eval_accuracy": np.full(steps.size, value)},
        baselines={"eval_accuracy": 0.5},
    )


def test_by_the_baseline_the_threshold_is_set_for_half_the_rate_or_less_where_that_stops_too_many():
    assert alike(12, judged="baseline").caution(0.1) == 2.0
    # Left out, the low data set lies wholly below the threshold of the others once that is 0.9:
    # from a level of 7 / 121 on.
    low, high = [0.1] * 40, [0.05] * 2 + [0.9] * 38
    odd = scores(low, high, high, high, judged="baseline")
    assert odd.held_out_rate(0.2 / 3.0) == pytest.approx((1 + 3 * 2 / 40) / 4)
    assert odd.held_out_rate(0.2 / 4.0) == pytest.approx((0 + 3 * 2 / 40) / 4)
    assert odd.caution(0.2) == 4.0
    assert odd.caution(0.3) == 2.0  # 0.29 of good runs are within it


def test_by_a_target_the_threshold_is_set_for_the_rate_or_less_where_that_stops_too_many():
    known = scores(*[[i / 100 for i in range(100)]] * 12)
    assert known.held_out_rate(0.2) == pytest.approx(0.19)
    assert known.caution(0.2) == 1.0
    low, high = [0.1] * 40, [0.05] * 2 + [0.9] * 38
    odd = scores(low, high, high, high)
    assert odd.held_out_rate(0.2) > 0.2
    assert (odd.caution(0.3), odd.caution(0.2)) == (1.0, 4.0)


def test_the_measured_rate_is_that_of_data_sets_left_out():
    low, high = [0.1] * 40, [0.9] * 40
    # Left out, the low one lies wholly below the threshold of the high ones; the others never do.
    assert scores(low, high, high, high).held_out_rate(0.05) == pytest.approx(0.25)
    assert alike(12).held_out_rate(0.05) == pytest.approx(0.05, abs=0.03)


def test_the_measured_rate_is_that_of_the_kind_of_goal_it_is_worst_for():
    easy = alike(10, runs=40)
    hard = ReferenceScores(
        scores=(0.01,) * 10, groups=tuple(map(str, range(10))), judged=("25%",) * 10, runs=10
    )
    both = ReferenceScores(
        *(getattr(easy, name) + getattr(hard, name) for name in ("scores", "groups", "judged")),
        runs=410,
    )
    # The ten low scores are 2.4 % of all: the threshold for 5 % lies above them.
    assert easy.held_out_rate(0.05) < 0.1
    assert both.held_out_rate(0.05) == 1.0


def test_goals_with_a_target_and_without_are_calibrated_apart(package):
    easy, hard = scores(*[[0.5] * 20] * 12, judged="baseline"), scores(*[[0.0] * 20] * 12)
    package(
        ReferenceScores(
            *(getattr(easy, name) + getattr(hard, name) for name in ("scores", "groups", "judged")),
            runs=480,
        )
    )
    assert reference_rule(BASELINE, Forecaster.default(), 0.1).threshold_score == 0.5
    assert reference_rule(GOAL, Forecaster.default(), 0.1) is None


def test_without_history_a_rule_rests_on_packaged_runs_and_says_so(package):
    package(alike(12))
    rule = default_rule(GOAL, Forecaster.default(), None, 0.1)
    assert rule.can_stop
    assert "240 completed runs of 12 other sources, not of this task" in rule.source
    assert "% of good runs fell below" in rule.source


def test_a_hopeless_run_is_stopped_and_told_why(package):
    package(scores(*[[0.5 + 0.01 * i for i in range(20)]] * 12))
    rule = default_rule(GOAL, Forecaster.default(), None, 0.1)
    ruling = rule.judge(record(0.3, step=90))
    assert ruling.verdict is Verdict.NO_GO
    assert "set for at most 10 % of good runs" in ruling.reason
    assert rule.decide(record(0.85, step=90)) is not Verdict.NO_GO


@pytest.mark.parametrize(
    ("known", "goal"),
    [
        pytest.param(None, GOAL, id="nothing packaged"),
        pytest.param(alike(7), GOAL, id="too few data sets"),
        pytest.param(alike(8, runs=1), GOAL, id="too few runs"),
        pytest.param(scores([0.01] * 20, *[[0.9] * 20] * 7), GOAL, id="data sets disagree"),
        pytest.param(alike(12), Goal("reward", target=20.0), id="a score of another scale"),
        pytest.param(alike(12), Goal("loss"), id="a family that is not packaged"),
    ],
)
def test_where_packaged_runs_do_not_support_it_no_rule_rests_on_them(package, known, goal):
    package(known)
    assert reference_rule(goal, Forecaster.default(), 0.1) is None
    rule = default_rule(goal, Forecaster.default(), None, 0.1)
    assert not rule.can_stop
    assert "9 more" in rule.cannot_stop(record(0.5))


def test_a_metric_of_no_known_range_stops_by_history_alone(package):
    assert reference_rule(Goal("loss"), Forecaster.default(), 0.1) is not None
    assert reference_rule(Goal("reward", target=1.0), Forecaster.default(), 0.1) is None


def test_nothing_is_stopped_earlier_than_the_packaged_runs_were_looked_at(package):
    package(scores(*[[0.5] * 20] * 12))
    rule = default_rule(GOAL, Forecaster.default(), None, 0.1)
    early = RunRecord(max_steps=1000, eval_step=[40], evals={"eval_accuracy": [0.1]})
    ruling = rule.judge(early)
    assert ruling.verdict is Verdict.UNDECIDED
    assert ruling.threshold is None
    assert "which were not judged before 5 % of a run" in ruling.reason
    assert rule.threshold(early.prefix(40)) is None
    assert rule.threshold(replace(early, max_steps=800)) is not None


def test_a_run_that_began_far_below_its_baseline_is_not_judged_by_packaged_ones(package):
    package(scores(*[[0.5] * 20] * 12, judged="baseline"))
    many_classes = replace(replace(record(0.03), max_steps=200), baselines={"eval_accuracy": 0.2})
    rule = default_rule(BASELINE, Forecaster.default(), None, 0.1)
    ruling = rule.judge(many_classes)
    assert ruling.verdict is Verdict.UNDECIDED
    assert ruling.threshold is None
    assert "this one began far below its trivial baseline of 0.2" in ruling.reason
    assert replace(rule, borrowed=False).threshold(many_classes) is not None
    assert rule.threshold(replace(many_classes, baselines={"eval_accuracy": 0.02})) is not None


def test_enough_history_of_the_task_comes_first(package):
    package(alike(12))
    history = [
        RunRecord(
            max_steps=100,
            eval_step=[50, 100],
            evals={"eval_accuracy": [0.8, 0.85 + 0.001 * seed]},
            baselines={"eval_accuracy": 0.5},
            seed=seed,
        )
        for seed in range(9)
    ]
    rule = default_rule(GOAL, Forecaster.default(history), history, 0.1)
    assert not rule.borrowed
    assert "9 good of 9 completed runs of this task" in rule.source


def poor_history(n: int = 30) -> list[RunRecord]:
    """Runs of the task that came to nothing, as a search that began badly leaves them."""
    steps = np.arange(10, 101, 10)
    return [
        RunRecord(
            max_steps=100,
            eval_step=steps,
            evals={"eval_accuracy": np.full(10, 0.46 + 0.005 * (seed % 5))},
            baselines={"eval_accuracy": 0.5},
            seed=seed,
        )
        for seed in range(n)
    ]


def test_a_history_of_poor_runs_does_not_end_a_run_that_packaged_ones_would_let_go_on(package):
    package(scores(*[[0.62] * 20] * 12, judged="baseline"))
    history = poor_history(60)
    forecaster = Forecaster.default(history)
    run = record(0.47, step=10)
    rule = default_rule(BASELINE, forecaster, history, 0.1)
    assert rule.judged_by is not None
    # By the history alone it would be below the threshold.
    assert forecaster.predict(run, BASELINE).prob_meets(BASELINE, 0.5) < rule.threshold(run)
    ruling = rule.judge(run)
    assert ruling.verdict is Verdict.UNDECIDED
    assert ruling.prob_good > rule.threshold(run)
    assert "the history left out; not below" in ruling.reason


def test_a_run_that_its_history_promises_to_be_good_is_not_stopped_by_packaged_ones(package):
    package(scores(*[[0.9] * 20] * 12))
    history = [
        replace(run, evals={"eval_accuracy": np.r_[np.full(9, 0.3), 0.9]})
        for run in poor_history(5)
    ]
    run = record(0.3, step=90)
    assert default_rule(GOAL, Forecaster.default(), None, 0.1).decide(run) is Verdict.NO_GO
    rule = default_rule(GOAL, Forecaster.default(history), history, 0.1)
    ruling = rule.judge(run)
    assert ruling.verdict is not Verdict.NO_GO
    assert "with completed runs of this task P(good) is at least 0.5" in ruling.reason


def test_packaged_runs_say_nothing_about_another_forecaster(package):
    class Other:
        def predict(self, record, goal):
            raise AssertionError("not asked")

    package(alike(12))
    assert not default_rule(GOAL, Other(), None, 0.1).can_stop
