"""What two processes do for `test_distributed`; run by torchrun, writes one JSON for each rank."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import json
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from hf_ftrisk.errors import PeerFailedError, PreflightError, PreflightUnsupportedError
from hf_ftrisk.probing.runner import preflight
from hf_ftrisk.trainers.lockstep import Lockstep
from tests.probing.faults import Fault, FaultyTrainer, even_clock
from tests.probing.models import bert, bert_trainer, lora, trained
from tests.probing.traces import differences, digest, state_of

TIMEOUT = 30.0
ERRORS = {"memory": torch.OutOfMemoryError, "interrupt": KeyboardInterrupt, "error": RuntimeError}
# (method, call, error): before a collective, after one, between steps, within an evaluation.
FAULTS = (
    ("compute_loss", 1, "error"),
    ("training_step", 1, "memory"),
    ("after training_step", 2, "interrupt"),
    ("training_step", 4, "error"),
    ("after create_optimizer", 2, "error"),
    ("get_train_dataloader", 1, "error"),
    ("prediction_step", 2, "memory"),
    ("after evaluation_loop", 2, "interrupt"),
)


def _trainer(folder: Path, *, adapters: bool = False, **settings):
    if adapters:
        settings["model"] = lora(bert(), task_type="SEQ_CLS")
    return bert_trainer(folder, kind=FaultyTrainer, max_steps=40, **settings)


def _preflight(trainer, progress=False):
    return preflight(
        trainer,
        goal="eval_accuracy>=0.8",
        budget=1.0,
        seeds=2,
        depths=[2],
        signal_seconds=1,
        timeout=TIMEOUT,
        progress=progress,
    )


def _clean(folder: Path, **settings) -> dict:
    """A pre-flight and the run after it, against the run alone."""
    FaultyTrainer.fault_box[0] = Fault()
    trainer = _trainer(folder, **settings)
    before = state_of(trainer)
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        report = _preflight(trainer, progress=True)
    left = differences(before, state_of(trainer))
    run = trained(trainer)
    return {
        "differences": left,
        "identical": run == trained(_trainer(folder, **settings)),
        "report": digest(json.dumps(report.to_dict(), sort_keys=True)),
        "verdict": report.verdict,
        "progress": "pre-flight" in shown.getvalue(),
        "looks": [look.step for look in report.looks],
        "losses": [probe.train_curve()[1].tolist() for probe in report.probes],
        "world_size": report.settings["world_size"],
        "real_losses": [entry["loss"] for entry in run[1] if "loss" in entry],
    }


def _failing(trainer, before, name: str, call: int, error: str, culprit: int) -> dict:
    """What this rank sees of a failure on rank `culprit`."""
    planted = ERRORS[error](f"planted in {name}")
    here = dist.get_rank() == culprit
    FaultyTrainer.fault_box[0] = Fault(name, call, planted) if here else Fault()
    start = time.perf_counter()
    try:
        _preflight(trainer)
        seen = "nothing"
    except PeerFailedError as peer:
        seen = f"PeerFailedError: {peer}"
    except tuple(ERRORS.values()) as own:
        seen = f"{type(own).__name__}: {own}"
    seconds = time.perf_counter() - start
    dist.barrier()  # the user's own group still works
    return {
        "fault": [name, call, culprit],
        "seen": seen,
        "seconds": seconds,
        "differences": differences(before, state_of(trainer)),
    }


def _refused_one_after_the_other() -> str:
    """What this rank sees where each refuses, the second when the first has already left."""
    try:
        with Lockstep(TIMEOUT):
            time.sleep(1.5 * dist.get_rank())
            raise PreflightUnsupportedError("planted")
    except PreflightError as seen:
        return type(seen).__name__


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    # A hang shows where it is.
    faulthandler.dump_traceback_later(150, exit=True)
    results: dict = {
        "full": _clean(folder / "full"),
        "lora": _clean(
            folder / "lora",
            adapters=True,
            gradient_accumulation_steps=2,
            gradient_checkpointing=True,
        ),
    }
    rank = dist.get_rank()
    trainer = _trainer(folder / "faults")
    before = state_of(trainer)
    even_clock(pytest.MonkeyPatch())
    results["faults"] = [
        _failing(trainer, before, *fault, culprit) for fault in FAULTS for culprit in (0, 1)
    ]
    FaultyTrainer.fault_box[0] = Fault()
    results["after"] = trained(trainer) == trained(_trainer(folder / "faults"))
    results["refused"] = _refused_one_after_the_other()
    results["world"] = dist.get_world_size()
    (folder / f"rank{rank}.json").write_text(json.dumps(results))
    # The Trainer's DDP wrapper must go before the group it reduces in: the other way round the
    # wrapper's end waits, with the interpreter locked, for threads that need the interpreter.
    del trainer
    gc.collect()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
