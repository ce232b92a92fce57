"""RiskPruner in real studies, without training."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

from hf_ftrisk.integrations.optuna import RiskPruner
from hf_ftrisk.integrations.search import at_its_pace

optuna.logging.set_verbosity(optuna.logging.ERROR)
STEPS = 10


def searched(
    ends: list[float], pruner: optuna.pruners.BasePruner, direction: str = "maximize"
) -> optuna.Study:
    """A study of saturating curves, one for each end."""
    study = optuna.create_study(direction=direction, pruner=pruner)
    for end in ends:
        trial = study.ask()
        state = None
        for step in range(1, STEPS + 1):
            trial.report(0.5 + (end - 0.5) * (1.0 - (1.0 - step / STEPS) ** 3), step)
            if trial.should_prune():
                state = optuna.trial.TrialState.PRUNED
                break
        study.tell(trial, None if state else end, state=state)
    return study


def states(study: optuna.Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def test_a_trial_that_cannot_reach_the_best_is_pruned() -> None:
    study = searched([0.95, 0.5], RiskPruner("eval_accuracy", STEPS))
    assert states(study) == ["COMPLETE", "PRUNED"]
    assert max(study.trials[1].intermediate_values) < STEPS


def test_a_trial_better_than_the_best_goes_on() -> None:
    study = searched([0.9, 0.93, 0.95], RiskPruner("eval_accuracy", STEPS))
    assert states(study) == ["COMPLETE"] * 3


def test_the_pace_is_that_of_the_latter_half() -> None:
    steps = np.arange(1.0, 7.0)
    assert at_its_pace(steps, np.array([0.0, 0.0, 0.0, 0.1, 0.2, 0.3]), 10) == pytest.approx(0.7)
    assert at_its_pace(steps[:1], np.array([0.4]), 10) == 0.4
    assert at_its_pace(steps[:2], np.array([0.4, 0.5]), 10) == pytest.approx(1.3)


def test_before_a_trial_is_complete_none_is_pruned() -> None:
    assert states(searched([0.5], RiskPruner("eval_accuracy", STEPS))) == ["COMPLETE"]


def test_a_metric_that_is_no_number_any_more_is_pruned_at_once() -> None:
    study = searched([math.nan], RiskPruner("eval_accuracy", STEPS))
    assert states(study) == ["PRUNED"]
    assert list(study.trials[0].intermediate_values) == [1]


def test_it_composes_with_the_patient_pruner() -> None:
    pruner = optuna.pruners.PatientPruner(RiskPruner("eval_accuracy", STEPS), patience=2)
    study = searched([0.95, 0.5], pruner)
    assert states(study)[0] == "COMPLETE"


def test_a_loss_that_cannot_reach_the_best_is_pruned() -> None:
    study = searched([0.1, 0.45, math.nan, 0.1], RiskPruner("eval_loss", STEPS), "minimize")
    assert states(study) == ["COMPLETE", "PRUNED", "PRUNED", "COMPLETE"]


def test_rewards_are_pruned_only_when_they_diverge() -> None:
    pruner = RiskPruner("eval_reward", STEPS)
    assert states(searched([0.9, 0.55, math.nan], pruner)) == [
        "COMPLETE",
        "COMPLETE",
        "PRUNED",
    ]


def test_the_length_may_depend_on_the_trial() -> None:
    study = searched([0.95, 0.5], RiskPruner("eval_accuracy", lambda trial: STEPS))
    assert states(study) == ["COMPLETE", "PRUNED"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"max_steps": 0}, "max_steps"), ({"max_steps": 5, "false_stop_rate": 1.0}, "false_stop")],
)
def test_a_value_out_of_range_is_refused(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        RiskPruner("eval_accuracy", **arguments)  # type: ignore[arg-type]
