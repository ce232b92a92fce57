"""One candidate that is a command: its first training is surveyed, paused or carried on.

    python -m hf_ftrisk.choosing.child ORDER script.py args...
    python -m hf_ftrisk.choosing.child --from CHECKPOINT script.py args...

The script is executed as it is. With an order its first Trainer does what is ordered instead of
training to the end, the report is written beside the order, and the script is left. With a
checkpoint its first training goes on from there, and the script goes on after it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.choosing.orders import Order, Reached
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.run.instrument import every_training
from hf_ftrisk.run.options import Refusal
from hf_ftrisk.run.script import execute


class Done(Refusal):
    """The order is carried out: the rest of the script is not wanted."""

    status = 0


def report_of(order: Path) -> Path:
    """Where the report on an order is written."""
    return order.with_suffix(".reached.json")


def _carried_out(order: Order, reply: Path) -> Callable[..., Any]:
    """A training that does what is ordered, and leaves the script."""
    begun = False

    def train(original: Callable[..., Any], trainer: Any, args: Any, kwargs: Any) -> Any:
        nonlocal begun
        if begun:  # what the order itself trains
            return original(trainer, *args, **kwargs)
        begun = True
        from hf_ftrisk.choosing.leg import do_order, faulty

        try:
            reached = do_order(trainer, order)
        except Exception as error:  # noqa: BLE001 - a fault of one candidate is that candidate's
            reached = faulty(order, error)
        write(reply, reached)
        raise Done

    return train


def write(path: Path, reached: Reached) -> None:
    """Write a report."""
    write_atomically(path, json.dumps(reached.to_dict()).encode())


def _continued(checkpoint: str) -> Callable[..., Any]:
    """A training that goes on from a checkpoint, the first one; later ones are left alone."""
    begun = False

    def train(original: Callable[..., Any], trainer: Any, args: Any, kwargs: Any) -> Any:
        nonlocal begun
        if begun:
            return original(trainer, *args, **kwargs)
        begun = True
        return original(trainer, resume_from_checkpoint=checkpoint)

    return train


def main(arguments: Sequence[str]) -> int:
    """Run the program; exit status 0 when the order was carried out or the script ended well."""
    if arguments[0] == "--from":
        train, program = _continued(arguments[1]), arguments[2:]
    else:
        order = Path(arguments[0])
        train = _carried_out(Order.from_dict(read_json(order)), report_of(order))
        program = arguments[1:]
    module = program[0] == "-m"
    target, *rest = program[1:] if module else program
    with every_training(train):
        return int(execute(target, rest, module=module))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
