"""The paper's claims on recorded runs: errors left out, forms left out, regret, the seeds' plan."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.in_parallel import in_parallel
from benchmarks.longruns.seeds import FIRST_SEEDS, TASKS, SeedTask, seed_plan
from benchmarks.paper.depth import Truth
from benchmarks.paper.evidence import Evidence, measured
from benchmarks.paper.forms import curves, fitted
from benchmarks.paper.planned import NONE_YET, expected_table, forms_table, seeds_that_name
from benchmarks.paper.regimes import Naming
from benchmarks.paper.risks import MEAN, OURS, REGRESSION, Replay, mean_errors, regression_errors
from benchmarks.paper.tasks import Task, told_apart
from benchmarks.recording import data
from benchmarks.run_tables import Run
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.risk.decay import Decay, TailEnergy

LINEAR = 1.0 - np.arange(500) / 500
DEPTHS = np.array([50.0, 100, 150, 200, 250, 300, 350, 400, 450])


def test_an_error_by_the_mean_of_the_others_leaves_the_run_out():
    ends = np.array([1.0, 2.0, 6.0])
    assert mean_errors(ends) == pytest.approx([4.0 - 1.0, 3.5 - 2.0, 1.5 - 6.0])


def test_the_closed_form_of_the_regression_is_the_run_left_out_and_fitted_anew():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, 1, 4))
    ends = features[:, 0] @ [1.0, 0.5, 0.0, -1.0] + 0.1 * rng.normal(size=12)
    closed = regression_errors(features, ends)[:, 0]
    x = features[:, 0]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    design = np.column_stack([np.ones(12), x])
    penalty = np.diag([1e-9, 0.3, 0.3, 0.3, 0.3])
    for i in range(12):
        kept = np.arange(12) != i
        d = design[kept]
        weights = np.linalg.solve(d.T @ d + penalty, d.T @ ends[kept])
        assert closed[i] == pytest.approx(design[i] @ weights - ends[i], abs=1e-6)


def test_the_tail_energy_foretells_the_depths_it_was_not_fitted_to_where_it_is_the_truth():
    energy = TailEnergy.from_learning_rates(LINEAR)
    decay = Decay(50.0, 500.0, energy)
    truth = 1e-4 + 30e-4 * energy.at(DEPTHS)
    dof, seen = np.full(DEPTHS.size, 49.0), DEPTHS < 300
    errors = {
        form: np.abs(np.log(fitted(curves(form, DEPTHS, decay), truth, dof, seen) / truth)).max()
        for form in ("constant", "power", "tail energy")
    }
    assert errors["tail energy"] < 0.1 < 0.5 < errors["power"] < errors["constant"]


def test_a_broken_line_follows_a_bend_that_no_single_power_has():
    decay = Decay(50.0, 500.0, TailEnergy.from_learning_rates(LINEAR))
    truth = np.where(DEPTHS <= 200, 1.0, (DEPTHS / 200) ** -4.0)
    dof, everything = np.full(DEPTHS.size, 49.0), np.ones(DEPTHS.size, bool)
    line = fitted(curves("broken line", DEPTHS, decay), truth, dof, everything)
    assert np.abs(np.log(line / truth)).max() < 0.5


def test_regret_is_zero_at_the_best_depth_and_what_a_step_costs_beyond_it():
    known = Truth(np.array([0.0, 100.0, 500.0]), np.array([4.0, 1.0, 1.0]), 500.0)
    assert known.regret(100.0, 1.0) == pytest.approx(0.0, abs=1e-9)
    assert known.regret(300.0, 1.0) == pytest.approx(200 / 500)
    assert known.regret(0.0, 1.0) == pytest.approx(1.0 - (0.25 + 0.2))


def test_the_seed_plan_gives_every_task_its_first_seeds_before_any_gets_more():
    planned = seed_plan()
    assert len({setting.run_id for setting in planned}) == len(planned)
    first = planned[: FIRST_SEEDS * len(TASKS)]
    assert set(Counter(setting.setting_id for setting in first).values()) == {FIRST_SEEDS}
    counts = Counter(setting.setting_id for setting in planned)
    assert len(counts) >= 9
    assert min(counts.values()) >= 40
    assert sum(n >= 100 for n in counts.values()) == 3
    assert all(200 <= setting.max_steps <= 600 for setting in planned)


def test_modular_addition_is_evaluated_on_sums_it_was_not_trained_on():
    sums = data.classification("addition_mod_23")
    assert len(sums.train) + len(sums.test) == 23 * 23
    assert not {text for text, _ in sums.train} & {text for text, _ in sums.test}
    text, label = sums.test[0]
    first, _, second, _ = text.split()
    assert label == (int(first) + int(second)) % 23


def task_of(name: str, seeds: int, expected: str | None = None, max_steps: int = 500) -> Task:
    """A task whose runs end at random and show it more and more."""
    rng = np.random.default_rng(0)
    runs = []
    for seed in range(seeds):
        end = 0.8 + 0.05 * rng.normal()
        values = end + 0.05 * rng.normal(size=10) * LINEAR[::50]
        values[-1] = end
        record = RunRecord(
            max_steps=max_steps,
            eval_step=np.append(DEPTHS, 500.0),
            evals={"eval_accuracy": values},
            seed=seed,
            settings={"setting_id": f"setting {max_steps}"},
        )
        runs.append(Run("a data set", record, Goal("accuracy")))
    return Task(name, "recordings", tuple(runs), LINEAR, "linear", 0.0, expected)


def replay_of(task: Task) -> Replay:
    """Forecasts of a task by plain predictors in place of the package's."""
    ends, depths = task.ends, task.depths
    values = np.array([run.record.evals["eval_accuracy"][:-1] for run in task.runs])
    errors = {
        OURS[0]: values - ends[:, None],
        OURS[1]: values - ends[:, None],
        REGRESSION: regression_errors(values[:, :, None], ends),
        MEAN: np.repeat(mean_errors(ends)[:, None], depths.size, axis=1),
    }
    spread = np.full(values.shape, 0.05)
    cold = np.column_stack([np.full(ends.size, 0.5), values])
    return Replay(task, depths, errors, spread, cold, values[:, :, None])


