"""One reference run: a real Trainer run of a planned setting, as a `RecordedRun`."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from transformers import (
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    get_scheduler,
)

from benchmarks.recording import data, models
from benchmarks.recording.plan import RunSetting
from hf_ftrisk.goal import Goal, trivial_baseline
from hf_ftrisk.record import ModelSelection, RunRecord
from hf_ftrisk.reference.table import RecordedRun
from hf_ftrisk.signals.collect import trainer_signals

MAX_TOKENS = {"minilm": 24, "smollm2": 64}
_MORE_TOKENS = {"bbc_news": 32, "spam_assassin": 32, "gsm8k_steps": 32, "e2e_rating": 32}

Rows = list[dict[str, list[int] | int]]


def record_run(setting: RunSetting) -> RecordedRun:
    """Train `setting` to its end and record it, with the signals of the untrained model."""
    started = time.process_time()
    with _planned(setting) as planned:
        static = _signals(planned.trainer)
        planned.trainer.remove_callback(PrinterCallback)  # no line of output per log entry
        planned.trainer.train()
        record = _to_record(planned, setting, static)
    seconds = time.process_time() - started
    return RecordedRun(record, setting.run_id, setting.setting_id, seconds, environment())


def untrained_signals(setting: RunSetting) -> dict[str, float]:
    """Static signals of a planned run, as a pre-flight of its Trainer would measure them."""
    with _planned(setting) as planned:
        return _signals(planned.trainer)


def _signals(trainer: Trainer) -> dict[str, float]:
    signals = trainer_signals(trainer, seconds=None)
    return {name: float(f"{value:.5g}") for name, value in signals.items()}


@cache
def environment() -> str:
    """Device and library versions of this process."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    libraries = ("torch", "transformers", "peft", "accelerate")
    return ", ".join([device, *(f"{name} {version(name)}" for name in libraries)])


@dataclass(frozen=True, eq=False)
class _Planned:
    """A setting's Trainer before it trains.

    Args:
        trainer: the Trainer.
        labels: classes of the evaluation rows; None for language models.
        n_labels: number of classes; 0 for language models.
    """

    trainer: Trainer
    labels: list[int] | None = None
    n_labels: int = 0


@contextmanager
def _planned(setting: RunSetting) -> Iterator[_Planned]:
    with tempfile.TemporaryDirectory(prefix="reference-run-") as folder:
        if setting.model == "minilm":
            yield _classification(setting, folder)
        else:
            model = models.smollm2_lora(setting.seed)
            try:
                yield _generation(setting, model, folder)
            finally:
                model.unload()


def _classification(setting: RunSetting, folder: str) -> _Planned:
    source = data.classification(setting.dataset)
    salt = f"{setting.dataset} {setting.train_rows}"
    train = data.with_label_noise(
        data.subset(source.train, setting.train_rows, salt),
        setting.label_noise,
        source.n_labels,
        salt,
    )
    train_rows = _tokenize(train, setting)
    eval_rows = _eval_rows(setting.dataset, setting.eval_rows)
    trainer = Trainer(
        model=models.minilm_classifier(setting.method, source.n_labels, setting.seed),
        args=_arguments(setting, folder),
        train_dataset=train_rows,
        eval_dataset=eval_rows,
        data_collator=DataCollatorWithPadding(models.minilm_tokenizer()),
        compute_metrics=_metrics(source.n_labels),
    )
    return _Planned(trainer, [int(row["labels"]) for row in eval_rows], source.n_labels)


def _generation(setting: RunSetting, model: PeftModel, folder: str) -> _Planned:
    source = data.generation(setting.dataset)
    _, tokenizer = models.smollm2()
    salt = f"{setting.dataset} {setting.train_rows}"
    trainer = Trainer(
        model=model,
        args=_arguments(setting, folder),
        train_dataset=_language_rows(data.subset(source.train, setting.train_rows, salt)),
        eval_dataset=_language_rows(data.subset(source.test, setting.eval_rows, "test")),
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
    )
    return _Planned(trainer)


