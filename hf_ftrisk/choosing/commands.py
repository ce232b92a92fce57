"""Candidates that are commands: a script with some of its options varied, one process for each."""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hf_ftrisk.atomic import write_atomically
from hf_ftrisk.choosing.child import report_of
from hf_ftrisk.choosing.orders import Order, Reached
from hf_ftrisk.choosing.study import Study
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.text import printable

_CHILD = "hf_ftrisk.choosing.child"
_LAST_WORDS = 300


def varied(options: Sequence[str], program: Sequence[str]) -> dict[str, list[str]]:
    """Name -> program with one value of every option, for all combinations.

    Args:
        options: such as ``"learning_rate=1e-5,3e-5"``.
        program: the script, or ``-m`` and a module, and its arguments.

    Raises:
        ValueError: an option without a value, or named twice.

    Examples:
        >>> varied(["lr=1,2"], ["train.py"])
        {'lr=1': ['train.py', '--lr', '1'], 'lr=2': ['train.py', '--lr', '2']}
    """
    axes: dict[str, list[str]] = {}
    for option in options:
        name, equals, text = option.partition("=")
        name = name.strip().removeprefix("--")
        values = [value.strip() for value in text.split(",")]
        if not name or not equals or not all(values):
            raise ValueError(f"--vary takes NAME=VALUE,VALUE,..., got {option!r}")
        if name in axes or len(set(values)) < len(values):
            raise ValueError(f"--vary names {name!r}, or a value of it, twice: {option!r}")
        axes[name] = values
    if not axes:
        raise ValueError("nothing varies: give --vary NAME=VALUE,VALUE,... once or more")
    values_by_name = {}
    for combination in itertools.product(*axes.values()):
        chosen = dict(zip(axes, combination, strict=True))
        label = " ".join(f"{name}={value}" for name, value in chosen.items())
        extra = [part for name, value in chosen.items() for part in (f"--{name}", value)]
        values_by_name[label] = [*program, *extra]
    return values_by_name


def command_of(program: Sequence[str]) -> str:
    """The candidate's own command, for a shell."""
    return shlex.join(["python", *program])


def continuing(program: Sequence[str], checkpoint: str) -> list[str]:
    """The command that runs a candidate on from its checkpoint."""
    return [sys.executable, "-m", _CHILD, "--from", checkpoint, *program]


class ProcessEngine:
    """Runs orders as processes, those of one round side by side.

    Args:
        programs: candidate -> its program.
    """

    def __init__(self, programs: Mapping[str, Sequence[str]]) -> None:
        self._programs = programs

    def carry_out(self, orders: Sequence[Order]) -> list[Reached]:
        """All orders at once; what the scripts print goes to a log beside each order."""
        begun = []
        for order in orders:
            path = written(order)
            with path.with_suffix(".log").open("wb") as log:
                begun.append(
                    subprocess.Popen(
                        _ordered(self._programs[order.name], path),
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        stdin=subprocess.DEVNULL,
                    )
                )
        try:
            for process in begun:
                process.wait()
        except BaseException:  # Ctrl-C: no probe outlives its ranking
            for process in begun:
                process.terminate()
            raise
        return [
            _reached(order, process.returncode)
            for order, process in zip(orders, begun, strict=True)
        ]


def written(order: Order) -> Path:
    """Write an order; where it is."""
    path = Path(order.folder) / f"order-{order.target}.json"
    report_of(path).unlink(missing_ok=True)
    write_atomically(path, json.dumps(order.to_dict()).encode())
    return path


def emitted(study: Study, programs: Mapping[str, Sequence[str]]) -> list[str]:
    """Commands of the next round, one for each order, to be run anywhere the folder is reached."""
    return [
        shlex.join(["python", *_ordered(programs[order.name], written(order))[1:]])
        for order in study.next_orders()
    ]


def collect(study: Study) -> int:
    """Take the reports of the emitted orders; how many are still missing."""
    missing = 0
    for order in study.next_orders():
        reply = report_of(Path(order.folder) / f"order-{order.target}.json")
        if reply.is_file():
            study.take(Reached.from_dict(read_json(reply)))
        else:
            missing += 1
    return missing


def _ordered(program: Sequence[str], order: Path) -> list[str]:
    return [sys.executable, "-m", _CHILD, str(order), *program]


def _last_line(log: Path) -> str:
    """What a script printed last: of one that failed, its error."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((text for line in reversed(lines) if (text := printable(line, _LAST_WORDS))), "")


def _reached(order: Order, status: int) -> Reached:
    path = Path(order.folder) / f"order-{order.target}.json"
    reply = report_of(path)
    if reply.is_file():
        return Reached.from_dict(read_json(reply))
    log = path.with_suffix(".log")
    why = (
        "the script trained no Trainer of transformers"
        if status == 0
        else f"the script ended with status {status}: {_last_line(log)}"
    )
    return Reached(
        order.name, checkpoint=order.checkpoint, looked=order.looked, fault=f"{why} (see {log})"
    )
