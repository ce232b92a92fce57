"""One training on two processes: started by torchrun from test_ranks.py, writes what each saw."""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from transformers import Trainer

from hf_ftrisk.trainers.tap import StepTap
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from hf_ftrisk.watch.session import WatchSession
from tests.tiny_data import weights_hash
from tests.watch.test_stop import POOR, good_runs
from tests.watch.tiny import bert_trainer


class LostOnOne(Trainer):
    """From the fifth step on rank 1's loss reads NaN; its gradients do not."""

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().training_step(*args, **kwargs)
        lost = dist.get_rank() == 1 and self.state.global_step >= 4
        return loss * float("nan") if lost else loss


def broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("put in by the test")


def break_one(case: str, patch: pytest.MonkeyPatch) -> None:
    """Put a fault in on one rank alone."""
    rank = dist.get_rank()
    if case == "fault in a step on rank 1" and rank == 1:
        patch.setattr(StepTap, "end_step", broken)
    if case == "fault at the start on rank 1" and rank == 1:
        patch.setattr(WatchSession, "__init__", broken)
    if case == "fault in a look on rank 0" and rank == 0:
        patch.setattr(WatchSession, "look_at_step", broken)


def run(case: str, folder: Path) -> dict[str, Any]:
    """What this rank saw of one training."""
    settings: dict[str, Any] = {"per_device_train_batch_size": 4}
    if case == "poor":
        settings |= POOR
    if case == "accumulated":
        settings |= {"gradient_accumulation_steps": 3, "max_grad_norm": 0.1}
    kind = LostOnOne if case == "lost on rank 1" else Trainer
    trainer = bert_trainer(folder, kind=kind, logging_steps=1, **settings)
    assert dist.get_world_size() == 2
    callback = FineTuneRiskCallback(
        "eval_accuracy>=0.9" if case == "poor" else "eval_accuracy>=0.4",
        history=good_runs() if case == "poor" else None,
        false_stop_rate=0.2,
        check_steps=4,
        task="t",
    )
    if case != "unwatched":
        callback.attach(trainer)
    with pytest.MonkeyPatch.context() as patch:
        break_one(case, patch)
        trainer.train()
    report = callback.report
    return {
        "steps": trainer.state.global_step,
        "weights": weights_hash(trainer.model),
        "stopped_at": report.stopped_at if report else None,
        "reasons": list(report.reasons) if report else None,
        "losses": report.run.train_loss.tolist() if report else None,
        "logged": [e["loss"] for e in trainer.state.log_history if "loss" in e],
        "norms": report.run.grad_norm.tolist() if report else None,
        "logged_norms": [e["grad_norm"] for e in trainer.state.log_history if "loss" in e],
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    seen = {case: run(case, target) for case in sys.argv[2:]}
    (target / f"rank{dist.get_rank()}.json").write_text(json.dumps(seen))
    # The Trainers' DDP wrappers must go before the group they reduce in.
    gc.collect()
    dist.destroy_process_group()
