"""The budget: a hard cap, planned so that what is most worth it is done first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk.goal import Goal
from hf_ftrisk.probing.budget import EvalSize, allowed_steps, depth_grid, make_plan
from hf_ftrisk.probing.cost import Ledger
from hf_ftrisk.probing.options import PreflightOptions
from hf_ftrisk.probing.session import PreflightSession
from hf_ftrisk.record.columns import schedule_steps
from tests.probing.simulated import SimulatedSetup


@pytest.fixture(autouse=True)
def _no_forecasting(monkeypatch):
    """What the probes say is another test's; here only their cost counts."""
    from hf_ftrisk.probing import session
    from hf_ftrisk.probing.evidence import ProbeEvidence

    monkeypatch.setattr(session, "summarize", lambda *args, **kwargs: ProbeEvidence())


def probed(setup: SimulatedSetup, budget: float, **options) -> PreflightSession:
    session = PreflightSession(setup, PreflightOptions(Goal("eval_accuracy"), budget, **options))
    session._open()
    session._dry_run(session.evaluations)
    session._probe(session.evaluations)
    return session


def trained_looks(setup: SimulatedSetup) -> list[tuple[int, int, int]]:
    return [look for look in setup.evaluations if look[0] >= 0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    budget=st.floats(0.02, 1.0),
    max_steps=st.integers(50, 600),
    row_share=st.floats(0.0005, 0.5),
    batch=st.integers(1, 64),
    noise=st.floats(0.0, 1.0),
    opening=st.floats(1.0, 20.0),
    seeds=st.integers(1, 5),
    seed=st.integers(0, 1000),
)
def test_no_more_than_the_budget_is_spent_beyond_one_unforeseeable_batch(
    budget, max_steps, row_share, batch, noise, opening, seeds, seed
):
    setup = SimulatedSetup(
        max_steps=max_steps,
        row_seconds=row_share,
        size=EvalSize(400, batch),
        noise=noise,
        opening=opening,
        seed=seed,
    )
    ledger = probed(setup, budget, seeds=seeds).ledger
    # The smallest evaluation of unknown cost is done before a step; after it a batch may last
    # longer than any before.
    first = ledger._price(ledger._evaluations[0]) if ledger._evaluations else 0.0
    slack = max(first, setup.slowest_batch / ledger.step_seconds) if ledger.steps else 0.0
    assert ledger.spent <= ledger.allowed + slack + 1e-9


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    budget=st.floats(0.02, 1.0),
    max_steps=st.integers(50, 600),
    row_share=st.floats(0.0005, 0.05),
    batch=st.integers(1, 64),
    seeds=st.integers(1, 5),
)
def test_on_an_even_clock_nothing_beyond_the_budget_is_spent(
    budget, max_steps, row_share, batch, seeds
):
    setup = SimulatedSetup(max_steps=max_steps, row_seconds=row_share, size=EvalSize(400, batch))
    ledger = probed(setup, budget, seeds=seeds).ledger
    if ledger.allowed >= 1 + 2 * 16 * row_share:
        assert ledger.spent <= ledger.allowed + 1e-9


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    max_steps=st.integers(20, 600),
    budget=st.floats(0.01, 0.3),
    row_share=st.floats(0.001, 0.02),
    batch=st.integers(1, 32),
    noise=st.floats(0.0, 0.1),
    seed=st.integers(0, 100),
)
def test_there_is_an_evaluation_whenever_one_fits_beside_a_step(
    max_steps, budget, row_share, batch, noise, seed
):
    setup = SimulatedSetup(
        max_steps=max_steps,
        row_seconds=row_share,
        size=EvalSize(400, batch),
        noise=noise,
        seed=seed,
    )
    # Room for a step, two of the smallest evaluations, and the clock's noise.
    if budget * max_steps < 1 + 2 * 1.15 * max(16 * row_share, 1 / 3) * (1 + 6 * noise):
        return
    probed(setup, budget)
    assert trained_looks(setup)


