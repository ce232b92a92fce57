"""Orders carried out as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray

from hf_ftrisk.choosing.leg import Make, faulty, run_order
from hf_ftrisk.choosing.orders import Order, Reached

# A task whose worker was killed or whose machine was lost is run again, from its last checkpoint.
_RETRIES = 3


class RayEngine:
    """Runs each order as a Ray task; a cluster that is not yet connected to is, or a local one.

    Checkpoints are folders that every worker must reach: on several machines, `folder` of the
    ranking lies on storage they share. Records come back to the process that ranks, which alone
    writes its file: no data base is shared.

    Args:
        candidates: name -> function that builds the Trainer; it travels to the workers.
        resources: name -> options of the candidate's task, such as ``{"num_gpus": 1}``.
    """

    def __init__(
        self, candidates: Mapping[str, Make], resources: Mapping[str, Mapping[str, float]]
    ) -> None:
        unknown_names = sorted(set(resources) - set(candidates))
        if unknown_names:
            raise ValueError(
                f"resources name no candidate: {unknown_names}; there are {sorted(candidates)}"
            )
        self._candidates = candidates
        self._resources = resources
        if not ray.is_initialized():
            ray.init()

    def carry_out(self, orders: Sequence[Order]) -> list[Reached]:
        """All orders side by side, as far as the cluster has the resources."""
        tasks = [self._submitted(order) for order in orders]
        return [_report(order, task) for order, task in zip(orders, tasks, strict=True)]

    def _submitted(self, order: Order) -> Any:
        options = {"max_retries": _RETRIES, **self._resources.get(order.name, {})}
        task = ray.remote(run_order).options(**options)
        return task.remote(self._candidates[order.name], order)


def _report(order: Order, task: Any) -> Reached:
    try:
        reached: Reached = ray.get(task)
    except ray.exceptions.RayError as error:
        return faulty(order, error)
    return reached
