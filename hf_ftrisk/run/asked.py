"""Inside a process that was started for a pre-flight alone (`hf_ftrisk.run.elsewhere`)."""

from __future__ import annotations

import json
from typing import Any

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.failopen import fault_of
from hf_ftrisk.history.given import history_of
from hf_ftrisk.policy import rule_maker
from hf_ftrisk.probing.live import preflight_by_training
from hf_ftrisk.probing.options import PreflightOptions
from hf_ftrisk.run.options import Refusal
from hf_ftrisk.run.orders import Orders
from hf_ftrisk.run.script import leave_process_group


class Done(Refusal):
    """The probe is made: the rest of the program is not wanted."""

    status = 0


def answer(orders: Orders, original: Any, trainer: Any) -> None:
    """Make the probe with the program's first training, and leave the program.

    Raises:
        Done: always.
    """
    options = orders.options
    reply: dict[str, Any] = {}

    def work() -> None:
        question = PreflightOptions(
            goal=options.goals[0],
            budget=options.budget,
            seeds=1,
            history=history_of(options.open_history()),
            make_rule=rule_maker(options.rule),
        )
        scratch = str(orders.folder / "out")
        reply["report"] = preflight_by_training(trainer, original, question, scratch).to_dict()

    fault = fault_of(work)
    if fault is not None:
        reply["fault"] = f"{type(fault).__name__}: {fault}"
    if isinstance(fault, PreflightArgumentError):
        reply |= {"fault": str(fault), "reported": list(fault.reported)}
    write_atomically(orders.folder / "reply.json", json.dumps(reply).encode())
    leave_process_group()
    raise Done
