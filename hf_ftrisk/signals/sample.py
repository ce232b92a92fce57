"""A bounded, seeded sample of a data set, in the one form the data-set signals read.

Pure numpy: rows come as mappings of lists, arrays or tensors; nothing here imports torch. No
global random state is read or moved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from hf_ftrisk.signals.deadline import Deadline

IGNORED_LABEL = -100
_LABEL_COLUMNS = ("labels", "label", "label_ids")


def sample_indices(n_rows: int, max_rows: int, seed: int) -> np.ndarray:
    """(min(n_rows, max_rows),) row numbers, drawn without replacement by a local generator.

    They come in random order, also when all rows are taken: data sets are often sorted by label,
    and the first batches are looked at more closely than the rest.

    Raises:
        ValueError: `max_rows` below 1.
    """
    if max_rows < 1:
        raise ValueError(f"max_rows must be at least 1, got {max_rows!r}")
    return np.random.default_rng(seed).permutation(n_rows)[:max_rows]


def sample_rows(
    data: Any,
    max_rows: int,
    seed: int = 0,
    deadline: Deadline | None = None,
    *,
    stream: bool | None = None,
) -> tuple[list[Any], int | None]:
    """At most `max_rows` rows of a data set, and the number of rows of the whole set.

    A set with a length is sampled evenly by `seed`; a stream is read from its start, and its
    length is None. Reading ends at the deadline.

    Args:
        data: any data set of rows.
        max_rows: rows to read at most.
        seed: seed of the sampling.
        deadline: looked at after each row; None: no limit.
        stream: whether `data` can only be read from its start; None: when it lacks a length or
            an index.

    Raises:
        ValueError: `max_rows` below 1, or a one-shot iterator, which reading would use up.
    """
    if stream is None:
        stream = not (hasattr(data, "__len__") and hasattr(data, "__getitem__"))
    if not stream:
        n_rows: int | None = len(data)
        rows: Iterable[Any] = (data[int(i)] for i in sample_indices(len(data), max_rows, seed))
    else:
        n_rows = None
        rows = iter(data)
        if rows is data:
            raise ValueError(
                f"{type(data).__name__} is a one-shot iterator: sampling it would use up its rows. "
                "Give a data set that can be read again"
            )
        rows = islice(rows, max_rows)
    sampled = []
    for row in rows:
        sampled.append(row)
        if deadline is not None and deadline.passed():
            break
    return sampled, n_rows


@dataclass(frozen=True, eq=False)
class DataSample:
    """Sampled rows of one data set, without padding.

    Args:
        n_rows: rows of the whole set; None for a stream.
        tokens: n arrays (length,) of token ids, padding removed; empty for data without tokens.
        labels: (n,) class indices or regression targets, None for data without row labels.
        supervised: n arrays of bool, one value for each label position, True where the loss
            counts it; None for data without token labels.
        prompt_lengths: (n,) tokens the model reads without being scored on them; None for data
            without token labels.
        texts: n texts, None when not known.
        max_length: length above which tokens were cut, None when not known.
    """

    n_rows: int | None
    tokens: tuple[np.ndarray, ...] = ()
    labels: np.ndarray | None = None
    supervised: tuple[np.ndarray, ...] | None = None
    prompt_lengths: np.ndarray | None = None
    texts: tuple[str, ...] | None = None
    max_length: int | None = None
    lengths: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "lengths", np.array([row.size for row in self.tokens], dtype=int))

    def __len__(self) -> int:
        """Number of sampled rows."""
        for rows in (self.tokens, self.labels, self.supervised, self.texts):
            if rows is not None and len(rows):
                return len(rows)
        return 0

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Mapping[str, Any]],
        *,
        n_rows: int | None = None,
        max_length: int | None = None,
        texts: Sequence[str] | None = None,
        encoder_decoder: bool = False,
    ) -> DataSample:
        """Sample from rows with ``input_ids``, ``attention_mask`` and ``labels``, as far as given.

        A label that is a number is the row's label; one that is a sequence of integers labels
        tokens, those with -100 being masked. With `encoder_decoder`, the labels are a sequence of
        their own and the inputs are the prompt. Without `texts`, the row's columns of type str are
        joined.
        """
        tokens, masks, prompts, labels = [], [], [], []
        for row in rows:
            ids = _unpadded(row)
            if ids is not None:
                tokens.append(ids)
            label = next((row[name] for name in _LABEL_COLUMNS if row.get(name) is not None), None)
            if label is None:
                continue
            value = np.asarray(label)
            if value.ndim == 0:
                labels.append(value.item())
                continue
            if value.dtype.kind == "f":  # several labels of the row, or several numbers
                continue
            scored = value.reshape(-1) != IGNORED_LABEL
            masks.append(scored)
            if ids is None:
                prompts.append(0)
            elif encoder_decoder or scored.size != np.size(row["input_ids"]):
                prompts.append(int(ids.size))
            else:
                prompts.append(int((~scored[_kept(row)]).sum()))
        if texts is None:
            joined = [" ".join(v for v in row.values() if isinstance(v, str)) for row in rows]
            texts = joined if any(joined) else None
        return cls(
            n_rows=n_rows,
            tokens=tuple(tokens),
            labels=np.array(labels) if len(labels) == len(rows) and labels else None,
            supervised=tuple(masks) if masks else None,
            prompt_lengths=np.array(prompts) if masks else None,
            texts=None if texts is None else tuple(texts),
            max_length=max_length,
        )


def _kept(row: Mapping[str, Any]) -> np.ndarray:
    ids = np.asarray(row["input_ids"]).reshape(-1)
    mask = row.get("attention_mask")
    if mask is None:
        return np.ones(ids.size, dtype=bool)
    return np.asarray(mask).reshape(-1).astype(bool)


def _unpadded(row: Mapping[str, Any]) -> np.ndarray | None:
    if row.get("input_ids") is None:
        return None
    ids: np.ndarray = np.asarray(row["input_ids"]).reshape(-1)[_kept(row)]
    return ids