def test_a_budget_of_three_steps_is_one_probe_with_an_evaluation():
    setup = SimulatedSetup(max_steps=60)
    session = probed(setup, 0.05)
    assert trained_looks(setup) == [(0, 2, 16)]
    assert session.ledger.spent == pytest.approx(2 + 2 / 3)
    assert any("1 of 3 seeds" in note for note in session.notes)


def test_a_budget_without_room_for_a_step_and_an_evaluation_says_what_would_do():
    setup = SimulatedSetup(max_steps=100)
    session = probed(setup, 0.012)
    assert setup.evaluations == []
    assert session.ledger.spent == 0
    assert "budget=0.014 or more" in session.notes[-1]


def test_a_small_budget_does_without_the_dry_run_for_the_sake_of_the_evaluation():
    setup = SimulatedSetup(max_steps=100)
    probed(setup, 0.015)
    assert setup.evaluations == [(0, 1, 16)]


def test_all_looks_are_at_the_same_rows():
    setup = SimulatedSetup(max_steps=400)
    probed(setup, 0.2)
    rows = {seen for _, step, seen in trained_looks(setup) if step > 0}
    assert len(rows) == 1
    assert rows.pop() > 16


def test_every_seed_is_seen_at_every_depth():
    setup = SimulatedSetup(max_steps=400)
    probed(setup, 0.3)
    looks = {(seed, step) for seed, step, _ in trained_looks(setup)}
    depths = {step for _, step in looks}
    assert looks == {(seed, step) for seed in range(3) for step in depths}
    assert len(depths) >= 2


def test_an_expensive_evaluation_leaves_fewer_seeds_not_fewer_looks():
    setup = SimulatedSetup(max_steps=100, row_seconds=0.25)
    session = probed(setup, 0.2)
    assert {seed for seed, *_ in trained_looks(setup)} == {0}
    assert session.ledger.spent <= 20


def test_the_given_depths_are_the_ones_looked_at():
    setup = SimulatedSetup(max_steps=400)
    probed(setup, 0.3, depths=[3, 12])
    assert sorted({step for _, step, _ in trained_looks(setup)}) == [3, 12]


def test_an_unknown_metric_is_refused_before_a_step():
    setup = SimulatedSetup()
    session = PreflightSession(setup, PreflightOptions(Goal("eval_f1"), 0.1))
    with pytest.raises(ValueError, match=r"reports no 'eval_f1'; it reports eval_accuracy"):
        session.run()
    assert session.ledger.steps == 0


@pytest.mark.parametrize(("budget", "probes"), [(0.05, 1), (0.1, 1), (0.2, 2), (0.3, 3), (0.9, 3)])
def test_one_deep_probe_comes_before_another_seed(budget, probes):
    setup = SimulatedSetup(max_steps=400)
    session = probed(setup, budget)
    assert {seed for seed, *_ in trained_looks(setup)} == set(range(probes))
    deepest = max(step for seed, step, _ in trained_looks(setup) if seed == 0)
    if probes == 1:  # the steps get most of it
        assert deepest >= 0.7 * session.ledger.allowed


@pytest.mark.parametrize(
    ("warmup", "first"), [(0, 0), (4, 0), (30, 30), (200, 200)], ids=lambda value: str(value)
)
def test_a_warm_up_that_would_take_most_of_a_probe_is_jumped(warmup, first):
    schedule = np.concatenate([np.linspace(0.0, 1.0, warmup, endpoint=False), np.ones(400)])[:400]
    setup = SimulatedSetup(max_steps=400, schedule=schedule)
    session = probed(setup, 0.05)
    assert setup.begun_at == [first]
    assert any("where the learning rate peaks" in note for note in session.notes) == (first > 0)


