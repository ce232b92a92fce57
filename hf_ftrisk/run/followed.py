"""Inside a process that a followed command started: its Trainers are judged from now on.

Called by the ``sitecustomize`` of `hf_ftrisk.run.follow` once a Trainer, or an optimizer, is
imported.
"""

from __future__ import annotations

import atexit
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_ftrisk.run.instrument import instrumented
from hf_ftrisk.run.journal import Journal, SharedJournal
from hf_ftrisk.run.options import FOLLOWED, RunOptions
from hf_ftrisk.run.script import leave_process_group
from hf_ftrisk.run.terminal import say


@dataclass(frozen=True)
class Orders:
    """What the processes of a command are asked to do.

    Args:
        options: what to put into their Trainers.
        folder: shared by all of them, for what becomes of each.
    """

    options: RunOptions
    folder: Path

    def to_json(self) -> str:
        """One line, for the environment."""
        return json.dumps({"options": self.options.to_dict(), "folder": str(self.folder)})

    @classmethod
    def from_json(cls, text: str) -> Orders:
        """From `to_json`'s form."""
        data: dict[str, Any] = json.loads(text)
        return cls(RunOptions.from_dict(data["options"]), Path(data["folder"]))


def begin() -> None:
    """Judge the Trainers of a process that a followed command started, until it ends."""
    orders = Orders.from_json(os.environ[FOLLOWED])
    _judge(orders.options, SharedJournal(orders.folder, orders.options.report_dir, os.environ))


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
