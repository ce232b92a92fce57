"""Does a target depend on its input? Asked of an untrained language model, on frozen weights.

| signal | definition | unit | range | source |
|---|---|---|---|---|
| ``input_gain`` | loss of a target given another row's input less its loss given its own, mean \
over rows: about 0 where inputs and targets were shuffled | nats per token | any | V-usable \
information, Ethayarajh et al. 2022 |
| ``input_gain_z`` | the mean over its standard error | - | any | paired t statistic |
| ``input_gain_rows`` | rows it was measured on | rows | >= 2 | - |
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_ftrisk.signals.deadline import Deadline, Pace
from hf_ftrisk.signals.model.batches import Batch, device_of
from hf_ftrisk.signals.sample import IGNORED_LABEL

MAX_ROWS = 64
# Rows shown at once, each with its own and another input: large vocabularies make large logits.
_ROWS_AT_ONCE = 2
_FEWEST_ROWS = 8


@dataclass(frozen=True, eq=False)
class _Row:
    """One row without padding: the tokens that are given and those to be foretold."""

    given: torch.Tensor
    target: torch.Tensor
    scored: torch.Tensor


def input_signals(
    model: torch.nn.Module,
    batches: Sequence[Batch],
    deadline: Deadline | None = None,
    pace: Pace | None = None,
) -> dict[str, float]:
    """Signals of the module's table; empty for models and rows without an input and a target.

    Args:
        model: in evaluation mode; a causal language model whose batches mask the input in their
            labels, or an encoder-decoder model.
        batches: collated batches of training rows.
        deadline: when to end.
        pace: of the work on batches so far.
    """
    deadline, pace = deadline or Deadline(), pace or Pace()
    read = _reader(model)
    if read is None:
        return {}
    rows = [row for batch in batches for row in read(batch)][:MAX_ROWS]
    if len(rows) < _FEWEST_ROWS:
        return {}
    losses = _seq2seq_losses if _is_encoder_decoder(model) else _causal_losses
    gains: list[float] = []
    with torch.no_grad():
        for chunk in pace.over(_chunks(rows), deadline, len, passes=2.0):
            own = losses(model, chunk, [row.given for row in chunk])
            other = losses(model, chunk, [_another(rows, row).given for row in chunk])
            gains += (other - own).tolist()
    finite_gains = np.array([gain for gain in gains if math.isfinite(gain)])
    if finite_gains.size < _FEWEST_ROWS:
        return {}
    signals = {
        "input_gain": float(finite_gains.mean()),
        "input_gain_rows": float(finite_gains.size),
    }
    error = float(finite_gains.std(ddof=1)) / math.sqrt(finite_gains.size)
    if error > 0.0:
        signals["input_gain_z"] = signals["input_gain"] / error
    return signals


def _is_encoder_decoder(model: torch.nn.Module) -> bool:
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))


def _reader(model: torch.nn.Module) -> Any:
    """What reads rows off a batch for this model; None if it is no language model."""
    from peft import PeftModel
    from transformers import GenerationMixin, PreTrainedModel

    base = model.get_base_model() if isinstance(model, PeftModel) else model
    if not isinstance(base, PreTrainedModel) or not isinstance(base, GenerationMixin):
        return None
    return _encoded_rows if _is_encoder_decoder(base) else _prompted_rows


def _tensors(batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
    ids, labels = batch.get("input_ids"), batch.get("labels")
    if not isinstance(ids, torch.Tensor) or not isinstance(labels, torch.Tensor):
        return None
    if ids.ndim != 2 or labels.ndim != 2 or labels.is_floating_point():
        return None
    mask = batch.get("attention_mask")
    visible = (
        mask if isinstance(mask, torch.Tensor) and mask.shape == ids.shape else ids.new_ones(1)
    )
    return ids, labels, visible.bool().expand_as(ids)


def _prompted_rows(batch: Batch) -> Iterator[_Row]:
    """Rows of a causal language model: what is masked before the first scored token is given."""
    tensors = _tensors(batch)
    if tensors is None or tensors[0].shape != tensors[1].shape:
        return
    for ids, labels, visible in zip(*tensors, strict=True):
        tokens, tags = ids[visible], labels[visible]
        scored = tags != IGNORED_LABEL
        if not bool(scored.any()):
            continue
        start = int(torch.nonzero(scored)[0])
        if start > 1:
            yield _Row(tokens[:start], tokens[start:], scored[start:])


def _encoded_rows(batch: Batch) -> Iterator[_Row]:
    """Rows of an encoder-decoder model: the encoder's input is given."""
    tensors = _tensors(batch)
    if tensors is None:
        return
    for ids, labels, visible in zip(*tensors, strict=True):
        target = labels[labels != IGNORED_LABEL]
        if target.numel():
            yield _Row(ids[visible], target, torch.ones_like(target, dtype=torch.bool))


def _chunks(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE]


def _another(rows: Sequence[_Row], row: _Row) -> _Row:
    """The row half-way round the sample from this one: far enough off to be of no help."""
    place = next(i for i, other in enumerate(rows) if other is row)
    return rows[(place + len(rows) // 2) % len(rows)]


def _causal_losses(
    model: torch.nn.Module, rows: Sequence[_Row], given: Sequence[torch.Tensor]
) -> torch.Tensor:
    """(n_rows,) mean loss of each row's scored tokens after these tokens, nats."""
    whole = [torch.cat([g, row.target]) for g, row in zip(given, rows, strict=True)]
    scored = [
        torch.cat([torch.zeros_like(g, dtype=torch.bool), row.scored])
        for g, row in zip(given, rows, strict=True)
    ]
    device = device_of(model)
    ids, mask = (part.to(device) for part in _padded(whole))
    logits = _logits(model(input_ids=ids, attention_mask=mask))
    counted = _padded([part.long() for part in scored])[0].to(device).bool()
    return _mean_loss(logits[:, :-1], ids[:, 1:], counted[:, 1:])


def _seq2seq_losses(
    model: torch.nn.Module, rows: Sequence[_Row], given: Sequence[torch.Tensor]
) -> torch.Tensor:
    """(n_rows,) mean loss of each row's target, the encoder being shown these tokens, nats."""
    device = device_of(model)
    ids, mask = (part.to(device) for part in _padded(list(given)))
    targets, counted = (part.to(device) for part in _padded([row.target for row in rows]))
    labels = targets.masked_fill(~counted.bool(), IGNORED_LABEL)
    logits = _logits(model(input_ids=ids, attention_mask=mask, labels=labels))
    return _mean_loss(logits, targets, counted.bool())


def _logits(outputs: Any) -> torch.Tensor:
    logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs[0]
    assert isinstance(logits, torch.Tensor)
    return logits


def _padded(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows side by side, padded on the right, and their mask: both (n_rows, n_longest)."""
    pad = torch.nn.utils.rnn.pad_sequence
    ones = [torch.ones_like(row) for row in rows]
    return pad(list(rows), batch_first=True), pad(ones, batch_first=True)


def _mean_loss(logits: torch.Tensor, targets: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """(B,) mean over the counted places of the cross-entropy of (B, T, V) against (B, T)."""
    losses = torch.nn.functional.cross_entropy(
        logits.transpose(1, 2).float(), targets, reduction="none"
    )
    weights = counted.to(losses.dtype)
    return (losses * weights).sum(dim=1) / weights.sum(dim=1)
