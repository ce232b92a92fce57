"""Which candidate is looked at next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.choosing.allocation import (
    Standing,
    first_depth,
    next_move,
    next_moves,
    pool_of,
    resolved,
)
from hf_ftrisk.choosing.beliefs import Belief

SHARES = np.array([0.1, 0.2, 0.4, 1.0])


def standing(
    name: str,
    center: float | None = None,
    spread: float = 0.05,
    *,
    open: bool = True,
    failed: bool = False,
) -> Standing:
    seen = ()
    if center is not None:
        seen = (Belief(0.1, center, spread),)
    return Standing(name, SHARES, 1.0, seen, open, failed)


def test_every_candidate_is_looked_at_once_before_any_is_looked_at_again() -> None:
    known = [standing("a", 0.9), standing("b", 0.5), standing("c")]
    move = next_move(known, left=1.0)
    assert move is not None
    assert (move.name, move.share, move.value) == ("c", 0.1, None)


def test_where_not_all_can_be_looked_at_as_many_as_can_be_are() -> None:
    waiting = [standing(f"u{i}") for i in range(12)]
    moves = next_moves(waiting, 0.75, count=12)
    assert len(moves) == 7
    assert {move.share for move in moves} == {0.1}


def test_what_no_first_look_can_be_paid_with_goes_deeper() -> None:
    known = [standing("a", 0.90), standing("b", 0.895)]
    dear = Standing("c", SHARES, cost=100.0)
    move = next_move([*known, dear], left=0.5)
    assert move is not None
    assert move.name in ("a", "b")


@pytest.mark.parametrize(
    ("budget", "candidates", "depth"),
    [(0.2, 12, 0.15), (0.1, 12, 0.15), (0.05, 12, 0.1), (0.1, 2, 0.1), (1.0, 1, 0.15)],
)
def test_half_of_the_candidates_and_two_at_least_can_be_looked_at(
    budget: float, candidates: int, depth: float
) -> None:
    assert first_depth(budget, candidates) == pytest.approx(depth)


def test_the_hopeless_are_not_looked_at_again() -> None:
    known = [standing("a", 0.90), standing("b", 0.89), standing("c", 0.2, 0.01)]
    names = {move.name for move in next_moves(known, 10.0, count=2)}
    assert names == {"a", "b"}


def test_moves_side_by_side_are_of_different_candidates() -> None:
    known = [standing("a", 0.90), standing("b", 0.89), standing("c", 0.88)]
    names = [move.name for move in next_moves(known, 10.0, count=3)]
    assert sorted(names) == ["a", "b", "c"]


def test_who_failed_or_is_complete_is_not_trained_on() -> None:
    known = [standing("a", 0.9, open=False), standing("b", 0.9, failed=True)]
    assert next_move(known, 10.0) is None
    assert pool_of(known)[0] == ["a"]


@given(st.floats(0.0, 0.95), st.floats(0.01, 1.0))
def test_a_deeper_look_resolves_more(at: float, by: float) -> None:
    further = min(1.0, at + by)
    assert 0.0 < resolved(at, further) <= 1.0
    assert resolved(at, further) >= resolved(at, (at + further) / 2)


@given(st.floats(0.0, 2.0))
def test_no_move_costs_more_than_what_is_left(left: float) -> None:
    known = [standing("a", 0.90), standing("b", 0.89), standing("c")]
    for move in next_moves(known, left, count=3):
        assert move.cost <= left + 1e-6
