# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]"]
# ///
"""A plain accelerate loop, probed through its functions before it runs.

python examples/accelerate_loop.py
"""

from __future__ import annotations

from typing import Any

import torch
from accelerate import Accelerator
from offline import classifier, review_splits, tokenizer
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, get_linear_schedule_with_warmup, set_seed

from hf_ftrisk import TrainingLoop, Verdict, preflight

STEPS, WARMUP, RATE, BATCH = 120, 12, 3e-3, 16


class Loop:
    """What the loop trains with, and the functions that the pre-flight asks for."""

    def __init__(self) -> None:
        self.accelerator = Accelerator(cpu=True)
        words = tokenizer()
        data = review_splits().map(
            lambda rows: words(rows["text"]), batched=True, remove_columns=["text"]
        )
        self.train_set, self.eval_set = data["train"], data["validation"]
        self.collate = DataCollatorWithPadding(words)
        model = classifier(len(words))
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        scheduler = get_linear_schedule_with_warmup(optimizer, WARMUP, STEPS)
        self.model, self.optimizer, self.scheduler = self.accelerator.prepare(
            model, optimizer, scheduler
        )

    def batches(self, seed: int) -> DataLoader[Any]:
        """One epoch, shuffled by `seed`."""
        loader: DataLoader[Any] = DataLoader(
            self.train_set,  # type: ignore[arg-type]  # a datasets.Dataset indexes like one of torch
            batch_size=BATCH,
            shuffle=True,
            drop_last=True,
            collate_fn=self.collate,
            generator=torch.Generator().manual_seed(seed),
        )
        prepared: DataLoader[Any] = self.accelerator.prepare(loader)
        return prepared

    def step(self, batch: Any) -> dict[str, Any]:
        """One optimizer step."""
        self.model.train()
        loss = self.model(**batch).loss
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad()
        return {"loss": loss, "grad_norm": norm}

    @torch.no_grad()
    def evaluate(self, rows: int) -> dict[str, float]:
        """Loss and accuracy on the first `rows` evaluation rows."""
        self.model.eval()
        batch = self.collate([self.eval_set[row] for row in range(rows)])
        outputs = self.model(**batch.to(self.accelerator.device))
        right = outputs.logits.argmax(-1) == batch["labels"]
        return {"accuracy": float(right.float().mean()), "loss": float(outputs.loss)}

    @torch.no_grad()
    def features(self, part: str, rows: int) -> tuple[Any, Any]:
        """What the model makes of the first rows, and their labels: for the static signals."""
        self.model.eval()
        data = self.train_set if part == "train" else self.eval_set
        batch = self.collate([data[row] for row in range(min(rows, len(data)))])
        labels = batch.pop("labels")
        hidden = self.model(**batch.to(self.accelerator.device), output_hidden_states=True)
        return hidden.hidden_states[-1][:, 0], labels

    def gradient(self, batch: Any) -> tuple[torch.Tensor, ...]:
        """Gradient of the loss on a batch: for the static signals."""
        self.model.eval()
        loss = self.model(**batch).loss
        weights = [p for p in self.model.parameters() if p.requires_grad]
        return torch.autograd.grad(loss, weights)

    def state_dict(self) -> dict[str, Any]:
        """All that a step changes."""
        return {
            "model": self.accelerator.unwrap_model(self.model).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Back to what `state_dict` gave."""
        self.accelerator.unwrap_model(self.model).load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])


def main() -> None:
    """Probe, then train unless the answer is no."""
    set_seed(0)
    loop = Loop()
    described = TrainingLoop(
        step=loop.step,
        evaluate=loop.evaluate,
        state_dict=loop.state_dict,
        load_state_dict=loop.load_state_dict,
        batches=loop.batches,
        max_steps=STEPS,
        eval_rows=len(loop.eval_set),
        eval_labels=loop.eval_set["label"],
        rows_per_step=BATCH,
        eval_batch_size=BATCH,
        accelerator=loop.accelerator,
        features=loop.features,
        gradient=loop.gradient,
    )
    report = preflight(described, goal="eval_accuracy>=0.9", budget=0.2, seeds=2)
    print(f"before the run: {report.verdict}, {report.forecast}")
    if report.verdict is Verdict.NO_GO:
        return
    done, epoch = 0, 0
    while done < STEPS:
        for batch in loop.batches(epoch):
            loop.step(batch)
            done += 1
            if done == STEPS:
                break
        epoch += 1
    print(f"after it: {loop.evaluate(len(loop.eval_set))}")


if __name__ == "__main__":
    main()
