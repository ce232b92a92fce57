"""The parts of what a pre-flight saw: what each means, and where it is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.policy.parts.parts import Parts, part_names, read_parts, skill, skill_asked
from hf_ftrisk.signals.ordering import ORDERING

GOAL = Goal("eval_accuracy", target=0.75)
STATIC = {
    "signal_z": 14.0,
    "signal_eval_score": 0.75,
    "signal_eval_trivial": 0.5,
    "signal_eval_rows": 100.0,
    "train_rows": 1000.0,
    "schedule_gain": 3.5,
    "zero_shot_loss": 0.7,
    "label_entropy": 0.7,
    "uniform_loss": 0.693,
}


def probe(losses, *, accuracy=0.5, loss=0.7, **static) -> RunRecord:
    entries = [{"step": k + 1, "loss": value} for k, value in enumerate(losses)]
    entries.append({"step": len(losses), "eval_accuracy": accuracy, "eval_loss": loss})
    record = RunRecord.from_log_history(entries, max_steps=100, status="running")
    return replace(record, static=STATIC | static)


def parts(*args, goal=GOAL, **fields) -> Parts:
    return read_parts(probe(*args, **fields), goal, 0.5)


def test_skill_is_the_share_of_the_way_from_the_trivial_value_to_the_best():
    assert skill(GOAL, 0.5, 0.75) == pytest.approx(0.5)
    assert skill(Goal("eval_loss", target=0.1), 0.7, 0.35) == pytest.approx(0.5)
    assert skill(Goal("eval_f1", target=0.5), None, 0.5) == pytest.approx(0.5)
    assert skill(Goal("eval_loss", target=0.1), None, 0.35) is None


def test_a_goal_without_a_target_asks_for_a_little():
    assert skill_asked(Goal("eval_accuracy"), 0.5) == pytest.approx(0.05)
    assert skill_asked(Goal("eval_accuracy"), None) is None


def test_what_a_head_reaches_within_the_schedule_is_held_against_what_is_asked():
    # Half of the way from 0.5 to 1, as much as the goal asks for; then next to nothing of it.
    assert parts([0.7] * 3, simulated_score=0.75).simulated == pytest.approx(0.0)
    assert parts([0.7] * 3, simulated_score=0.5).simulated == -4.0
    # Nothing is far from even the little that a goal without a target asks for.
    bare = parts([0.7] * 3, goal=Goal("eval_accuracy"), simulated_score=0.5)
    assert bare.simulated == pytest.approx(-2.349, abs=1e-3)
    assert parts([0.7] * 3).simulated is None


def test_what_data_and_model_allow():
    seen = parts([0.7, 0.7, 0.7])
    assert seen.signal == 2.0  # cut
    assert seen.reach == pytest.approx(0.0)  # the probe's skill is the one that is asked for
    assert seen.rows == 2.0  # cut
    assert parts([0.7] * 3, signal_z=2.0).signal == pytest.approx(1.0)  # log2(1 + 2 / 2)
    assert parts([0.7] * 3, signal_z=-3.0).signal == 0.0


def test_a_target_beyond_the_probe_lowers_the_reach():
    near, far = (parts([0.7] * 3, goal=GOAL.with_target(target)).reach for target in (0.8, 0.99))
    assert far < near < 0.0


def test_movement_compares_what_the_schedule_can_with_what_is_asked_for():
    # The goal asks for half of the trivial loss of 0.7.
    assert parts([0.7] * 3).movement == pytest.approx(1.0)
    assert parts([0.7] * 3, schedule_gain=0.035).movement == pytest.approx(-2.0)
    assert parts([0.7] * 3, schedule_gain=70.0).movement == 1.0  # cut


def test_heat_is_what_a_single_step_at_the_peak_does():
    def heat(rate: float) -> float | None:
        record = replace(probe([0.7] * 3, schedule_rates=1e-2), learning_rate=[rate] * 3)
        return read_parts(record, GOAL, 0.5).heat

    # The loss of 0.7 may fall by 350 for each unit of rate.
    assert heat(1e-4) == 0.0
    assert heat(1e-3) == pytest.approx(-1.0)  # half of it in a step: ten times a twentieth
    assert heat(1.0) == -2.0  # cut


def test_a_loss_above_the_trivial_one_has_to_fall_to_it_first():
    assert parts([1.05] * 3, zero_shot_loss=1.05, schedule_gain=0.7).movement == pytest.approx(0.0)


def test_a_target_of_the_loss_itself_is_what_the_schedule_has_to_reach():
    goal = Goal("eval_loss", target=0.35)
    assert read_parts(probe([0.7] * 3), goal, 0.7).movement == pytest.approx(1.0)


def test_what_the_recipe_makes_of_it():
    learned = parts([0.7, 0.6, 0.5, 0.4, 0.35, 0.3], accuracy=0.75, loss=0.35)
    assert learned.learning == pytest.approx(0.5)  # 0.35 in the last steps and the evaluation
    assert learned.progress == pytest.approx(1.0)
    assert learned.stability == 0.0


def test_scores_that_order_rows_by_class_are_told_from_chance():
    seen = probe([0.7] * 3)
    ordered = replace(seen, evals={**seen.evals, ORDERING: np.array([0.8])})
    assert read_parts(ordered, GOAL, 0.5).separation == pytest.approx(0.6)
    assert parts([0.7] * 3).separation is None


def test_losses_that_rose_or_are_no_numbers_are_unstable():
    assert parts([0.7, 1.4, 1.4, 1.4], loss=1.4).stability == pytest.approx(-1.0)
    assert parts([0.7, float("inf")]).stability == -2.0


def test_what_was_not_measured_is_none():
    record = RunRecord.from_log_history([{"step": 1, "loss": 0.7}], max_steps=10, status="running")
    assert read_parts(record, GOAL, 0.5) == Parts()


@given(
    st.lists(st.floats(1e-6, 1e6) | st.just(float("inf")), min_size=1, max_size=20),
    st.floats(0, 1),
    st.floats(1e-9, 1e9),
    st.floats(-1e3, 1e6),
    st.floats(0.01, 0.99),
)
def test_parts_of_any_probe_are_bounded(losses, accuracy, gain, z, target):
    seen = read_parts(
        probe(losses, accuracy=accuracy, schedule_gain=gain, signal_z=z),
        GOAL.with_target(target),
        0.5,
    )
    values = seen.values(dict.fromkeys(part_names(), 0.0))
    assert np.isfinite(values).all()
    assert np.abs(values).max() <= 5.0


def test_a_probe_of_few_rows_is_carried_on_to_those_that_the_run_sees():
    few, many = (
        parts([0.7] * 3, signal_rows=rows, train_rows=800.0, signal_eval_score=0.7).reach
        for rows in (100.0, 800.0)
    )
    assert few - many == pytest.approx(3 * 0.4)  # three doublings
