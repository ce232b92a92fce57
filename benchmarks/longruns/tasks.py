"""A long run's model, rows, collator and metrics, by the kind of its task."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

from benchmarks.longruns import models
from benchmarks.longruns.data import Example, split
from benchmarks.longruns.setting import LongSetting
from benchmarks.recording.models import minilm_tokenizer, smollm2
from benchmarks.recording.train import macro_f1

Rows = list[dict[str, Any]]
Metrics = Callable[[Any], dict[str, float]]
# The special tokens keep the ids that MiniLM's configuration names.
_SPECIAL = 104
_FAULTY_TOKENS = 3
IGNORED = -100  # labels that no loss counts


@dataclass(frozen=True, eq=False)
class Task:
    """What a Trainer needs besides its arguments.

    Args:
        model: builds the untrained model, equal at each call.
        train_rows: tokenized rows.
        eval_rows: tokenized rows.
        collator: of a batch.
        metrics: ``compute_metrics``; None where the target is text.
        labels: (n,) classes of the evaluation rows, None where there are none.
        n_labels: number of classes or outputs; 0 where the target is text.
        trivial: metric -> value of a predictor that does not look at the inputs.
    """

    model: Callable[[], torch.nn.Module]
    train_rows: Rows
    eval_rows: Rows
    collator: Any
    metrics: Metrics | None = None
    labels: np.ndarray | None = None
    n_labels: int = 0
    trivial: Mapping[str, float] | None = None


def build(setting: LongSetting) -> Task:
    """The task of a setting."""
    return _BUILDERS[setting.kind](setting)


def _classification(setting: LongSetting) -> Task:
    train, test, n_labels = split(setting)
    labels = np.array([example.target for example in test])
    counts = np.bincount(labels, minlength=n_labels)
    constant = np.full(len(labels), counts.argmax())
    return _of_sequences(
        setting,
        (train, test),
        metrics=_class_metrics(n_labels),
        labels=labels,
        n_labels=n_labels,
        trivial={
            "eval_accuracy": float(counts.max() / counts.sum()),
            "eval_f1": macro_f1(constant, labels, n_labels),
        },
    )


def _regression(setting: LongSetting) -> Task:
    train, test, _ = split(setting)
    values = np.array([example.target for example in test])
    constant = np.mean([example.target for example in train])
    error = float(np.mean((values - constant) ** 2))
    return _of_sequences(
        setting,
        (train, test),
        metrics=_regression_metrics,
        n_labels=1,
        trivial={"eval_loss": error, "eval_mse": error, "eval_r2": 0.0, "eval_pearson": 0.0},
        problem_type="regression",
    )


def _multilabel(setting: LongSetting) -> Task:
    train, test, n_labels = split(setting)
    share = np.mean([example.target for example in train], axis=0)
    values = np.array([example.target for example in test])
    constant = np.broadcast_to(share > 0.5, values.shape)
    share = np.clip(share, 1e-6, 1 - 1e-6)
    entropy = -np.mean(values * np.log(share) + (1 - values) * np.log(1 - share))
    scores = _multilabel_scores(constant, values)
    return _of_sequences(
        setting,
        (train, test),
        metrics=lambda e: _multilabel_scores(e.predictions > 0, e.label_ids),
        n_labels=n_labels,
        trivial={"eval_loss": float(entropy)} | {f"eval_{k}": v for k, v in scores.items()},
        problem_type="multi_label_classification",
    )


def _of_sequences(
    setting: LongSetting,
    parts: tuple[list[Example], list[Example]],
    *,
    metrics: Metrics,
    n_labels: int,
    trivial: dict[str, float],
    labels: np.ndarray | None = None,
    **config_fields: Any,
) -> Task:
    rows, vocabulary = compact([_encoded(part, setting) for part in parts], setting)
    return Task(
        model=lambda: models.minilm(
            setting.model,
            setting.method,
            vocabulary,
            setting.seed,
            num_labels=n_labels,
            **config_fields,
        ),
        train_rows=rows[0],
        eval_rows=rows[1],
        collator=DataCollatorWithPadding(minilm_tokenizer()),
        metrics=metrics,
        labels=labels,
        n_labels=n_labels,
        trivial=trivial,
    )


def _tokens(setting: LongSetting) -> Task:
    train, test, n_labels = split(setting)
    rows, vocabulary = compact([_tagged(part, setting) for part in (train, test)], setting)
    tags = np.array([tag for row in rows[1] for tag in row["labels"] if tag != IGNORED])
    counts = np.bincount(tags, minlength=n_labels)
    return Task(
        model=lambda: models.minilm(
            setting.model, setting.method, vocabulary, setting.seed, "token", num_labels=n_labels
        ),
        train_rows=rows[0],
        eval_rows=rows[1],
        collator=DataCollatorForTokenClassification(minilm_tokenizer()),
        metrics=_token_metrics,
        labels=tags,
        n_labels=n_labels,
        trivial={"eval_accuracy": float(counts.max() / counts.sum()), "eval_f1": 0.0},
    )


def _encoded(examples: list[Example], setting: LongSetting) -> Rows:
    limit = _FAULTY_TOKENS if setting.fault == "truncated" else setting.max_tokens
    seconds = [example.second for example in examples if example.second is not None]
    encoded = minilm_tokenizer()(
        [example.text for example in examples],
        *([seconds] if seconds else []),
        truncation=True,
        max_length=limit,
    )
    columns = [name for name in encoded if name != "token_type_ids" or seconds]
    return [
        {name: encoded[name][i] for name in columns} | {"labels": example.target}
        for i, example in enumerate(examples)
    ]


def _tagged(examples: list[Example], setting: LongSetting) -> Rows:
    """Tokens with the tag of the word at a word's first token, `IGNORED` elsewhere."""
    limit = _FAULTY_TOKENS if setting.fault == "truncated" else setting.max_tokens
    encoded = minilm_tokenizer()(
        [example.text.split() for example in examples],
        is_split_into_words=True,
        truncation=True,
        max_length=limit,
    )
    rows = []
    for i, example in enumerate(examples):
        words = encoded.word_ids(i)
        labels = [
            # After a shuffle the tags are another text's, and may be fewer.
            example.target[word]
            if word is not None and words[max(at - 1, 0)] != word and word < len(example.target)
            else IGNORED
            for at, word in enumerate(words)
        ]
        names = ("input_ids", "attention_mask")
        rows.append({name: encoded[name][i] for name in names} | {"labels": labels})
    return rows


