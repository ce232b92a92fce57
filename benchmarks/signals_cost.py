"""Time of a Trainer's static signals: all-MiniLM-L6-v2 on 2,000 rows of BBC News.

    python benchmarks/signals_cost.py [--tokens 128] [--rows 2000] [--profile]

Needs the packages of the demo extra. Prints the time of each part, as many processor cores as
torch uses, and the number of signals.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from hf_ftrisk.demo.data import bbc_news
from hf_ftrisk.demo.packages import minilm_folder
from hf_ftrisk.signals.collect import trainer_signals


def trainer_of(tokens: int, rows: int, folder: str) -> Trainer:
    """The Trainer whose signals are timed."""
    articles = bbc_news()
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    model = AutoModelForSequenceClassification.from_pretrained(
        minilm_folder(), num_labels=len(articles.topics)
    )

    def encoded(part: Any) -> list[dict[str, Any]]:
        return [
            {**tokenizer(text, truncation=True, max_length=tokens), "labels": label}
            for text, label in part
        ]

    everything = [*articles.train, *articles.test]
    rows = min(rows, len(everything) - 200)
    return Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=folder, per_device_train_batch_size=16, report_to=[], disable_tqdm=True
        ),
        train_dataset=encoded(everything[:rows]),
        eval_dataset=encoded(everything[rows : rows + 200]),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )


def main() -> None:
    """Time the signals three times; the first includes imports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=128, help="length texts are cut at")
    parser.add_argument("--rows", type=int, default=2000, help="training rows")
    parser.add_argument("--profile", action="store_true", help="print what takes the time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(given.tokens, given.rows, folder)
        cores = torch.get_num_threads()
        print(f"{len(trainer.train_dataset)} rows of {given.tokens} tokens at most, {cores} cores")
        for attempt in range(1, 4):
            start = time.perf_counter()
            signals = trainer_signals(trainer)
            seconds = time.perf_counter() - start
            print(f"{attempt}: {len(signals)} signals in {seconds:.2f} s")
        if given.profile:
            profiler = cProfile.Profile()
            profiler.runcall(trainer_signals, trainer)
            pstats.Stats(profiler).sort_stats("cumulative").print_stats(35)


if __name__ == "__main__":
    main()
