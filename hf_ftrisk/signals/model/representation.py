"""What the head of a model sees: hooked, so it is the same for text, images, speech and pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hf_ftrisk.signals.deadline import Deadline, Pace
from hf_ftrisk.signals.model.batches import Batch, batch_rows, device_of, on_device, row_classes
from hf_ftrisk.signals.model.label_signal import Kind, Labeled
from hf_ftrisk.signals.sample import IGNORED_LABEL

# Tokens whose labels are looked at: about as many as there are rows of a sequence task, each row
# giving a few.
_TOKENS_PER_ROW = 4


@dataclass(frozen=True, eq=False)
class Represented:
    """Rows as a frozen model represents them.

    Args:
        pooled: (n_rows, n_dims) mean over tokens of the last hidden state, of rows with a class;
            empty for models that give no hidden states.
        classes: (n_rows,) their classes.
        labeled: what the head sees and should say; None where the model has no such head.
    """

    pooled: np.ndarray
    classes: np.ndarray
    labeled: Labeled | None


def represented(
    model: torch.nn.Module,
    batches: Sequence[Batch],
    max_rows: int,
    deadline: Deadline | None = None,
    pace: Pace | None = None,
) -> Represented:
    """The first batches as the model represents them, of about `max_rows` rows at most.

    Args:
        model: any module, in evaluation mode.
        batches: collated batches.
        max_rows: rows to look at.
        deadline: when to end.
        pace: of the work on batches so far.
    """
    deadline, pace = deadline or Deadline(), pace or Pace()
    parts: list[_Part] = []
    rows = 0
    with torch.no_grad():
        for batch in pace.over(_of_a_head(model, batches), deadline, batch_rows):
            if rows >= max_rows:
                break
            part = _look(model, batch, rows)
            if part is None:
                break
            parts.append(part)
            rows += batch_rows(batch)
    return _joined(parts)


@dataclass(frozen=True, eq=False)
class _Part:
    pooled: np.ndarray | None
    classes: np.ndarray | None
    labeled: Labeled | None


def _of_a_head(model: torch.nn.Module, batches: Sequence[Batch]) -> Sequence[Batch]:
    """The batches, if the model is one whose logits are compared with their labels."""
    from peft import PeftModel
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel | PeftModel):
        return ()
    if model.can_generate():  # tells tokens, and an encoder-decoder cannot run without targets
        return ()
    return batches if batches and isinstance(batches[0].get("labels"), torch.Tensor) else ()


def _look(model: torch.nn.Module, batch: Batch, first_row: int) -> _Part | None:
    """One forward pass; None for a batch whose logits cannot be told from labels."""
    device = device_of(model)
    inputs = on_device({name: v for name, v in batch.items() if name != "labels"}, device)
    with _HeadHook(model) as hook:
        outputs = model(**inputs, output_hidden_states=True)
    logits = outputs.get("logits") if isinstance(outputs, Mapping) else None
    if not isinstance(logits, torch.Tensor):
        return None
    kind = target_kind(logits, batch["labels"], model)
    if kind is None:
        return None
    mask = inputs.get("attention_mask")
    hidden = _last_hidden(outputs)
    pooled = None if hidden is None else _mean_over_places(hidden, mask)
    head = hook.input_of(logits)
    if kind == "token":
        representation = head if head is not None and head.ndim == 3 else hidden
        labeled = (
            None if representation is None else _tokens(representation, batch["labels"], first_row)
        )
        return _Part(None, None, labeled)
    if head is not None and head.ndim == 3:
        head = _mean_over_places(head, mask)
    # A body that does not train stays as it is: then the head sees what it is given, no more.
    body = pooled if _body_trains(model) or head is None else None
    labeled = _rows(body, head, batch, kind, first_row)
    classes = row_classes(batch)
    if pooled is None or classes is None:
        return _Part(None, None, labeled)
    is_labeled = (classes >= 0).numpy(force=True)
    return _Part(
        pooled.float().numpy(force=True)[is_labeled], classes.numpy(force=True)[is_labeled], labeled
    )


class _HeadHook:
    """Notes what each module with a tensor for input was given, to find the one that made logits.

    The head is the outermost module whose output is the logits themselves; where they are picked
    from its output (a score of every token), the last module that was called.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._modules = [module for module in model.modules() if module is not model]
        self._calls: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> _HeadHook:
        self._hooks = [m.register_forward_hook(self._note) for m in self._modules]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, module: torch.nn.Module, given: Any, output: Any) -> None:
        if given and _is_float(given[0]) and _is_float(output):
            self._calls.append((given[0], output))

    def input_of(self, logits: torch.Tensor) -> torch.Tensor | None:
        """(B, D) or (B, T, D) what the head was given; None where there is no such module.

        A module is noted after those within it, so the outermost of several comes last.
        """
        for inputs, output in reversed(self._calls):
            if output is logits and inputs.shape[0] == logits.shape[0] and inputs.ndim in (2, 3):
                return inputs
        if self._calls:
            inputs, output = self._calls[-1]
            if output.shape[-1] == logits.shape[-1] and inputs.shape[0] == logits.shape[0]:
                return inputs if inputs.ndim in (2, 3) else None
        return None


