"""Signals of the data alone, from a bounded sample of rows. No model, no torch.

| signal | definition | unit | range | source |
|---|---|---|---|---|
| ``train_rows``, ``eval_rows`` | rows of the whole set (absent for a stream) | rows | >= 0 | - |
| ``sampled_rows`` | training rows the signals below were computed on | rows | >= 0 | - |
| ``tokens_mean``, ``tokens_median``, ``tokens_p95``, ``tokens_max`` | length of a training row \
without padding | tokens | >= 0 | - |
| ``truncated_share`` | training rows as long as the length limit | share | [0, 1] | - |
| ``classes`` | distinct labels in the sample | labels | >= 1 | - |
| ``label_entropy`` | entropy of the training labels: the loss of the best constant predictor | \
nats | [0, log classes] | Shannon 1948 |
| ``label_balance`` | label_entropy / log(classes) | - | [0, 1] | Pielou 1966 |
| ``majority_share`` | share of the most frequent training label | share | (0, 1] | - |
| ``eval_majority_share`` | the same of the evaluation labels: accuracy of a constant | share | \
(0, 1] | - |
| ``label_shift`` | total variation distance between training and evaluation labels | share | \
[0, 1] | - |
| ``duplicate_share`` | rows that repeat an earlier row exactly | share | [0, 1) | Lee et al. 2022 |
| ``near_duplicate_share`` | distinct rows with another distinct row of estimated Jaccard \
similarity >= 0.8 over word 3-grams | share | [0, 1] | Broder 1997 |
| ``conflicting_label_share`` | rows whose content also stands under another label | share | \
[0, 1] | - |
| ``train_eval_overlap`` | sampled evaluation rows that stand in the training sample | share | \
[0, 1] | Lee et al. 2022 |
| ``train_eval_near_overlap`` | those with a near duplicate (or an exact one) there | share | \
[0, 1] | Broder 1997 |
| ``type_token_ratio`` | distinct / all tokens, mean over segments of 1,000 tokens | share | \
(0, 1] | Johnson 1944 (MSTTR) |
| ``repetition`` | 1 - distinct / all 4-grams of a row, mean over rows | share | [0, 1) | \
Welleck et al. 2020 (seq-rep-4) |
| ``special_character_share`` | characters neither alphanumeric nor white space | share | [0, 1] | \
- |
| ``prompt_tokens_mean``, ``response_tokens_mean`` | unscored and scored tokens of a row | tokens \
| >= 0 | - |
| ``prompt_response_ratio`` | all prompt tokens / all response tokens | - | >= 0 | - |
| ``all_masked_share`` | rows in which no token is scored | share | [0, 1] | - |

Shares of overlap and duplicates on a sample are lower bounds of those of the whole set.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from hf_ftrisk.goal import label_entropy, majority_rate
from hf_ftrisk.signals.deadline import Deadline
from hf_ftrisk.signals.sample import DataSample, sample_rows

SHINGLE = 3
JACCARD = 0.8
PERMUTATIONS = 128
SEGMENT = 1000
NGRAM = 4
MAX_CHARACTERS = 1_000_000
_SEED = 0  # of the sampling, by a local generator


def dataset_signals(
    train: Any,
    evaluation: Any = None,
    *,
    max_rows: int = 2000,
    max_length: int | None = None,
    seconds: float | None = 10.0,
    deadline: Deadline | None = None,
) -> dict[str, float]:
    """All signals of the module's table that the data allow.

    Args:
        train: training rows: a `DataSample`, or any data set of mappings with ``input_ids``,
            ``attention_mask``, ``labels`` / ``label`` and text columns, as far as it has them.
        evaluation: evaluation rows, the same; None if there are none.
        max_rows: rows read of either set.
        max_length: length limit tokens were cut at; None: unknown, and no truncated_share.
        seconds: time for all of it, a third at most to read each set; None: no limit. Looked at
            between rows: duplicates and repetition are then measured on those there was time for.
        deadline: the same, already begun; instead of `seconds`.
    """
    deadline = deadline or Deadline(seconds)
    trained = _as_sample(train, max_rows, max_length, deadline.part(1 / 3))
    held_out = (
        None
        if evaluation is None
        else _as_sample(evaluation, max_rows, max_length, deadline.part(1 / 2))
    )
    signals: dict[str, float] = {"sampled_rows": float(len(trained))}
    if trained.n_rows is not None:
        signals["train_rows"] = float(trained.n_rows)
    if held_out is not None and held_out.n_rows is not None:
        signals["eval_rows"] = float(held_out.n_rows)
    signals |= length_signals(trained.lengths, trained.max_length)
    signals |= label_signals(trained.labels, held_out.labels if held_out is not None else None)
    signals |= duplicate_signals(trained, held_out, deadline.part(0.8))
    signals |= language_signals(trained.tokens, trained.texts, deadline)
    signals |= supervision_signals(trained)
    return signals


def _as_sample(data: Any, max_rows: int, max_length: int | None, deadline: Deadline) -> DataSample:
    if isinstance(data, DataSample):
        return data
    rows, n_rows = sample_rows(data, max_rows, _SEED, deadline)
    return DataSample.from_rows(rows, n_rows=n_rows, max_length=max_length)


def length_signals(lengths: np.ndarray, max_length: int | None = None) -> dict[str, float]:
    """Token lengths of rows (n,), and the share of rows as long as `max_length`."""
    if lengths.size == 0:
        return {}
    signals = {
        "tokens_mean": float(lengths.mean()),
        "tokens_median": float(np.median(lengths)),
        "tokens_p95": float(np.quantile(lengths, 0.95)),
        "tokens_max": float(lengths.max()),
    }
    if max_length is not None:
        signals["truncated_share"] = float((lengths >= max_length).mean())
    return signals


def label_signals(
    train: np.ndarray | None, evaluation: np.ndarray | None = None
) -> dict[str, float]:
    """Label distribution of class indices (n_train,) and (n_eval,); nothing for real targets."""
    signals: dict[str, float] = {}
    if _is_classes(train):
        assert train is not None
        labeled = train[train >= 0]
        classes = np.unique(labeled).size
        entropy = label_entropy(labeled)
        signals |= {
            "classes": float(classes),
            "label_entropy": entropy,
            "label_balance": entropy / math.log(classes) if classes > 1 else 0.0,
            "majority_share": majority_rate(labeled),
        }
    if _is_classes(evaluation):
        assert evaluation is not None
        signals["eval_majority_share"] = majority_rate(evaluation)
        if _is_classes(train):
            assert train is not None
            signals["label_shift"] = _total_variation(
                train[train >= 0], evaluation[evaluation >= 0]
            )
    return signals


def _is_classes(labels: np.ndarray | None) -> bool:
    """Class indices, at least one of them counted; not real-valued targets."""
    return (
        labels is not None
        and labels.ndim == 1
        and np.issubdtype(labels.dtype, np.integer)
        and bool((labels >= 0).any())
    )


def _total_variation(first: np.ndarray, second: np.ndarray) -> float:
    n_classes = int(max(first.max(), second.max())) + 1
    shares = [np.bincount(part, minlength=n_classes) / part.size for part in (first, second)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def duplicate_signals(
    train: DataSample, evaluation: DataSample | None = None, deadline: Deadline | None = None
) -> dict[str, float]:
    """Exact and near duplicates in the training sample, and of evaluation rows in it.

    Near ones are looked for among the rows that there is time for until the deadline, two thirds
    of it for training rows.
    """
    deadline = deadline or Deadline()
    contents = _contents(train)
    if not contents:
        return {}
    keys = [_key(row) for row in contents]
    first_seen: dict[Hashable, int] = {}
    for position, key in enumerate(keys):
        first_seen.setdefault(key, position)
    distinct = [contents[position] for position in first_seen.values()]
    index, sketches = _near_index(distinct, deadline.part(2 / 3))
    near = sum(len(index.query(sketch)) > 1 for sketch in sketches)
    signals = {"duplicate_share": 1.0 - len(distinct) / len(keys)}
    if sketches:
        signals["near_duplicate_share"] = near / len(sketches)
    if train.labels is not None and len(train.labels) == len(keys):
        signals["conflicting_label_share"] = _conflicts(keys, train.labels.tolist())
    held_out = [] if evaluation is None else _contents(evaluation)
    if held_out:
        exact = [_key(row) in first_seen for row in held_out]
        signals["train_eval_overlap"] = float(np.mean(exact))
        near_or_exact = []
        for same, row in zip(exact, held_out, strict=True):
            if deadline.passed():
                break
            near_or_exact.append(same or bool(index.query(_sketch(row))))
        if near_or_exact and sketches:
            signals["train_eval_near_overlap"] = float(np.mean(near_or_exact))
    return signals


def _contents(sample: DataSample) -> list[Sequence[Any]]:
    """What a row says, as a sequence of words: its tokens, else the words of its text."""
    if sample.tokens:
        return [row.tolist() for row in sample.tokens]
    return [text.split() for text in sample.texts or ()]


def _key(row: Sequence[Any]) -> Hashable:
    return tuple(row)


def _conflicts(keys: Sequence[Hashable], labels: Sequence[Any]) -> float:
    labels_by_row: dict[Hashable, set[Any]] = defaultdict(set)
    for key, label in zip(keys, labels, strict=True):
        labels_by_row[key].add(label)
    return sum(len(labels_by_row[key]) > 1 for key in keys) / len(keys)


def _shingles(row: Sequence[Any]) -> set[bytes]:
    words = [str(word) for word in row]
    last = max(len(words) - SHINGLE + 1, 1)
    return {" ".join(words[i : i + SHINGLE]).encode() for i in range(last)}


def _sketch(row: Sequence[Any]) -> Any:
    from datasketch import MinHash

    sketch = MinHash(num_perm=PERMUTATIONS, seed=1)
    sketch.update_batch(sorted(_shingles(row)))
    return sketch


def _near_index(rows: Sequence[Sequence[Any]], deadline: Deadline) -> tuple[Any, list[Any]]:
    """Index and sketches of the rows, as many as there is time for."""
    from datasketch import MinHashLSH

    # The index draws a name for its tables from python's global generator.
    state = random.getstate()
    try:
        index = MinHashLSH(threshold=JACCARD, num_perm=PERMUTATIONS)
    finally:
        random.setstate(state)
    sketches: list[Any] = []
    for row in rows:
        if deadline.passed():
            break
        sketches.append(_sketch(row))
        index.insert(len(sketches), sketches[-1])
    return index, sketches


def language_signals(
    tokens: Sequence[np.ndarray],
    texts: Sequence[str] | None = None,
    deadline: Deadline | None = None,
) -> dict[str, float]:
    """Vocabulary richness and repetition of token rows, special characters of their texts.

    Repetition of the rows that there is time for; characters of the first texts, about a million.
    """
    deadline = deadline or Deadline()
    signals: dict[str, float] = {}
    stream = np.concatenate(tokens) if len(tokens) else np.empty(0)
    if stream.size:
        n_segments = max(stream.size // SEGMENT, 1)
        segments = [stream[i * SEGMENT : (i + 1) * SEGMENT] for i in range(n_segments)]
        signals["type_token_ratio"] = float(np.mean([np.unique(s).size / s.size for s in segments]))
    repeated = []
    for row in tokens:
        if deadline.passed():
            break
        if row.size >= NGRAM:
            repeated.append(_repetition(row))
    if repeated:
        signals["repetition"] = float(np.mean(repeated))
    characters = "".join(texts or ())[:MAX_CHARACTERS]
    if characters:
        special = sum(not (c.isalnum() or c.isspace()) for c in characters)
        signals["special_character_share"] = special / len(characters)
    return signals


def _repetition(row: np.ndarray) -> float:
    grams = np.lib.stride_tricks.sliding_window_view(row, NGRAM)
    # np.unique of rows compares structured values, which turns a Ctrl-C into a TypeError.
    distinct = set(map(tuple, grams.tolist()))
    return 1.0 - len(distinct) / len(grams)


def supervision_signals(sample: DataSample) -> dict[str, float]:
    """Prompt and response lengths, and rows without any scored token."""
    if not sample.supervised or sample.prompt_lengths is None:
        return {}
    responses = np.array([mask.sum() for mask in sample.supervised])
    prompts = sample.prompt_lengths
    signals = {
        "prompt_tokens_mean": float(prompts.mean()),
        "response_tokens_mean": float(responses.mean()),
        "all_masked_share": float((responses == 0).mean()),
    }
    if responses.sum():
        signals["prompt_response_ratio"] = float(prompts.sum() / responses.sum())
    return signals
