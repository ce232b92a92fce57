"""Time of a Trainer's static signals against the limit they were given.

    python -m benchmarks.signals_cost [--limits 1 5] [--repetitions 3] [--profile]

all-MiniLM-L6-v2 on BBC News, and a classifier of BERT-base's size (random weights: only its time
counts), both on one processor core; each limit several times, the longest is shown. Needs the
packages of the demo extra.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from hf_ftrisk.demo.data import bbc_news
from hf_ftrisk.demo.packages import minilm_folder
from hf_ftrisk.signals.collect import trainer_signals

EVAL_ROWS = 200


@dataclass(frozen=True)
class Case:
    """What signals are taken of: a model, the length texts are cut at, rows of a batch."""

    model: str
    tokens: int
    batch: int


CASES = (Case("MiniLM (22M)", 128, 16), Case("MiniLM (22M)", 512, 64), Case("BERT-base", 512, 32))


def trainer_of(case: Case, folder: str) -> Trainer:
    """The Trainer whose signals are timed."""
    articles = bbc_news()
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    labels = len(articles.topics)
    if case.model == "BERT-base":
        model: Any = BertForSequenceClassification(BertConfig(num_labels=labels))
    else:
        model = AutoModelForSequenceClassification.from_pretrained(
            minilm_folder(), num_labels=labels
        )

    def encoded(part: Any) -> list[dict[str, Any]]:
        return [
            {**tokenizer(text, truncation=True, max_length=case.tokens), "labels": label}
            for text, label in part
        ]

    everything = [*articles.train, *articles.test]
    return Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=case.batch,
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
        ),
        train_dataset=encoded(everything[:-EVAL_ROWS]),
        eval_dataset=encoded(everything[-EVAL_ROWS:]),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )


def first_seconds(trainer: Trainer) -> float:
    """Time of a first pass over two rows, the only work that is not foreseen."""
    rows = trainer.data_collator([trainer.train_dataset[i] for i in range(2)])
    start = time.perf_counter()
    with torch.no_grad():
        trainer.model.eval()(**rows)
    return time.perf_counter() - start


def main() -> None:
    """Time the signals under each limit, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limits", type=float, nargs="+", default=[1.0, 5.0], metavar="SECONDS")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="what takes the time, without limit")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} CPU thread(s)")
    print("| model | tokens | batch | two rows | limit | longest | signals |")
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            trainer = trainer_of(case, folder)
            two = first_seconds(trainer)
            for limit in options.limits:
                times, counts = [], []
                for _ in range(options.repetitions):
                    start = time.perf_counter()
                    counts.append(len(trainer_signals(trainer, seconds=limit)))
                    times.append(time.perf_counter() - start)
                print(
                    f"| {case.model} | {case.tokens} | {case.batch} | {two:.2f} s | {limit:g} s | "
                    f"{max(times):.2f} s | {min(counts)} |",
                    flush=True,
                )
            if options.profile:
                profiler = cProfile.Profile()
                profiler.runcall(trainer_signals, trainer, seconds=None)
                pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)


if __name__ == "__main__":
    main()