def _body_trains(model: torch.nn.Module) -> bool:
    """Whether anything but the head is trainable, as far as the model tells its body."""
    from peft import PeftModel
    from transformers import PreTrainedModel

    whole = model.get_base_model() if isinstance(model, PeftModel) else model
    if not isinstance(whole, PreTrainedModel) or whole.base_model is whole:
        return True
    return any(parameter.requires_grad for parameter in whole.base_model.parameters())


def _is_float(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def target_kind(logits: torch.Tensor, labels: torch.Tensor, model: torch.nn.Module) -> Kind | None:
    """What the labels of a batch are to these logits; None: nothing a linear probe could say.

    Args:
        logits: (B, C) or (B, T, C).
        labels: (B,), (B, C) or (B, T).
        model: tells by its configuration a tagger of tokens from a language model.
    """
    labels_of = getattr(getattr(model, "config", None), "num_labels", None)
    if labels.is_floating_point():
        if logits.ndim != 2 or labels.reshape(labels.shape[0], -1).shape != logits.shape:
            return None
        binary = logits.shape[1] > 1 and bool(((labels == 0) | (labels == 1)).all())
        return "multilabel" if binary else "number"
    if row_classes({"labels": labels}) is not None:
        return "class" if logits.ndim == 2 and logits.shape[1] > 1 else None
    if logits.ndim == 3 and labels.shape == logits.shape[:2] and logits.shape[2] == labels_of:
        return "token"
    return None


def _last_hidden(outputs: Mapping[str, Any]) -> torch.Tensor | None:
    states = outputs.get("hidden_states") or outputs.get("encoder_hidden_states")
    last = states[-1] if states else None
    return last if isinstance(last, torch.Tensor) and last.ndim in (3, 4) else None


def _mean_over_places(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(B, T, D) or (B, D, H, W) -> (B, D), padding left out."""
    if hidden.ndim == 4:
        return hidden.mean(dim=(2, 3))
    if mask is None or mask.shape != hidden.shape[:2]:
        return hidden.mean(dim=1)
    weights = mask.to(hidden.dtype).unsqueeze(-1)  # (B, T, 1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def _rows(
    pooled: torch.Tensor | None,
    head: torch.Tensor | None,
    batch: Batch,
    kind: Kind,
    first_row: int,
) -> Labeled | None:
    """What the head sees, beside the mean over tokens that a fine-tune can make it see."""
    parts = [part for part in (pooled, head) if part is not None and part.ndim == 2]
    if not parts:
        return None
    features = torch.cat([part.float() for part in parts], dim=1).numpy(force=True)
    classes = row_classes(batch)
    if kind == "class":
        assert classes is not None
        targets = classes.numpy(force=True)
        is_labeled = targets >= 0
    else:
        targets = batch["labels"].float().reshape(features.shape[0], -1).numpy(force=True)
        is_labeled = np.isfinite(targets).all(axis=1)
    groups = first_row + np.arange(features.shape[0])
    return Labeled(features[is_labeled], targets[is_labeled], groups[is_labeled], kind)


def _tokens(seen: torch.Tensor, labels: torch.Tensor, first_row: int) -> Labeled | None:
    """At most a few labeled tokens of each row, evenly spread over it."""
    if seen.shape[:2] != labels.shape:
        return None
    features, targets, groups = [], [], []
    for row, (states, tags) in enumerate(zip(seen, labels, strict=True)):
        places = torch.nonzero(tags != IGNORED_LABEL).flatten()
        if places.numel() > _TOKENS_PER_ROW:
            chosen = np.linspace(0, places.numel() - 1, _TOKENS_PER_ROW).round().astype(int)
            places = places[torch.from_numpy(chosen)]
        features.append(states[places.to(states.device)].float().numpy(force=True))
        targets.append(tags[places].numpy(force=True))
        groups.append(np.full(places.numel(), first_row + row))
    return Labeled(
        np.concatenate(features), np.concatenate(targets), np.concatenate(groups), "token"
    )


def _joined(parts: Sequence[_Part]) -> Represented:
    pooled = [part.pooled for part in parts if part.pooled is not None]
    classes = [part.classes for part in parts if part.classes is not None]
    parts_labeled = [part.labeled for part in parts if part.labeled is not None]
    labeled = None
    if parts_labeled and len({part.kind for part in parts_labeled}) == 1:
        labeled = Labeled(
            np.concatenate([part.features for part in parts_labeled]),
            np.concatenate([part.targets for part in parts_labeled]),
            np.concatenate([part.groups for part in parts_labeled]),
            parts_labeled[0].kind,
        )
    if not pooled:
        return Represented(np.empty((0, 0)), np.empty(0, dtype=int), labeled)
    return Represented(np.concatenate(pooled), np.concatenate(classes), labeled)
