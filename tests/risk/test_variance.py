"""Law of total variance, and the noise of an evaluation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.risk import mean_floor, rate_floor, variance_parts


def test_parts_of_a_small_example_by_hand():
    # Groups (1, 3) and (5, 5, 7): means 2 and 17/3, grand mean 4.2.
    parts = variance_parts([1, 3, 5, 5, 7], ["a", "a", "b", "b", "b"])
    assert parts.within == pytest.approx((1 + 1 + 4 / 9 + 4 / 9 + 16 / 9) / 4)
    assert parts.between == pytest.approx((2 * 2.2**2 + 3 * (17 / 3 - 4.2) ** 2) / 4)
    assert (parts.n, parts.n_groups) == (5, 2)
    assert parts.explained == pytest.approx(parts.between / parts.total)


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.integers(0, 5)),
        min_size=2,
        max_size=60,
    )
)
def test_parts_add_up_to_the_sample_variance(rows):
    values, groups = zip(*rows, strict=True)
    parts = variance_parts(values, groups)
    scale = max(1.0, float(np.max(np.abs(values)))) ** 2
    assert parts.total == pytest.approx(np.var(values, ddof=1), rel=1e-9, abs=1e-12 * scale)
    assert parts.within >= 0
    assert parts.between >= 0
    assert 0 <= parts.explained <= 1


def test_a_large_common_offset_costs_no_digits():
    values, groups = np.array([0.1, 0.2, 0.4, 0.8]), [0, 0, 1, 1]
    plain, moved = variance_parts(values, groups), variance_parts(values + 1e9, groups)
    assert moved.within == pytest.approx(plain.within, rel=1e-5)
    assert moved.between == pytest.approx(plain.between, rel=1e-5)


def test_one_group_decides_nothing_and_singletons_decide_all():
    values = [1.0, 2.0, 4.0]
    assert variance_parts(values, [0, 0, 0]).explained == pytest.approx(0.0, abs=1e-12)
    alone = variance_parts(values, [0, 1, 2])
    assert alone.explained == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no group has two runs"):
        _ = alone.unbiased_within
    assert variance_parts([2.0, 2.0], [0, 1]).explained == 0.0


def test_deeper_knowledge_never_decides_less():
    # Groups that split further groups: the within part can only fall.
    random = np.random.default_rng(0)
    for _ in range(100):
        values = random.normal(size=40)
        coarse = random.integers(0, 3, 40)
        fine = list(zip(coarse.tolist(), random.integers(0, 3, 40).tolist(), strict=True))
        within = variance_parts(values, fine).within
        assert within <= variance_parts(values, coarse.tolist()).within + 1e-12


def test_unbiased_within_is_unbiased():
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(10), 3)
    estimates = [
        variance_parts(
            random.normal(size=10)[groups] * 5 + 2 * random.normal(size=30), groups.tolist()
        ).unbiased_within
        for _ in range(2000)
    ]
    assert np.mean(estimates) == pytest.approx(4.0, rel=0.03)


def test_simulated_prefixes_give_the_optimization_variance():
    # A random walk of 8 steps, grouped by its sign pattern so far: 8 - c of its variance is left.
    random = np.random.default_rng(2)
    signs = random.choice([-1.0, 1.0], size=(20_000, 8))
    for depth in (0, 2, 5):
        known = [tuple(row) for row in signs[:, :depth].tolist()]
        parts = variance_parts(signs.sum(axis=1), known)
        assert parts.unbiased_within == pytest.approx(8 - depth, rel=0.04)


@pytest.mark.parametrize(
    ("values", "groups", "words"),
    [
        ([1.0], ["a"], "at least 2"),
        ([1.0, 2.0], ["a"], r"\(2,\) and 1 groups"),
        ([1.0, float("nan")], ["a", "b"], r"nan.*\[1\]"),
    ],
)
def test_values_that_cannot_be_split_are_refused(values, groups, words):
    with pytest.raises(ValueError, match=words):
        variance_parts(values, groups)


def test_floor_of_a_rate_is_binomial():
    assert rate_floor(0.8, 100) == pytest.approx(0.0016)
    random = np.random.default_rng(3)
    rates = random.binomial(250, 0.7, 200_000) / 250
    assert rate_floor(0.7, 250) == pytest.approx(rates.var(), rel=0.02)


@pytest.mark.parametrize(("rate", "n"), [(1.2, 10), (-0.1, 10), (0.5, 0), (float("nan"), 5)])
def test_rates_that_cannot_be_are_refused(rate, n):
    with pytest.raises(ValueError, match=r"\[0, 1\]|at least 1"):
        rate_floor(rate, n)


def test_floor_of_a_mean_loss_is_its_squared_standard_error():
    assert mean_floor([1.0, 2.0, 3.0, 4.0]) == pytest.approx(np.var([1, 2, 3, 4], ddof=1) / 4)
    with pytest.raises(ValueError, match="1 not finite"):
        mean_floor([1.0, float("inf")])
    with pytest.raises(ValueError, match="at least 2"):
        mean_floor([1.0])