def _arguments(setting: RunSetting, folder: str) -> TrainingArguments:
    return TrainingArguments(
        output_dir=folder,
        max_steps=setting.max_steps,
        learning_rate=setting.learning_rate,
        lr_scheduler_type=setting.scheduler,
        warmup_steps=math.ceil(setting.warmup * setting.max_steps),
        weight_decay=setting.weight_decay,
        per_device_train_batch_size=setting.batch_size,
        per_device_eval_batch_size=32 if setting.model == "minilm" else 8,
        logging_steps=1,
        # The filter would put the running mean in place of a NaN loss.
        logging_nan_inf_filter=False,
        eval_strategy="steps",
        eval_steps=setting.max_steps // setting.evaluations,
        eval_on_start=True,
        save_strategy="best" if setting.load_best else "no",
        save_only_model=True,
        save_total_limit=1,
        load_best_model_at_end=setting.load_best,
        metric_for_best_model="eval_accuracy" if setting.load_best else None,
        seed=setting.seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _tokenize(rows: list[tuple[str, int]], setting: RunSetting) -> Rows:
    limit = _MORE_TOKENS.get(setting.dataset, MAX_TOKENS["minilm"])
    encoded = models.minilm_tokenizer()(
        [text for text, _ in rows], truncation=True, max_length=limit
    )
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": label}
        for ids, mask, (_, label) in zip(
            encoded["input_ids"], encoded["attention_mask"], rows, strict=True
        )
    ]


@cache
def _eval_rows(dataset: str, size: int) -> Rows:
    """The fixed evaluation rows of a data set, by length: less padding, the same metrics."""
    test = data.classification(dataset).test
    rows = _tokenize(
        data.subset(test, min(size, len(test)), f"{dataset} test"), RunSetting(dataset)
    )
    return sorted(rows, key=lambda row: len(row["input_ids"]))  # type: ignore[arg-type]


def _language_rows(pairs: list[tuple[str, str]]) -> Rows:
    """Prompt and response as one sequence; the loss counts the response alone."""
    _, tokenizer = models.smollm2()
    limit = MAX_TOKENS["smollm2"]
    rows: Rows = []
    for prompt, response in pairs:
        # The prompt keeps at most half of the window, or nothing of the response would be left.
        head = tokenizer(prompt + "\n")["input_ids"][: limit // 2] if prompt else []
        tail = tokenizer(response)["input_ids"] + [tokenizer.eos_token_id]
        ids = (head + tail)[:limit]
        masked = [-100] * len(head) + ids[len(head) :]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": masked})
    return rows


def macro_f1(predicted: np.ndarray, labels: np.ndarray, n_labels: int) -> float:
    """F1 averaged over the classes that occur in `labels` or `predicted`."""
    hits = np.bincount(labels[predicted == labels], minlength=n_labels)
    total = np.bincount(labels, minlength=n_labels) + np.bincount(predicted, minlength=n_labels)
    occurs = total > 0
    return float(np.mean(2 * hits[occurs] / total[occurs]))


def _metrics(n_labels: int) -> Callable[[Any], dict[str, float]]:
    def compute(evaluated: Any) -> dict[str, float]:
        logits, labels = evaluated.predictions, evaluated.label_ids
        predicted = np.argmax(logits, axis=-1)
        return {
            "accuracy": float(np.mean(predicted == labels)),
            "f1": macro_f1(predicted, labels, n_labels),
        }

    return compute


def planned_schedule(setting: RunSetting) -> np.ndarray:
    """(max_steps,) learning rate of every step, as the Trainer's scheduler will set it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=setting.learning_rate)
    scheduler = get_scheduler(
        setting.scheduler,
        optimizer,
        num_warmup_steps=math.ceil(setting.warmup * setting.max_steps),
        num_training_steps=setting.max_steps,
    )
    rates = []
    for _ in range(setting.max_steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


def _to_record(planned: _Planned, setting: RunSetting, static: Mapping[str, float]) -> RunRecord:
    trainer, labels, n_labels = planned.trainer, planned.labels, planned.n_labels
    log_history = trainer.state.log_history
    untrained = next(e["eval_loss"] for e in log_history if "eval_loss" in e)
    loss = trivial_baseline(Goal("eval_loss"), labels=labels, untrained=untrained)
    baselines = {} if loss is None else {"eval_loss": loss}
    if labels is not None:
        counts = np.bincount(labels, minlength=n_labels)
        constant = np.full(len(labels), counts.argmax())
        baselines["eval_accuracy"] = float(counts.max() / counts.sum())
        baselines["eval_f1"] = macro_f1(constant, np.array(labels), n_labels)
    settings = asdict(setting) | {"setting_id": setting.setting_id, "n_labels": n_labels}
    settings["eval_rows"] = len(trainer.eval_dataset)
    return RunRecord.from_log_history(
        [entry for entry in log_history if "train_runtime" not in entry],
        max_steps=setting.max_steps,
        schedule=planned_schedule(setting),
        steps_per_epoch=math.ceil(setting.train_rows / setting.batch_size),
        task=setting.task,
        seed=setting.seed,
        load_best=setting.load_best,
        selection=ModelSelection("eval_accuracy", True) if setting.load_best else None,
        baselines=baselines,
        settings=settings,
        static=static,
    )