def test_the_peak_of_a_long_run_is_found_among_the_rates_that_are_kept():
    max_steps, warmup = 40_000, 12_000
    steps = schedule_steps(max_steps)
    rates = np.where(steps < warmup, steps / warmup, (max_steps - steps) / (max_steps - warmup))
    setup = SimulatedSetup(max_steps=max_steps, schedule=rates)
    session = PreflightSession(setup, PreflightOptions(Goal("eval_accuracy"), 0.05))
    assert session.first == pytest.approx(warmup, abs=max_steps / rates.size)


def test_given_depths_are_those_of_the_runs_own_beginning():
    schedule = np.concatenate([np.linspace(0.0, 1.0, 100), np.ones(300)])
    setup = SimulatedSetup(max_steps=400, schedule=schedule)
    probed(setup, 0.05, seeds=1, depths=[5])
    assert setup.begun_at == [0]


@pytest.mark.parametrize(
    ("step_seconds", "wanted", "given"),
    [(0.01, None, 15.0), (1.0, None, 40.0), (1.0, 50.0, 50.0), (0.01, 0.5, 0.5)],
    ids=["at least 15 seconds", "as long as the budget", "as asked for", "less asked for"],
)
def test_static_signals_get_the_time_asked_for_or_one_in_proportion(step_seconds, wanted, given):
    setup = SimulatedSetup(
        max_steps=400, step_seconds=step_seconds, row_seconds=step_seconds / 48, rows_per_step=16.0
    )
    PreflightSession(
        setup, PreflightOptions(Goal("eval_accuracy"), 0.1, signal_seconds=wanted)
    ).run()
    assert setup.signal_limits == [pytest.approx(given)]


# --- the ledger --------------------------------------------------------------------------------


def test_an_evaluation_costs_its_seconds_over_those_of_a_step():
    ledger = Ledger(allowed=10)
    ledger.post_steps([9.0, 2.0, 2.0, 2.0], opening=True)
    ledger.post_evaluation(5.0, 16)
    assert ledger.spent == 4 + 2.5
    assert ledger.left == 3.5


def test_what_was_paid_stays_paid_when_steps_become_faster():
    ledger = Ledger(allowed=10)
    ledger.post_steps([2.0] * 4, opening=True)
    ledger.post_evaluation(4.0, 16)
    ledger.post_steps([0.1] * 50, opening=False)
    assert ledger.spent == 54 + 2


def test_an_evaluation_before_the_first_step_is_priced_by_the_first_steps():
    ledger = Ledger(allowed=10)
    ledger.post_evaluation(4.0, 16)
    assert ledger.last_eval_cost is None
    ledger.post_steps([8.0], opening=True)
    assert ledger.spent == 1.5
    ledger.post_steps([2.0, 2.0, 2.0], opening=False)
    assert ledger.spent == 4 + 2.0


# --- the plan -----------------------------------------------------------------------------------


@given(
    allowed=st.floats(1.0, 200.0),
    seeds=st.integers(1, 6),
    least=st.floats(0.0, 20.0),
    factor=st.floats(1.0, 50.0),
)
def test_a_plan_costs_no_more_than_allowed(allowed, seeds, least, factor):
    plan = make_plan(
        allowed, max_steps=500, seeds=seeds, min_look_cost=least, max_look_cost=least * factor
    )
    if plan.depths:
        looks = len(plan.depths) * plan.look_cost
        assert plan.seeds * (plan.depths[-1] + looks) <= allowed + 1e-9


def test_depths_double():
    assert depth_grid(16, 3) == (4, 8, 16)
    assert depth_grid(5, 5) == (1, 2, 5)


@pytest.mark.parametrize("budget", [0, -0.1, 1.5, float("nan"), True, "0.1"])
def test_a_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(ValueError, match=r"in \(0, 1\], such as 0.05; got"):
        allowed_steps(budget, 100)


def test_a_budget_below_one_step_names_the_least_one():
    with pytest.raises(ValueError, match=r"budget=0.01 of 60 .* give at least 0.017"):
        allowed_steps(0.01, 60)