def compact(parts: list[Rows], setting: LongSetting) -> tuple[list[Rows], torch.Tensor]:
    """Rows with token ids of their own, and MiniLM's ids of these tokens in that order.

    The faults of the wiring are planted here: ids of another tokenizer, a mask that hides the text.
    """
    used = sorted({token for rows in parts for row in rows for token in row["input_ids"]})
    vocabulary = [*range(_SPECIAL), *(token for token in used if token >= _SPECIAL)]
    place = {token: i for i, token in enumerate(vocabulary)}
    if setting.fault == "vocabulary":
        tokens = list(range(_SPECIAL, len(vocabulary)))
        random.Random("vocabulary").shuffle(tokens)
        vocabulary = [*range(_SPECIAL), *(vocabulary[token] for token in tokens)]
    hidden = setting.fault == "mask"
    compacted = [
        [
            row
            | {"input_ids": [place[token] for token in row["input_ids"]]}
            | ({"attention_mask": [1] + [0] * (len(row["input_ids"]) - 1)} if hidden else {})
            for row in rows
        ]
        for rows in parts
    ]
    return compacted, torch.tensor(vocabulary)


@cache
def _class_metrics(n_labels: int) -> Metrics:
    def compute(evaluated: Any) -> dict[str, float]:
        predicted = np.argmax(evaluated.predictions, axis=-1)
        labels = evaluated.label_ids
        return {
            "accuracy": float(np.mean(predicted == labels)),
            "f1": macro_f1(predicted, labels, n_labels),
        }

    return compute


def _regression_metrics(evaluated: Any) -> dict[str, float]:
    predicted, truth = evaluated.predictions.reshape(-1), evaluated.label_ids.reshape(-1)
    error = float(np.mean((predicted - truth) ** 2))
    scores = {"mse": error, "r2": 1 - error / float(np.var(truth))}
    # Undefined, not 0, where all predictions are equal.
    if np.ptp(predicted) > 0:
        scores["pearson"] = float(np.corrcoef(predicted, truth)[0, 1])
    return scores


