"""Named failures: each fires on a planted case and keeps silent on what only looks like it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk import Goal, RunRecord
from hf_ftrisk.diagnoses.checks import diagnose

ACCURACY = Goal("accuracy")
STEPS = np.arange(1, 101)


def noisy(curve: np.ndarray, sd: float = 0.05, seed: int = 0) -> np.ndarray:
    return curve + sd * np.random.default_rng(seed).normal(size=curve.size)


def learning(floor: float = 0.3, scale: float = 20.0) -> np.ndarray:
    return floor + np.exp(-STEPS / scale)


def run(loss=None, accuracy=None, eval_loss=None, **fields) -> RunRecord:
    """100 steps with a loss each, and an evaluation every tenth."""
    evals = {}
    if accuracy is not None:
        evals["eval_accuracy"] = np.asarray(accuracy, dtype=float)
    if eval_loss is not None:
        evals["eval_loss"] = np.asarray(eval_loss, dtype=float)
    defaults = {
        "max_steps": 100,
        "train_step": STEPS,
        "train_loss": noisy(learning()) if loss is None else loss,
        "grad_norm": np.ones(100),
        "learning_rate": 1e-4 * (1 - (STEPS - 1) / 100),
        "baselines": {"eval_accuracy": 0.5},
    }
    if evals:
        defaults |= {"eval_step": np.arange(10, 101, 10), "evals": evals}
    return RunRecord(**(defaults | fields))


RISING = np.linspace(0.55, 0.9, 10)


def names(record: RunRecord, goal: Goal = ACCURACY, **more) -> list[str]:
    return [diagnosis.name for diagnosis in diagnose(record, goal, **more)]


def test_a_run_that_learns_has_nothing():
    assert names(run(accuracy=RISING, eval_loss=np.linspace(0.8, 0.35, 10))) == []


# --- diverging ---------------------------------------------------------------------------------


def test_a_loss_that_rises_above_its_start_diverges():
    loss = noisy(np.where(STEPS < 40, 1.0 - 0.01 * STEPS, 0.6 + 0.03 * (STEPS - 40)))
    (diagnosis,) = diagnose(run(loss), ACCURACY)
    assert diagnosis.name == "diverging"
    assert diagnosis.evidence["last"] > diagnosis.evidence["first"] > diagnosis.evidence["lowest"]
    assert "learning rate" in diagnosis.advice


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(noisy(learning() + 3.0 * (STEPS == 60)), id="one spike"),
        pytest.param(
            noisy(learning() + np.where((STEPS > 50) & (STEPS < 60), 2.0, 0.0)), id="a bump passed"
        ),
        pytest.param(noisy(1.0 - 0.3 * (STEPS > 33) - 0.3 * (STEPS > 66)), id="epoch boundaries"),
        pytest.param(
            # sawtooth: down at each boundary, creeping up inside an epoch as easy rows come first
            noisy(1.0 - 0.3 * (STEPS // 34) + 0.002 * (STEPS % 34)),
            id="sawtooth",
        ),
        pytest.param(noisy(np.full(100, 1.0), sd=0.4), id="noise"),
        pytest.param(noisy(learning(), sd=0.02) + 0.001 * STEPS, id="slight rise, far below"),
    ],
)
def test_jumps_bumps_and_noise_are_no_divergence(loss):
    assert "diverging" not in names(run(loss, accuracy=RISING))


def test_noise_logged_at_every_step_is_neither_divergence_nor_a_standstill():
    """A loss that falls fast and then stays, with the spread of single batches."""
    steps = np.arange(1, 3001)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        loss = (0.4 + np.exp(-steps / 60)) * rng.lognormal(0.0, 0.5, steps.size)
        record = RunRecord(max_steps=3000, train_step=steps, train_loss=loss)
        for share in (0.2, 0.5, 1.0):
            assert names(record.prefix(3000 * share)) == []


def test_divergence_is_seen_in_a_log_of_every_step():
    steps = np.arange(1, 3001)
    rng = np.random.default_rng(0)
    curve = np.where(steps < 1500, 0.4 + np.exp(-steps / 100), 0.4 + (steps - 1500) / 800)
    record = RunRecord(
        max_steps=3000, train_step=steps, train_loss=curve * rng.lognormal(0.0, 0.3, steps.size)
    )
    assert "diverging" in names(record)


def test_a_loss_thrown_up_within_the_first_steps_diverges_and_does_not_overfit():
    """A rate so high that the first updates ruin the model; then both losses fall, from there."""
    train = noisy(np.where(STEPS < 2, 2.0, 5.0 + 10.0 * np.exp(-STEPS / 30)))
    held_out = [2.1, 14.0, 11.0, 9.5, 8.0, 7.5, 7.0, 6.8, 6.6, 6.5]
    record = run(train, eval_loss=held_out, eval_step=np.arange(0, 100, 10))
    (diagnosis,) = diagnose(record, Goal("eval_loss", target=1.0))
    assert diagnosis.name == "diverging"
    assert "eval_loss rose from 2.1 at step 0 to 6.5" in diagnosis.message
    assert diagnosis.evidence["first"] == pytest.approx(2.0, abs=0.1)
    assert diagnosis.evidence["last"] > 5.0


def test_an_evaluation_loss_that_rises_while_training_stands_is_no_divergence():
    record = run(noisy(np.full(100, 2.0)), eval_loss=[2.0, *np.linspace(2.1, 3.0, 9)])
    assert "diverging" not in names(record)


def test_a_policy_gradient_loss_near_zero_is_no_failure():
    rng = np.random.default_rng(0)
    for loss in (np.zeros(100), 0.001 * rng.normal(size=100), np.linspace(0.0, 0.02, 100)):
        record = run(loss, settings={"reinforcement_learning": True})
        assert names(record) == []


# --- not learning ------------------------------------------------------------------------------


def test_a_loss_that_does_not_move_is_not_learning():
    (diagnosis,) = diagnose(run(noisy(np.full(100, 0.69))), ACCURACY)
    assert (diagnosis.name, diagnosis.severity) == ("not_learning", "warning")
    assert "0.0001" in diagnosis.advice  # the highest rate so far


FLAT = run(noisy(np.full(100, 0.69)))


def with_peak(record: RunRecord, peak: float) -> RunRecord:
    return replace(record, schedule=np.linspace(peak, 0.0, record.max_steps))


def known(*peaks: float, end: float = 0.9) -> list[RunRecord]:
    """Completed runs of the task, good where they end above 0.5."""
    ended = run(accuracy=np.linspace(0.5, end, 10))
    return [with_peak(ended, peak) for peak in peaks]


@pytest.mark.parametrize(
    ("peak", "says", "not_said"),
    [
        (
            2e-5,
            "Keep the learning rate: its peak of 2e-05 is like that of runs that ended",
            "Raise",
        ),
        (1e-6, "Raise the learning rate: its peak is 1e-06 here, and from 1e-05 to", "labels"),
        (1e-3, "Lower the learning rate: its peak is 0.001 here, and from 1e-05 to", "labels"),
    ],
)
def test_a_rate_with_which_other_runs_learned_is_not_to_be_changed(peak, says, not_said):
    """Such as where the labels were shuffled: the data are looked at instead."""
    runs = known(1e-5, 5e-5) + known(1e-6, 1e-3, end=0.4)
    (diagnosis,) = diagnose(with_peak(FLAT, peak), ACCURACY, runs=runs)
    assert says in diagnosis.advice
    assert "in the 2 good runs of this task" in diagnosis.advice
    assert not_said not in diagnosis.advice
    assert ("read 50 training rows with their labels" in diagnosis.advice) == (peak == 2e-5)


def test_poor_runs_say_nothing_about_a_good_rate():
    (diagnosis,) = diagnose(with_peak(FLAT, 2e-5), ACCURACY, runs=known(1e-5, 5e-5, end=0.4))
    assert "of this task" not in diagnosis.advice
    assert "raise the learning rate by a factor of 3 to 10" in diagnosis.advice


@pytest.mark.parametrize(
    ("peak", "first"), [(2e-5, "Read 50 training rows"), (1e-6, "Raise the learning rate")]
)
def test_at_a_usual_rate_the_labels_are_read_before_the_rate_is_raised(peak, first):
    (diagnosis,) = diagnose(with_peak(FLAT, peak), ACCURACY)
    assert diagnosis.advice.startswith(first)
    assert f"{peak:.2g}" in diagnosis.advice


def test_a_collapse_at_a_good_rate_is_started_again_at_that_rate():
    stuck = run(accuracy=[0.5, 0.6, 0.7, 0.7, *[0.5] * 6])
    runs = known(1e-5, 5e-5)
    advice = {
        peak: diagnose(with_peak(stuck, peak), ACCURACY, runs=runs)[0].advice
        for peak in (1e-6, 2e-5, 1e-3)
    }
    assert "the same learning rate: its peak of 2e-05" in advice[2e-5]
    assert "two to five times lower" in advice[1e-3]
    assert advice[1e-6].startswith("Raise the learning rate")


def test_a_slow_start_is_only_a_hint():
    (diagnosis,) = diagnose(run(noisy(np.full(100, 0.69))).prefix(15), ACCURACY)
    assert diagnosis.severity == "info"


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(run(noisy(np.full(100, 0.69))).prefix(8), id="too early"),
        pytest.param(
            run(
                noisy(np.full(100, 0.69)),
                learning_rate=1e-4 * np.minimum(STEPS / 50, 1.0),
                schedule=1e-4 * np.minimum(STEPS / 50, 1.0),
            ).prefix(20),
            id="warm-up",
        ),
        pytest.param(run(noisy(np.full(100, 0.2)), accuracy=RISING), id="the metric improves"),
        pytest.param(
            run(noisy(np.full(100, 0.69)), eval_loss=np.linspace(0.7, 0.5, 10)),
            id="eval_loss falls",
        ),
        pytest.param(run(noisy(np.linspace(1.0, 0.9, 100), sd=0.02)), id="slow but certain"),
    ],
)
def test_what_learns_elsewhere_or_later_is_not_called_not_learning(record):
    assert "not_learning" not in names(record)


# --- collapsed ---------------------------------------------------------------------------------


def test_accuracy_that_falls_to_the_majority_rate_has_collapsed():
    (diagnosis,) = diagnose(run(accuracy=[0.5, 0.6, 0.7, 0.7, *[0.5] * 6]), ACCURACY)
    assert diagnosis.name == "collapsed"
    assert diagnosis.evidence == {"value": 0.5, "evaluations": 6.0}
    assert "since step 50" in diagnosis.message


def test_a_correlation_of_zero_all_along_has_collapsed():
    record = run(evals={"eval_pearson": np.zeros(10)}, eval_step=np.arange(10, 101, 10))
    assert "collapsed" in names(record, Goal("pearson"))


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(
            run(accuracy=[*[0.5] * 8, 0.6, 0.7], eval_loss=np.linspace(0.7, 0.4, 10)).prefix(80),
            id="late take-off with a falling loss",
        ),
        pytest.param(run(accuracy=[0.5] * 10).prefix(20), id="not taken off yet"),
        pytest.param(run(accuracy=[0.6, 0.5, 0.61, *[0.7] * 7]).prefix(20), id="passed through it"),
        pytest.param(run(accuracy=[0.8] * 10), id="constant, and above"),
        pytest.param(
            run(accuracy=[0.0] * 10, baselines={"eval_accuracy": 0.0}), id="exact match of text"
        ),
    ],
)
def test_a_run_that_has_not_taken_off_yet_has_not_collapsed(record):
    assert "collapsed" not in names(record)


# --- overfitting -------------------------------------------------------------------------------


def test_an_evaluation_loss_that_rises_while_training_falls_is_overfitting():
    loss = [0.6, 0.5, 0.45, 0.4, 0.42, 0.45, 0.5, 0.55, 0.6, 0.65]
    (diagnosis,) = diagnose(run(eval_loss=loss, accuracy=[0.9] * 10), ACCURACY)
    assert (diagnosis.name, diagnosis.severity) == ("overfitting", "warning")
    assert diagnosis.evidence == {"lowest": 0.4, "lowest_step": 40.0, "last": 0.65}
    assert "step 40" in diagnosis.advice
    # The steps told are those of the evaluations, not of what was logged since.
    (early,) = diagnose(run(eval_loss=loss, accuracy=[0.9] * 10).prefix(75), ACCURACY)
    assert "0.4 at step 40 to 0.5 at step 70" in early.message


@pytest.mark.parametrize(
    ("first_loss", "accuracy", "compares"),
    [(0.41, 0.4, True), (0.6, 0.4, False), (0.41, 0.9, False)],
)
def test_a_run_that_never_learned_is_told_to_compare_its_rows(first_loss, accuracy, compares):
    loss = [first_loss, 0.4, 0.41, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]
    record = run(eval_loss=loss, accuracy=[accuracy] * 10)
    (diagnosis,) = [one for one in diagnose(record, ACCURACY) if one.name == "overfitting"]
    assert diagnosis.advice.startswith("Compare the training rows") == compares


def test_overfitting_of_the_loss_alone_is_a_hint():
    loss = [0.6, 0.5, 0.45, 0.4, 0.42, 0.45, 0.5, 0.55, 0.6, 0.65]
    (diagnosis,) = diagnose(run(eval_loss=loss, accuracy=RISING), ACCURACY)
    assert (diagnosis.name, diagnosis.severity) == ("overfitting", "info")
    assert "metric_for_best_model='accuracy'" in diagnosis.advice


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param([0.6, 0.5, 0.45, 0.4, 0.43, 0.39, 0.38, 0.37, 0.37, 0.36], id="one bump"),
        pytest.param([0.6, 0.5, 0.4, 0.4, 0.4, 0.405, 0.4, 0.41, 0.405, 0.4], id="a plateau"),
        pytest.param([0.6, 0.5, 0.45, 0.4, 0.38, 0.36, 0.35, 0.34, 0.33, 0.5], id="the last alone"),
    ],
)
def test_bumps_and_plateaus_are_no_overfitting(loss):
    assert "overfitting" not in names(run(eval_loss=loss, accuracy=RISING))


# --- noisy labels ------------------------------------------------------------------------------


def test_a_training_loss_that_stalls_above_the_evaluation_loss_is_noisy_labels():
    """20 % of 5 labels redrawn: the best cross-entropy is 0.78 on the training rows, 0.22 on clean
    ones."""
    record = run(
        noisy(learning(floor=0.78, scale=10)),
        accuracy=RISING,
        eval_loss=0.22 + np.exp(-np.arange(1, 11)),
    )
    (diagnosis,) = diagnose(record, ACCURACY)
    assert diagnosis.name == "noisy_labels"
    assert diagnosis.evidence["gap"] == pytest.approx(0.56, abs=0.05)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(
            run(noisy(learning(0.35, 10)), RISING, 0.3 + np.exp(-np.arange(1, 11))), id="dropout"
        ),
        pytest.param(
            run(noisy(learning(0.78, 10)), RISING, 0.8 + np.exp(-np.arange(1, 11))),
            id="a hard task",
        ),
        pytest.param(
            run(noisy(1.5 - 0.01 * STEPS), RISING, np.linspace(1.0, 0.2, 10)),
            id="still falling: logged losses lag behind",
        ),
        pytest.param(
            run(
                noisy(learning(0.78, 10)),
                RISING,
                0.22 + np.exp(-np.arange(1, 11)),
                settings={"label_smoothing_factor": 0.1},
            ),
            id="label smoothing",
        ),
        pytest.param(
            run(noisy(np.full(100, 0.9)), RISING, np.full(10, 0.5)), id="nothing was learned"
        ),
    ],
)
def test_a_gap_with_another_cause_is_not_noisy_labels(record):
    assert "noisy_labels" not in names(record)


def test_a_language_model_is_not_told_of_noisy_labels_by_its_losses():
    record = run(noisy(learning(2.0, 10)), eval_loss=1.5 + np.exp(-np.arange(1, 11)))
    assert "noisy_labels" not in names(record, Goal("loss"))


@pytest.mark.parametrize("goal", [Goal("bleu", 20), Goal("rougeL")])
def test_a_translator_is_not_told_of_noisy_labels_by_its_losses(goal):
    """Dropout alone sets its losses apart, and its words are no labels."""
    losses = 1.2 + np.exp(-np.arange(1, 11))
    evals = {"eval_loss": losses, goal.metric: RISING * goal.unit}
    record = run(noisy(learning(1.9, 10)), eval_step=np.arange(10, 101, 10), evals=evals)
    assert "noisy_labels" not in names(record, goal)


# --- all together ------------------------------------------------------------------------------


def test_the_most_severe_comes_first():
    record = run(
        np.where(STEPS > 90, np.inf, noisy(learning())),
        accuracy=[0.5, 0.6, 0.7, 0.7, *[0.5] * 6],
        eval_loss=[0.6, 0.5, 0.45, 0.4, 0.42, 0.45, 0.5, 0.55, 0.6, 0.65],
    )
    diagnoses = diagnose(record, ACCURACY, signals={"truncated_share": 0.5, "tokens_max": 128.0})
    severities = [diagnosis.severity for diagnosis in diagnoses]
    assert diagnoses[0].name == "non_finite_loss"
    assert severities == sorted(severities, key=["fatal", "warning", "info"].index)
    assert "truncated_inputs" in [diagnosis.name for diagnosis in diagnoses]


def test_signals_stored_in_the_record_are_used():
    record = replace(run(accuracy=RISING), static={"truncated_share": 0.5, "tokens_max": 128.0})
    assert names(record) == ["truncated_inputs"]


values = st.floats(allow_nan=True, allow_infinity=True)


@given(
    st.lists(values, min_size=12, max_size=12),
    st.lists(values, min_size=4, max_size=4),
    st.lists(values, min_size=4, max_size=4),
    st.sampled_from(["accuracy", "loss", "pearson", "reward", "bleu"]),
)
@settings(max_examples=60, deadline=None)
def test_no_trajectory_whatever_breaks_the_diagnoses(losses, metric, eval_loss, name):
    goal = Goal(name)
    record = RunRecord(
        max_steps=24,
        train_step=np.arange(1, 13) * 2,
        train_loss=losses,
        grad_norm=losses[::-1],
        learning_rate=np.clip(losses, 0.0, 1.0),
        eval_step=[6, 12, 18, 24],
        evals={"eval_loss": eval_loss, goal.metric: metric},
        baselines={goal.metric: 0.5},
    )
    for diagnosis in diagnose(record, goal):
        assert diagnosis.message
        assert diagnosis.advice
