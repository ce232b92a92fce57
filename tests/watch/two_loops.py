"""An accelerate loop that is watched; as a program, on each of several processes."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader
from transformers import set_seed

from hf_ftrisk import watch_loop
from tests.watch.tiny import accuracy, bert, classification_data


class Metrics:
    """What `accuracy` reads."""

    def __init__(self, predictions: Any, label_ids: Any) -> None:
        self.predictions, self.label_ids = predictions, label_ids


def train(watched: bool, folder: Path, *, steps: int = 30, broken: bool = False) -> dict[str, Any]:
    """Train, watched or not, and say how it ended.

    Args:
        watched: whether it is watched.
        folder: for the report.
        steps: planned optimizer steps.
        broken: the last process's loss is NaN from step 5 on.
    """
    accelerator = Accelerator(cpu=True)
    set_seed(0)
    model = bert()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    data = classification_data(96, seed=1).with_format("torch")
    held_out = classification_data(48, seed=2).with_format("torch")[:]
    loader = DataLoader(data, batch_size=8, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    last = accelerator.process_index == accelerator.num_processes - 1
    with (
        watch_loop(
            "eval_accuracy>=0.6",
            steps,
            learning_rates=scheduler,
            optimizer=optimizer,
            accelerator=accelerator,
            report_dir=folder / "reports",
            check_steps=5,
        )
        if watched
        else contextlib.nullcontext() as w
    ):
        done = 0
        while done < steps and not (w and w.should_stop):
            for batch in loader:
                loss = model(**batch).loss
                accelerator.backward(loss)
                norm = accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
                done += 1
                seen = loss * float("nan") if broken and last and done >= 5 else loss
                if w:
                    w.step(loss=seen, grad_norm=norm)
                if w and done % 10 == 0:
                    with torch.no_grad():
                        model.eval()
                        logits = model(**held_out).logits.numpy()
                        model.train()
                    w.evaluate(accuracy(Metrics(logits, held_out["labels"].numpy())))
                if done == steps or (w and w.should_stop):
                    break
    weights = sum(float(value.double().sum()) for value in model.state_dict().values())
    verdict = None if not watched or w.report is None else w.report.verdict.name
    return {"steps": done, "weights": weights, "verdict": verdict}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    told = {
        "sound": train(True, place),
        "broken": train(True, place, steps=200, broken=True),
        "world": Accelerator(cpu=True).num_processes,
    }
    rank = Accelerator(cpu=True).process_index
    (place / f"rank{rank}.json").write_text(json.dumps(told))