def _multilabel_scores(predicted: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Share of rows with all labels right, and F1 over all labels of all rows."""
    hits = float(np.sum(predicted * truth))
    return {
        "accuracy": float(np.mean((predicted == truth).all(axis=-1))),
        "f1": 2 * hits / float(np.sum(predicted) + np.sum(truth)),
    }


def _token_metrics(evaluated: Any) -> dict[str, float]:
    """Share of tags right, and F1 over the tags that are not 0."""
    labels = evaluated.label_ids
    tagged = labels != IGNORED
    predicted, truth = np.argmax(evaluated.predictions, axis=-1)[tagged], labels[tagged]
    hits = float(np.sum((predicted == truth) & (truth > 0)))
    named = float(np.sum(predicted > 0) + np.sum(truth > 0))
    return {"accuracy": float(np.mean(predicted == truth)), "f1": 2 * hits / named if named else 0}


def _language_model(setting: LongSetting) -> Task:
    """Prompt and response as one sequence; the loss counts the response alone."""
    train, test, _ = split(setting)
    _, tokenizer = smollm2()
    parts = [_language_rows(part, setting.max_tokens) for part in (train, test)]
    ids = sorted({token for rows in parts for row in rows for token in row["input_ids"]})
    # The end of the text first: the id that pads as well.
    end = tokenizer.eos_token_id
    ids = [end, *(token for token in ids if token != end)]
    place = {token: i for i, token in enumerate(ids)} | {IGNORED: IGNORED}
    rows = [
        [
            row | {name: [place[token] for token in row[name]] for name in ("input_ids", "labels")}
            for row in part
        ]
        for part in parts
    ]
    return Task(
        model=lambda: models.smollm2_lora(setting.model, torch.tensor(ids), setting.seed),
        train_rows=rows[0],
        eval_rows=rows[1],
        collator=_padded,
        trivial={"eval_loss": _unigram_loss(rows, len(ids))},
    )


def _language_rows(examples: list[Example], limit: int) -> Rows:
    _, tokenizer = smollm2()
    rows: Rows = []
    for example in examples:
        # The prompt keeps at most half of the window, or nothing of the response would be left.
        head = tokenizer(example.text + "\n")["input_ids"][: limit // 2] if example.text else []
        tail = tokenizer(example.target)["input_ids"] + [tokenizer.eos_token_id]
        ids = (head + tail)[:limit]
        masked = [IGNORED] * len(head) + ids[len(head) :]
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": masked})
    return rows


def _encoder_decoder(setting: LongSetting) -> Task:
    train, test, _ = split(setting)
    sources = [_encoded(part, setting) for part in (train, test)]
    targets = [
        _encoded([Example(example.target, None) for example in part], setting)
        for part in (train, test)
    ]
    # One vocabulary for both; the target's first token, [CLS], is the decoder's start already.
    compacted, vocabulary = compact([*sources, *targets], setting)
    rows = [
        [
            source | {"labels": target["input_ids"][1:]}
            for source, target in zip(compacted[i], compacted[i + 2], strict=True)
        ]
        for i in range(2)
    ]
    return Task(
        model=lambda: models.encoder_decoder(len(vocabulary), setting.seed),
        train_rows=rows[0],
        eval_rows=rows[1],
        collator=_padded,
        trivial={"eval_loss": _unigram_loss(rows, len(vocabulary))},
    )


def _unigram_loss(parts: list[Rows], n_tokens: int) -> float:
    """Loss of the evaluation part's target tokens by their frequency in the training part alone."""
    train, test = (np.concatenate([row["labels"] for row in part]) for part in parts)
    count = 1 + np.bincount(train[train != IGNORED], minlength=n_tokens)
    return float(-np.log(count / count.sum())[test[test != IGNORED]].mean())


def _padded(rows: Rows) -> dict[str, torch.Tensor]:
    """A batch padded on the right: tokens and mask with 0, labels with `IGNORED`."""
    fill = {"input_ids": 0, "attention_mask": 0, "labels": IGNORED}
    return {
        name: torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row[name]) for row in rows], batch_first=True, padding_value=value
        )
        for name, value in fill.items()
    }


_BUILDERS: dict[str, Callable[[LongSetting], Task]] = {
    "single": _classification,
    "pair": _classification,
    "tokens": _tokens,
    "regression": _regression,
    "multilabel": _multilabel,
    "causal_lm": _language_model,
    "seq2seq": _encoder_decoder,
}
