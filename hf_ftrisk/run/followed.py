"""Inside a process that was started to be followed: its Trainers are judged from now on.

Called by the ``sitecustomize`` of `hf_ftrisk.run.follow` once a Trainer, or an optimizer, is
imported.
"""

from __future__ import annotations

import atexit
import json
import os
from contextlib import ExitStack
from typing import Any

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.errors import PreflightArgumentError
from hf_ftrisk.failopen import fault_of
from hf_ftrisk.history.given import history_of
from hf_ftrisk.policy import rule_maker
from hf_ftrisk.probing.options import PreflightOptions
from hf_ftrisk.run.instrument import every_training, instrumented
from hf_ftrisk.run.journal import Journal, SharedJournal
from hf_ftrisk.run.options import Refusal, RunOptions
from hf_ftrisk.run.orders import FOLLOWED, Orders
from hf_ftrisk.run.script import leave_process_group
from hf_ftrisk.run.terminal import say


def begin() -> None:
    """Do what this process was started for, until it ends."""
    orders = Orders.from_json(os.environ[FOLLOWED])
    if orders.probes:
        _probe(orders)
    else:
        journal = SharedJournal(orders.folder, orders.options.report_dir, os.environ)
        _judge(orders.options, journal)


def judge_this_process(options: RunOptions) -> None:
    """Judge the Trainers of this process until it ends, unless `hf-ftrisk run` does so already.

    For plugins of programs that build their Trainers themselves. A no-go leaves the program with
    status 3 where its training would have begun.
    """
    if FOLLOWED not in os.environ:
        _judge(options, Journal(options.report_dir))


def _judge(options: RunOptions, journal: Journal) -> None:
    stays = ExitStack()
    instruments = stays.enter_context(instrumented(options, say, journal))

    def end() -> None:
        stays.close()
        journal.keep_outcome(instruments.outcome)
        if instruments.outcome.refused is not None:
            leave_process_group()

    atexit.register(end)


class Done(Refusal):
    """The probe is made: the rest of the program is not wanted."""

    status = 0


def _probe(orders: Orders) -> None:
    """The first training is a pre-flight's, and the program ends with it."""

    def train(original: Any, trainer: Any, args: Any, kwargs: Any) -> Any:
        _answer(orders, original, trainer)

    stays = ExitStack()
    stays.enter_context(every_training(train))
    atexit.register(stays.close)


def _answer(orders: Orders, original: Any, trainer: Any) -> None:
    """Make the probe with the program's first training, and leave the program.

    Raises:
        Done: always.
    """
    # Only a process that probes needs it.
    from hf_ftrisk.probing.live import preflight_by_training

    options = orders.options
    reply: dict[str, Any] = {}

    def probe() -> None:
        asked = PreflightOptions(
            goal=options.goals[0],
            budget=options.budget,
            seeds=1,
            history=history_of(options.open_history()),
            make_rule=rule_maker(options.rule),
        )
        scratch = str(orders.folder / "out")
        reply["report"] = preflight_by_training(trainer, original, asked, scratch).to_dict()

    fault = fault_of(probe)
    if fault is not None:
        reply["fault"] = f"{type(fault).__name__}: {fault}"
    if isinstance(fault, PreflightArgumentError):
        reply |= {"fault": str(fault), "reported": list(fault.reported)}
    write_atomically(orders.folder / "reply.json", json.dumps(reply).encode())
    leave_process_group()
    raise Done