def numbers_of(one: Evidence) -> tuple[object, ...]:
    """What is drawn at random of the evidence."""
    assert one.regret is not None
    assert one.seeds is not None
    regret = [values.tolist() for values in one.regret.values()]
    return one.place.intrinsic.tolist(), one.place.agree, regret, one.seeds.other.tolist()


def test_what_is_measured_of_a_task_depends_on_no_other_task_and_on_no_number_of_processes():
    replays = [replay_of(task_of(name, 8)) for name in ("first", "second")]
    alone = [numbers_of(measured(one)) for one in reversed(replays)]
    shared = [numbers_of(one) for one in in_parallel(measured, replays, workers=2)]
    assert shared == alone[::-1]
    assert shared[0] != shared[1]  # the same runs, other random numbers


def test_a_planned_task_is_shown_with_the_regime_it_was_chosen_for():
    planned: SeedTask = TASKS[0]
    task = task_of(planned.name, 8, planned.expected)
    evidence = [measured(replay_of(task)), measured(replay_of(task_of("another", 8)))]
    lines = expected_table(evidence).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith(f"| {planned.name} | 8 | ")
    assert f" | {planned.expected} | " in lines[2]
    assert len(forms_table(evidence).splitlines()) == 4  # between and beyond
    assert expected_table(evidence[1:]) == NONE_YET


def test_seeds_that_name_a_regime_go_on_naming_it():
    rows = [(3, 1.0, 1.0), (5, 0.5, 1.0), (8, 0.9, 1.0), (12, 1.0, 0.95)]
    assert seeds_that_name([Naming(*row) for row in rows]) == "8"
    assert seeds_that_name([Naming(3, 1.0, 1.0), Naming(5, 0.0, float("nan"))]) == "more than 5"


def test_tasks_of_one_name_are_told_apart_by_what_differs():
    tasks = [task_of("twice", 2), task_of("twice", 2, max_steps=600), task_of("once", 2)]
    names = [task.name for task in told_apart(tasks)]
    assert names == ["twice, 500 steps", "twice, 600 steps", "once"]
