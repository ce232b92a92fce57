"""What a budget buys: seeds, depths and the size of the evaluation sample. Pure arithmetic.

Costs are in optimiser steps: an evaluation that takes as long as three steps costs 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A forward pass is about a third of a forward and backward pass; measured times replace this.
FORWARD_SHARE = 1 / 3
# Of what a probe may cost, the share that is planned for its evaluations.
EVAL_SHARE = 0.4
# Below this many steps' worth a probe shows little: rather fewer seeds.
LEAST_PER_SEED = 6.0
MAX_DEPTHS = 5
LEAST_ROWS = 16


@dataclass(frozen=True)
class EvalSize:
    """Size of the evaluation set.

    Args:
        rows: rows of the whole set, None if it has no length.
        batch: rows of one evaluation batch over all ranks.
    """

    rows: int | None
    batch: int


@dataclass(frozen=True)
class Plan:
    """What is going to be done within the budget.

    Args:
        seeds: number of probes.
        depths: optimiser steps at which every probe is evaluated, increasing.
        eval_rows: rows of the evaluation sample, None without an evaluation set.
        allowed: the budget in optimiser steps.
        notes: what the budget did not allow.
    """

    seeds: int
    depths: tuple[int, ...]
    eval_rows: int | None
    allowed: float
    notes: tuple[str, ...] = ()


def allowed_steps(budget: float, max_steps: int) -> float:
    """The budget in optimiser steps.

    Raises:
        ValueError: a budget that is not a share in (0, 1], or less than one step of this run.
    """
    if isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget <= 1:
        raise ValueError(
            f"budget is the share of the full run's optimiser steps to spend, in (0, 1], "
            f"such as 0.05; got {budget!r}"
        )
    allowed = budget * max_steps
    if allowed < 1:
        raise ValueError(
            f"budget={budget:g} of {max_steps} optimiser steps is less than one step: "
            f"give at least {1 / max_steps:.2g}"
        )
    return allowed


def depth_grid(deepest: int, count: int = MAX_DEPTHS) -> tuple[int, ...]:
    """Depths that double up to `deepest`: 1 or more, at most `count` of them, increasing."""
    depths = {max(1, round(deepest / 2**k)) for k in range(count)}
    return tuple(sorted(depths))


def check_depths(depths: Sequence[int], max_steps: int) -> tuple[int, ...]:
    """The user's depths, sorted.

    Raises:
        ValueError: none, or one that is no whole step of the run.
    """
    wanted = tuple(sorted(set(depths)))
    if not wanted or any(int(d) != d or not 1 <= d <= max_steps for d in wanted):
        raise ValueError(
            f"depths must be whole optimiser steps between 1 and {max_steps}, got {list(depths)!r}"
        )
    return tuple(int(d) for d in wanted)


def make_plan(
    allowed: float,
    *,
    max_steps: int,
    seeds: int,
    rows_per_step: float | None,
    eval_size: EvalSize | None,
    most_rows: int | None,
    depths: Sequence[int] | None = None,
) -> Plan:
    """Seeds, depths and evaluation rows that `allowed` steps pay for.

    Args:
        allowed: budget in optimiser steps.
        max_steps: optimiser steps of the full run.
        seeds: wanted number of probes.
        rows_per_step: training rows of one optimiser step, None if unknown.
        eval_size: size of the evaluation set, None without one.
        most_rows: rows to evaluate at most, None for the whole set.
        depths: wanted depths; None: a geometric grid as deep as the budget goes.
    """
    notes: list[str] = []
    kept = seeds
    if depths is None:
        kept = max(1, min(seeds, int(allowed // LEAST_PER_SEED)))
    if kept < seeds:
        notes.append(
            f"{kept} of {seeds} seeds probed: the budget of {allowed:.0f} steps leaves "
            f"fewer than {LEAST_PER_SEED:.0f} for each of {seeds}"
        )
    each = allowed / kept
    rows = _sample_rows(each, rows_per_step, eval_size, most_rows, depths)
    cost = 0.0 if rows is None else rows / (rows_per_step or rows) * FORWARD_SHARE
    if depths is not None:
        return Plan(kept, check_depths(depths, max_steps), rows, allowed, tuple(notes))
    grid = affordable_grid(each, cost, max_steps)
    return Plan(kept, grid, rows, allowed, tuple(notes))


def affordable_grid(each: float, eval_cost: float, max_steps: int) -> tuple[int, ...]:
    """The doubling grid whose steps and evaluations cost at most `each` steps; () if none does.

    Args:
        each: steps' worth that one probe may cost.
        eval_cost: cost of one evaluation, steps; one is done before training as well.
        max_steps: optimiser steps of the full run.
    """
    best: tuple[int, ...] = ()
    for count in range(1, MAX_DEPTHS + 1):
        deepest = min(math.floor(each - (count + 1) * eval_cost), max_steps)
        # Another depth is worth its evaluation while half of the budget still goes to training.
        if deepest < 1 or (count > 1 and deepest < each / 2):
            break
        best = depth_grid(deepest, count)
    return best


def _sample_rows(
    each: float,
    rows_per_step: float | None,
    eval_size: EvalSize | None,
    most_rows: int | None,
    depths: Sequence[int] | None,
) -> int | None:
    if eval_size is None:
        return None
    most = eval_size.rows
    if most_rows is not None:
        most = most_rows if most is None else min(most, most_rows)
    if rows_per_step is None:
        return most
    looks = 1 + (len(depths) if depths is not None else max(1, min(MAX_DEPTHS, round(each / 8))))
    share = each * EVAL_SHARE / looks
    rows = max(LEAST_ROWS, int(share * rows_per_step / FORWARD_SHARE))
    rows = max(eval_size.batch, rows // eval_size.batch * eval_size.batch)
    return rows if most is None else min(rows, most)
