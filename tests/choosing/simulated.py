"""Candidates whose runs are curves: an engine for tests of decisions, without training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hf_ftrisk.choosing.orders import Order, Reached
from hf_ftrisk.record import RunRecord

STEPS = 100


class Curves:
    """An engine on planned curves: accuracy rises to `ends[name]`.

    Args:
        ends: name -> final accuracy; None: building the Trainer fails.
        fail_after: orders carried out before the process dies with a KeyboardInterrupt.
    """

    def __init__(self, ends: dict[str, float | None], fail_after: int | None = None) -> None:
        self.ends = ends
        self.left = fail_after
        self.orders: list[Order] = []

    def carry_out(self, orders: Sequence[Order]) -> list[Reached]:
        """One report each."""
        return [self._one(order) for order in orders]

    def _one(self, order: Order) -> Reached:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.orders.append(order)
        end = self.ends[order.name]
        if end is None:
            return Reached(order.name, fault="OutOfMemoryError: no room")
        looked = dict(order.looked)
        if order.target:
            value = 0.5 + (end - 0.5) * (1.0 - (1.0 - order.target / STEPS) ** 3)
            looked[order.target] = {"eval_accuracy": value}
        steps = np.array(sorted(looked), dtype=float)
        record = RunRecord(
            max_steps=STEPS,
            eval_step=steps,
            evals={"eval_accuracy": np.array([looked[int(s)]["eval_accuracy"] for s in steps])},
            baselines={"eval_accuracy": 0.5},
            status="finished" if order.target == STEPS else "running",
        )
        return Reached(
            order.name,
            record=record,
            step=order.target,
            seconds=0.1 * (order.target - max(order.looked, default=0)),
            checkpoint=f"{order.folder}/checkpoint-{order.target}" if order.target else None,
            looked=looked,
            ended=order.target == STEPS,
        )
