"""One of two ranks that probe, are watched, are stopped and report, again and again.

Started by `benchmarks.faults.ranks`, which kills one of the two. Says on standard output what it is
at, so that a moment within each can be chosen.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from hf_ftrisk import FineTuneRiskCallback, preflight
from tests.watch.test_stop import POOR, good_runs
from tests.watch.tiny import bert_trainer


def tell(what: str) -> None:
    """Say what begins now."""
    print(what, flush=True)


class Telling(FineTuneRiskCallback):
    """The callback, which says when a look and the report begin."""

    def _look(self, session: Any, work: Any, state: Any, control: Any) -> None:
        tell(f"look {state.global_step}")
        super()._look(session, work, state, control)
        if control.should_training_stop:
            tell("stop")

    def _finish(self, session: Any, state: Any) -> None:
        tell("report")
        super()._finish(session, state)


def main(folder: Path) -> None:
    """Probe, then train under watch, again and again."""
    torch.set_num_threads(1)
    trainer = bert_trainer(folder, per_device_train_batch_size=4, **POOR)
    runs = good_runs()
    while True:
        tell("preflight")
        preflight(
            trainer,
            "eval_accuracy>=0.9",
            budget=0.5,
            history=None,
            signal_seconds=1,
            timeout=20.0,
            progress=False,
        )
        tell("training")
        callback = Telling(
            "eval_accuracy>=0.9",
            history=runs,
            false_stop_rate=0.2,
            check_steps=4,
            task="t",
            report_dir=folder / "reports",
        )
        callback.attach(trainer)
        trainer.train()
        trainer.remove_callback(callback)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
