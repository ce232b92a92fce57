"""The full run's cost, from what was measured on the probes."""

from __future__ import annotations

import pytest

from hf_ftrisk.probing.budget import EvalSize
from hf_ftrisk.probing.cost import Ledger, Prices, full_cost
from hf_ftrisk.probing.workload import Batches, Facts, Usage


def ledger() -> Ledger:
    """4 steps of 2 s after a slow first one; evaluations of 16 rows in 1.6 s and of 100 in 5 s."""
    spent = Ledger(allowed=20)
    spent.post_evaluation(1.6, 16)
    spent.post_steps([9.0, 2.0, 2.0, 2.0, 2.0], opening=True)
    spent.post_evaluation(5.0, 100)
    return spent


def cost(facts: Facts, prices: Prices | None = None, usage: Usage | None = None):
    return full_cost(
        facts,
        ledger(),
        usage or Usage(flops=50.0, peak_memory_bytes=7),
        eval_rows=100,
        seconds=30.0,
        prices=prices or Prices(),
    )


def test_time_is_steps_and_whole_evaluations() -> None:
    priced = cost(Facts(1000, eval=EvalSize(2000, 32), evaluations=3))
    assert priced.seconds_per_step == 2.0
    # 2,000 rows at the 0.05 s of the sample's rows: of what is no batch nothing is known.
    assert priced.seconds_per_eval == pytest.approx(100.0)
    assert priced.full_seconds == pytest.approx(1000 * 2 + 3 * 100)


@pytest.mark.parametrize(
    ("small", "large", "full"),
    [
        # (seconds in the batches of 16 or 96 rows of 0.1 s, after them)
        ((1.6, 4.0), (9.6, 4.0), 200.0 + 4.0),
        ((1.6, 0.8), (9.6, 4.8), 200.0 + 100.0),
        ((1.6, 3.3), (9.6, 4.1), 200.0 + 2.5 + 100 * 0.2),
        # The first is slow for all that is done for the first time.
        ((9.0, 4.0), (9.6, 4.0), 200.0 + 4.0),
        ((9.0, 9.0), (9.6, 4.8), 200.0 + 100.0),
    ],
    ids=["constant", "each row", "both", "slow first batch", "slow first metrics"],
)
def test_what_an_evaluation_costs_whatever_its_rows_is_not_scaled_up(small, large, full) -> None:
    spent = Ledger(allowed=20)
    for rows, (inside, outside) in ((16, small), (96, large), (96, large)):
        inner = max(rows - 32, 0)
        batches = Batches(0.0, inside, 0.1 * inner, inner)
        spent.post_evaluation(inside + outside, rows, batches)
    assert spent.full_eval_seconds(2000, 96) == pytest.approx(full, rel=0.02)


def test_a_single_evaluation_is_scaled_up_without_what_comes_before_its_second_batch() -> None:
    spent = Ledger(allowed=20)
    spent.post_evaluation(14.0, 16, Batches(6.0, 8.0, 2.0, 8))
    assert spent.full_eval_seconds(1016, 100) == pytest.approx(6.0 + 8.0 + 1000 * 0.25)


def test_operations_memory_and_what_was_spent() -> None:
    priced = cost(Facts(1000, eval=EvalSize(2000, 32)))
    assert priced.full_flops == 50.0 / 5 * 1000
    assert priced.peak_memory_bytes == 7
    assert priced.spent_steps == pytest.approx(5 + 0.8 + 2.5)
    assert priced.spent_share == pytest.approx(8.3 / 1000)
    assert priced.spent_seconds == 30.0


def test_energy_and_money_come_from_the_users_price_alone() -> None:
    facts = Facts(1800, eval=EvalSize(2000, 32))
    assert cost(facts).full_money is None
    assert cost(facts).full_energy_kwh is None
    priced = cost(facts, Prices(per_hour=4.0, currency="EUR", watts=300.0))
    assert priced.full_money == pytest.approx(4.0)
    assert priced.full_energy_kwh == pytest.approx(0.3)
    assert priced.currency == "EUR"


def test_a_set_without_a_length_leaves_the_time_of_evaluations_open() -> None:
    priced = cost(Facts(1000, eval=EvalSize(None, 32), evaluations=3))
    assert priced.seconds_per_eval is None
    assert priced.full_seconds is None


def test_nothing_measured_is_nothing_said() -> None:
    priced = full_cost(
        Facts(10), Ledger(1.0), Usage(), eval_rows=None, seconds=0.1, prices=Prices()
    )
    assert priced.full_seconds is None
    assert priced.full_flops is None
    assert priced.spent_steps == 0


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused(value) -> None:
    with pytest.raises(ValueError, match="price_per_hour must be a finite number of 0 or more"):
        Prices(per_hour=value)
