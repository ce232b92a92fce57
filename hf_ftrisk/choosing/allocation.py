"""Which candidate to look deeper at next: the value of information for each unit of cost.

Pure numpy, on beliefs alone, so that it is replayed on recorded pools as it runs live.

First looks come first, of as many candidates as can be paid, and not before `FIRST_DEPTH` of a run:
earlier values say next to nothing of the order of the ends. A look from share c to share d of a
run resolves the part 1 - v(d) / v(c) of its variance, where v(c) = I + (1 - I) (1 - c)^3 is what is
left uncertain at c: what no look resolves, and the tail energy of a linearly decaying learning
rate. The look that is worth most for its cost is taken, over all depths at once: a step that is too
small to change the choice is worth nothing alone (KG(*), Frazier and Powell 2010).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hf_ftrisk.choosing.beliefs import Belief, Pool, common_shift, value_of_looking

# Share of the variance that is never resolved, and the exponent of the rest: how the errors of
# forecasts within a pool fall on the project's own recordings (docs/evidence/choosing.md).
INTRINSIC = 0.03
DECAY = 3.0
# Share of a run before which no candidate is looked at (chosen in docs/evidence/choosing.md).
FIRST_DEPTH = 0.15
# Spreads count so much wider where looks are chosen: forecasts that are surer than they should be
# would leave off too early.
CAUTION = 2.0


@dataclass(frozen=True, eq=False)
class Standing:
    """One candidate as the allocation sees it.

    Args:
        name: its name.
        shares: (n_looks,) shares of its run at which it can be looked at, increasing; the first one
            is that of its first look.
        cost: cost of its full run, in any unit that all candidates share.
        seen: its beliefs, look by look; empty while it has not been looked at.
        open: whether it can be trained further: neither ended by a fault nor complete.
        failed: it ended by a fault, and cannot be chosen.
    """

    name: str
    shares: np.ndarray
    cost: float
    seen: tuple[Belief, ...] = ()
    open: bool = True
    failed: bool = False

    @property
    def at(self) -> float:
        """Share of the run seen so far."""
        return self.seen[-1].share if self.seen else 0.0


@dataclass(frozen=True)
class Move:
    """A look to take.

    Args:
        name: the candidate.
        share: share of its run to train it to.
        value: expected rise of what is chosen, in oriented units; None for a first look.
        cost: what it costs.
    """

    name: str
    share: float
    value: float | None
    cost: float


def first_depth(budget: float, candidates: int) -> float:
    """Share of a run at which candidates are first looked at.

    `FIRST_DEPTH`, or less where the budget would pay for less than half of the candidates, or for
    one alone.

    Args:
        budget: share of the cost of all full runs that may be spent, in (0, 1].
        candidates: number of candidates.
    """
    at_least = max(2, math.ceil(candidates / 2))
    return min(FIRST_DEPTH, budget * candidates / at_least)


def left_uncertain(share: float) -> float:
    """Share of the variance at depth 0 that is left after a share of the run."""
    return INTRINSIC + (1.0 - INTRINSIC) * float((1.0 - share) ** DECAY)


def resolved(at: float, share: float) -> float:
    """Share of the present variance that a look at `share` resolves."""
    return 1.0 - left_uncertain(share) / left_uncertain(at)


def shifts_of(standings: Sequence[Standing]) -> np.ndarray:
    """(n,) by how much each latest belief is moved by what deeper ones tell; NaN without a look."""
    shifts = np.full(len(standings), np.nan)
    for index, standing in enumerate(standings):
        if not standing.seen or standing.failed:
            continue
        others = [s.seen for i, s in enumerate(standings) if i != index and not s.failed]
        shifts[index] = common_shift(standing.at, others)
    return shifts


def pool_of(standings: Sequence[Standing]) -> tuple[list[str], Pool | None]:
    """Names of the candidates that may be chosen, and their ends drawn together."""
    beliefs_shown = [
        (s.name, s.seen[-1].moved(float(shift)))
        for s, shift in zip(standings, shifts_of(standings), strict=True)
        if not np.isnan(shift)
    ]
    if not beliefs_shown:
        return [], None
    return [name for name, _ in beliefs_shown], Pool.of([belief for _, belief in beliefs_shown])


def next_moves(standings: Sequence[Standing], left: float, count: int) -> list[Move]:
    """At most `count` looks to take side by side, each at another candidate.

    Args:
        standings: the candidates.
        left: cost that may still be spent.
        count: most looks at once.

    Returns:
        The looks, the one that is worth most first; empty when nothing that can be paid is worth
        anything.
    """
    moves: list[Move] = []
    waiting = list(standings)
    while len(moves) < count:
        move = next_move(waiting, left)
        if move is None:
            break
        moves.append(move)
        left -= move.cost
        # What is being looked at is not looked at again, and is believed as before meanwhile.
        waiting = [replace(s, open=False) if s.name == move.name else s for s in waiting]
    return moves


def next_move(standings: Sequence[Standing], left: float) -> Move | None:
    """The next look; None when nothing that can be paid is worth anything.

    Args:
        standings: the candidates.
        left: cost that may still be spent.
    """
    purse = left * (1 + 1e-9)
    alive = [s for s in standings if not s.failed]
    # In the order given: the cheapest first would prefer short runs, which tend to end worse.
    for standing in alive:
        share = float(standing.shares[0])
        cost = _step_cost(standing, share)
        if standing.open and not standing.seen and cost <= purse:
            return Move(standing.name, share, None, cost)
    return _most_worth([s for s in alive if s.seen], purse)


def _step_cost(standing: Standing, share: float) -> float:
    return (share - standing.at) * standing.cost


def _most_worth(seen: Sequence[Standing], purse: float) -> Move | None:
    centers = np.array([s.seen[-1].center for s in seen]) + shifts_of(seen)
    spreads = CAUTION * np.array([s.seen[-1].spread for s in seen])
    best: Move | None = None
    worth = 0.0
    for index, standing in enumerate(seen):
        ahead = standing.shares[standing.shares > standing.at + 1e-9].tolist()
        for share in ahead if standing.open else []:
            cost = _step_cost(standing, share)
            if cost > purse:
                break
            value = value_of_looking(centers, spreads, index, resolved(standing.at, share))
            if value / cost > worth:
                worth, step = value / cost, ahead[0]
                best = Move(standing.name, step, value, _step_cost(standing, step))
    return best
