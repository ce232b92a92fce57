"""Which candidate is looked at next."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_ftrisk.choosing.allocation import Standing, next_move, next_moves, pool_of, resolved
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
        draws = center + spread * np.random.default_rng(0).standard_normal(400)
        seen = (Belief(0.1, np.sort(draws)),)
    return Standing(name, SHARES, 1.0, seen, open, failed)


def test_every_candidate_is_looked_at_once_before_any_is_looked_at_again() -> None:
    known = [standing("a", 0.9), standing("b", 0.5), standing("c")]
    move = next_move(known, left=1.0, budget=1.0)
    assert move is not None
    assert (move.name, move.share, move.value) == ("c", 0.1, None)


def test_where_first_looks_alone_would_take_the_budget_some_are_left() -> None:
    seen = [standing("a", 0.90), standing("b", 0.895), standing("c", 0.5, 0.01)]
    unseen = [standing(f"u{i}") for i in range(8)]
    moves = []
    left = 0.8
    while (move := next_move([*seen, *unseen], left, budget=1.1)) and len(moves) < 1:
        moves.append(move.name)
        left -= move.cost
    assert moves  # something is worth its cost, whichever it is
    assert next_move([*seen, *unseen], 0.05, budget=1.1) is None


def test_the_hopeless_are_not_looked_at_again() -> None:
    known = [standing("a", 0.90), standing("b", 0.89), standing("c", 0.2, 0.01)]
    names = {move.name for move in next_moves(known, 10.0, 10.0, count=2)}
    assert names == {"a", "b"}


def test_moves_side_by_side_are_of_different_candidates() -> None:
    known = [standing("a", 0.90), standing("b", 0.89), standing("c", 0.88)]
    names = [move.name for move in next_moves(known, 10.0, 10.0, count=3)]
    assert sorted(names) == ["a", "b", "c"]


def test_who_failed_or_is_complete_is_not_trained_on() -> None:
    known = [standing("a", 0.9, open=False), standing("b", 0.9, failed=True)]
    assert next_move(known, 10.0, 10.0) is None
    assert pool_of(known)[0] == ["a"]


@given(st.floats(0.0, 0.95), st.floats(0.01, 1.0))
def test_a_deeper_look_resolves_more(at: float, by: float) -> None:
    further = min(1.0, at + by)
    assert 0.0 < resolved(at, further) <= 1.0
    assert resolved(at, further) >= resolved(at, (at + further) / 2)


@given(st.floats(0.0, 2.0))
def test_no_move_costs_more_than_what_is_left(left: float) -> None:
    known = [standing("a", 0.90), standing("b", 0.89), standing("c")]
    for move in next_moves(known, left, budget=2.0, count=3):
        assert move.cost <= left + 1e-6
