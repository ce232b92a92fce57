"""The paper's claims on recorded runs: errors left out, forms left out, regret, the seeds' plan."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from benchmarks.longruns.seeds import FIRST_SEEDS, TASKS, seed_plan
from benchmarks.paper.depth import Truth
from benchmarks.paper.forms import curves, fitted
from benchmarks.paper.risks import mean_errors, regression_errors
from benchmarks.recording import data
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
