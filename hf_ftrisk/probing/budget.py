"""What a budget buys: seeds, depths and evaluation time. Pure arithmetic.

Costs are in optimizer steps: an evaluation that takes as long as three steps costs 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A forward pass is about a third of a forward and backward pass; measured times replace this.
FORWARD_SHARE = 1 / 3
# Generating goes token by token: a row of such an evaluation is taken to cost as one of training.
GENERATING_SHARE = 1.0
# Of what a probe may cost, the share that is planned for its evaluations: steps tell more.
EVAL_SHARE = 0.2
# Shallower probes than this show little: rather fewer seeds.
MIN_DEPTH_OF_MANY = 3
# Share of the run up to which one deep probe tells more than several shallow ones; another seed
# is worth as much again.
SHARE_OF_A_PROBE = 0.1
# What the first evaluation may have taken of a probe's share before the others are planned.
_SPENT = 0.15
# Evaluations on fewer rows than this many times the smallest are not worth another depth.
_ROWS_OF_A_LOOK = 4
MAX_DEPTHS = 5
# Rows of the smallest evaluation that is worth anything.
MIN_ROWS = 16


@dataclass(frozen=True)
class EvalSize:
    """Size of the evaluation set.

    Args:
        rows: rows of the whole set, None if it has no length.
        batch: rows of one evaluation batch over all ranks.
        generates: an evaluation generates text, which costs far more than a forward pass.
    """

    rows: int | None
    batch: int
    generates: bool = False

    @property
    def min_rows(self) -> int:
        """Rows of the smallest evaluation that is done."""
        fewest = min(self.batch, MIN_ROWS) if self.generates else MIN_ROWS
        return fewest if self.rows is None else min(fewest, self.rows)


@dataclass(frozen=True)
class Plan:
    """What is going to be done within the budget.

    Args:
        seeds: number of probes.
        depths: optimizer steps at which every probe is evaluated, increasing; () if the budget
            does not reach one step with one evaluation.
        look_cost: steps' worth that one evaluation may cost.
        notes: what the budget did not allow.
    """

    seeds: int
    depths: tuple[int, ...]
    look_cost: float
    notes: tuple[str, ...] = ()


def allowed_steps(budget: float, max_steps: int) -> float:
    """The budget in optimizer steps.

    Raises:
        ValueError: a budget that is not a share in (0, 1], or less than one step of this run.
    """
    check_budget(budget)
    allowed = budget * max_steps
    if allowed < 1:
        raise ValueError(
            f"budget={budget:g} of {max_steps} optimizer steps is less than one step: "
            f"give at least {math.ceil(1000 / max_steps) / 1000:g}"
        )
    return allowed


def check_budget(budget: float) -> None:
    """Refuse a budget that is no share.

    Raises:
        ValueError: a budget that is not in (0, 1].
    """
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= 1:
        raise ValueError(
            f"budget is the share of the full run's optimizer steps to spend, in (0, 1], "
            f"such as 0.05; got {budget!r}"
        )


def depth_grid(deepest: int, count: int = MAX_DEPTHS) -> tuple[int, ...]:
    """Depths that double up to `deepest`: 1 or more, at most `count` of them, increasing."""
    depths = {max(1, round(deepest / 2**k)) for k in range(count)}
    return tuple(sorted(depths))


def check_depths(depths: Sequence[int], max_steps: int) -> tuple[int, ...]:
    """The user's depths, sorted.

    Raises:
        ValueError: none, or one that is no whole step of the run.
    """
    steps = tuple(sorted(set(depths)))
    if not steps or any(int(d) != d or not 1 <= d <= max_steps for d in steps):
        raise ValueError(
            f"depths must be whole optimizer steps between 1 and {max_steps}, got {list(depths)!r}"
        )
    return tuple(int(d) for d in steps)


def many_probes(seeds: int, budget: float) -> int:
    """Probes that a budget carries deep enough, of at most `seeds`; one at least.

    Args:
        seeds: wanted number of probes.
        budget: share of the full run's steps.
    """
    return max(1, min(seeds, int(budget / SHARE_OF_A_PROBE + _SPENT)))


def make_plan(
    allowed: float,
    *,
    max_steps: int,
    seeds: int,
    min_look_cost: float,
    max_look_cost: float,
    depths: Sequence[int] | None = None,
) -> Plan:
    """Seeds, depths and evaluation time that `allowed` steps pay for.

    One deep probe first: another seed from where each has `SHARE_OF_A_PROBE` of the run, and can be
    probed `MIN_DEPTH_OF_MANY` steps deep with an evaluation. One evaluation more is planned for
    the model before its first step.

    Args:
        allowed: steps' worth that may still be spent.
        max_steps: optimizer steps of the full run.
        seeds: wanted number of probes.
        min_look_cost: cost of the smallest evaluation; 0 without an evaluation set.
        max_look_cost: cost of the largest one.
        depths: wanted depths; None: a doubling grid as deep as the budget goes.

    Raises:
        ValueError: depths that are no steps of this run.
    """
    max_look_cost = max(min_look_cost, max_look_cost)
    wanted = None if depths is None else check_depths(depths, max_steps)
    max_count = seeds if wanted is not None else many_probes(seeds, allowed / max_steps)
    for count in range(max_count, 0, -1):
        each = allowed / count
        if wanted is None:
            grid, look = _own_grid(each, count, min_look_cost, max_look_cost, max_steps)
        else:
            grid, look = _given_grid(each, wanted, min_look_cost, max_look_cost)
        if grid and (count == 1 or wanted is not None or grid[-1] >= MIN_DEPTH_OF_MANY):
            return Plan(count, grid, look, _fewer(count, seeds, allowed))
    return Plan(1, (), min_look_cost, _fewer(1, seeds, allowed))


def _fewer(count: int, seeds: int, allowed: float) -> tuple[str, ...]:
    if count == seeds:
        return ()
    return (
        f"{count} of {seeds} seeds probed: a budget of {allowed:.3g} steps does not take {seeds} "
        "probes to a useful depth. Give a larger budget to probe more.",
    )


def _own_grid(
    each: float, seeds: int, min_cost: float, max_cost: float, max_steps: int
) -> tuple[tuple[int, ...], float]:
    """The doubling grid with the most looks that are worth it and leave the steps their share."""
    best: tuple[tuple[int, ...], float] = ((), min_cost)
    for count in range(1, MAX_DEPTHS + 1):
        # The look before the first step is shared by all seeds.
        looks = count + 1 / seeds
        cost = min(max(EVAL_SHARE * each / looks, min_cost), max_cost)
        deepest = min(math.floor(each - looks * cost), max_steps)
        # The shallowest depth of several lies beyond the first step, which every probe begins with.
        dear = deepest < (1.0 - EVAL_SHARE) * each - 1.0
        small = cost < min(_ROWS_OF_A_LOOK * min_cost, max_cost)
        if count > 1 and (dear or small or deepest < 2**count):
            break
        if deepest >= 1:
            best = (depth_grid(deepest, count), cost)
    if not best[0] and math.floor(each - min_cost) >= 1:
        return (min(math.floor(each - min_cost), max_steps),), min_cost
    return best


def _given_grid(
    each: float, depths: tuple[int, ...], min_cost: float, max_cost: float
) -> tuple[tuple[int, ...], float]:
    """As many of the wanted depths, from the shallowest, as the steps and evaluations allow."""
    for count in range(len(depths), 0, -1):
        rest = each - depths[count - 1]
        if rest >= count * min_cost:
            return depths[:count], min(max(rest / (count + 1), min_cost), max_cost)
    return (), min_cost
