"""Faults in how a Trainer is put together, found before a step is wasted on them.

Each check looks at one thing and returns a `Diagnosis` or nothing. A ``fatal`` one is certain to
make the run useless and blocks it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling

from hf_ftrisk.signals.collect import CollatedSample, collated_sample, data_sample, trainer_loss
from hf_ftrisk.signals.model.batches import row_classes
from hf_ftrisk.signals.model.frozen import frozen
from hf_ftrisk.signals.sample import IGNORED_LABEL, DataSample
from hf_ftrisk.text import percent
from hf_ftrisk.trainers.facts import builds_own_loader, class_labels, length_of, sampling_seed
from hf_ftrisk.verdict import Diagnosis

MASKED_WARNING = 0.05
CUT_WARNING = 0.05
CUT_FATAL = 0.5
MAX_LABELS = 500_000


def check_wiring(trainer: Any, *, max_rows: int = 256) -> tuple[Diagnosis, ...]:
    """Faults of a Trainer that has not trained yet; nothing on it is changed.

    Args:
        trainer: any Trainer.
        max_rows: rows of the training set that are looked at.

    Returns:
        Diagnoses, the fatal ones first: ``no_trainable_parameter``,
        ``parameters_not_in_optimizer``, ``no_train_set``, ``empty_train_set``,
        ``no_eval_set`` (a warning), ``empty_eval_set``, ``all_labels_masked``,
        ``labels_out_of_range``, ``tokens_out_of_range``, ``non_finite_loss``,
        ``answers_cut``.
    """
    results = [
        check_trainable(trainer.model),
        check_optimizer(trainer.model, trainer.optimizer),
        *check_sets(trainer),
    ]
    if trainer.train_dataset is not None and not any(
        fault and fault.name == "empty_train_set" for fault in results
    ):
        results += _check_data(trainer, max_rows)
    faults = [fault for fault in results if fault is not None]
    return tuple(sorted(faults, key=lambda fault: fault.severity != "fatal"))


def _check_data(trainer: Any, max_rows: int) -> list[Diagnosis | None]:
    sample = collated_sample(
        trainer,
        trainer.train_dataset,
        max_rows=max_rows,
        batch_size=trainer.args.per_device_train_batch_size,
        seed=sampling_seed(trainer.args),
    )
    rows = data_sample(trainer, sample)
    out_of_range = [
        check_label_range(trainer.model, sample, _label_column(trainer)),
        check_token_range(trainer.model, rows),
    ]
    config = getattr(trainer.model, "config", None)
    results = [check_masking(rows, drawn=_draws_masks(trainer)), *out_of_range]
    if not getattr(config, "is_encoder_decoder", False):
        results.append(check_answers_cut(rows, _eos(trainer)))
    # An index out of range ends a CUDA process for good: never run the model on it.
    if not any(out_of_range) and sample.batches:
        results.append(check_first_loss(trainer, sample.batches[0]))
    return results


def check_trainable(model: torch.nn.Module) -> Diagnosis | None:
    """At least one parameter requires a gradient."""
    n_all = sum(1 for _ in model.parameters())
    if any(parameter.requires_grad for parameter in model.parameters()):
        return None
    adapters = any("lora_" in name for name, _ in model.named_parameters())
    advice = (
        "Load the adapter with is_trainable=True, or build its config with inference_mode=False."
        if adapters
        else "Set requires_grad=True on what should learn, or add an adapter with get_peft_model."
    )
    return Diagnosis(
        name="no_trainable_parameter",
        message=f"None of the model's {n_all} parameter tensors requires a gradient.",
        advice=advice,
        severity="fatal",
        evidence={"parameters": float(n_all), "trainable": 0.0},
    )


def check_optimizer(model: torch.nn.Module, optimizer: Any) -> Diagnosis | None:
    """Every trainable parameter is in the optimizer, when the Trainer was given one.

    Fatal is what nobody means: an adapter or the task's own head left out, everything left out, or
    an optimizer that still holds parameters the model no longer has, for it was built before they
    were replaced. Other parameters may have been left out on purpose, though not frozen: a warning.
    """
    if optimizer is None:
        return None
    optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
    everything = dict(model.named_parameters())
    trainable = {name: p for name, p in everything.items() if p.requires_grad}
    missing = {name: p for name, p in trainable.items() if id(p) not in optimized}
    if not missing:
        return None
    share = sum(p.numel() for p in missing.values()) / sum(p.numel() for p in trainable.values())
    stale = len(optimized - {id(p) for p in everything.values()})
    replaced = stale > 0 or len(missing) == len(trainable)
    fatal = replaced or any(_is_adapter(name) for name in missing) or _lacks_head(model, missing)
    old = f"; it holds {stale} others that the model does not have" if stale else ""
    return Diagnosis(
        name="parameters_not_in_optimizer",
        message=(
            f"{len(missing)} of {len(trainable)} trainable parameter tensors "
            f"({percent(share)} of the trainable values), such as {next(iter(missing))}, are not "
            f"in the optimizer: they will never change{old}."
        ),
        advice=(
            "Build the optimizer after the last change to the model (adapter, new head), from "
            "[p for p in model.parameters() if p.requires_grad], or leave it to the Trainer. "
            "Freeze what should not train: p.requires_grad_(False)."
        ),
        severity="fatal" if fatal else "warning",
        evidence={
            "missing": float(len(missing)),
            "missing_share": share,
            "not_of_the_model": float(stale),
        },
    )


def _is_adapter(name: str) -> bool:
    return "lora_" in name or "modules_to_save" in name


def _lacks_head(model: torch.nn.Module, missing: Mapping[str, torch.nn.Parameter]) -> bool:
    """Whether the whole task head, what a transformers model has outside its base, is missing."""
    from transformers import PreTrainedModel

    core = _base_model(model)
    if not isinstance(core, PreTrainedModel) or core.base_model is core:
        return False
    inside = {id(p) for p in core.base_model.parameters()}
    head = [p for p in core.parameters() if p.requires_grad and id(p) not in inside]
    absent = {id(p) for p in missing.values()}
    return bool(head) and all(id(p) in absent for p in head)


def check_sets(trainer: Any) -> list[Diagnosis | None]:
    """Training and evaluation sets hold rows; a Trainer that builds its own loaders needs none."""
    evaluations = trainer.eval_dataset
    parts = evaluations.values() if isinstance(evaluations, dict) else [evaluations]
    own_train, own_eval = (builds_own_loader(trainer, which) for which in ("train", "eval"))
    return [
        _check_rows("train", trainer.train_dataset, own_train),
        *(_check_rows("eval", data, own_eval) for data in parts),
    ]


def _check_rows(which: str, data: Any, own_loader: bool) -> Diagnosis | None:
    if data is None:
        if own_loader:
            return None
        return Diagnosis(
            name=f"no_{which}_set",
            message=f"The Trainer has no {which}_dataset.",
            advice=f"Pass {which}_dataset=...",
            severity="fatal" if which == "train" else "warning",
        )
    if not hasattr(data, "__len__") or len(data) > 0:
        return None
    return Diagnosis(
        name=f"empty_{which}_set",
        message=f"The {which}_dataset has 0 rows.",
        advice=f"Check the filter or split that made the {which}_dataset.",
        severity="fatal",
        evidence={"rows": 0.0},
    )


def _draws_masks(trainer: Any) -> bool:
    """Whether the tokens that count are drawn anew in every batch: masked language modeling."""
    collator = trainer.data_collator
    return isinstance(collator, DataCollatorForLanguageModeling) and collator.mlm


def check_masking(sample: DataSample, *, drawn: bool = False) -> Diagnosis | None:
    """Token labels are not all -100.

    Args:
        sample: collated rows.
        drawn: which labels count is drawn anew in every batch. A short row then goes without any
            at times, and only all of them together are a fault.
    """
    if not sample.supervised:
        return None
    masked = float(np.mean([not mask.any() for mask in sample.supervised]))
    if masked < (1.0 if drawn else MASKED_WARNING):
        return None
    n = len(sample.supervised)
    return Diagnosis(
        name="all_labels_masked",
        message=f"In {percent(masked)} of {n} sampled training rows every label is "
        f"{IGNORED_LABEL}: the loss counts none of their tokens.",
        advice=(
            "Give the collator an mlm_probability above 0, such as 0.15, and it tokens to mask: "
            "special ones never are."
            if drawn
            else "Check the response template or assistant mask, and that the prompt alone does "
            "not fill max_length."
        ),
        severity="fatal" if masked == 1.0 else "warning",
        evidence={"all_masked_share": masked, "rows": float(n)},
    )


def _label_column(trainer: Any) -> np.ndarray | None:
    """(n_rows,) class labels of the whole training set where it keeps them in a column."""
    rows = length_of(trainer.train_dataset)
    if rows is None or rows > MAX_LABELS:
        return None
    return class_labels(trainer.train_dataset, list(trainer.label_names or []))


def check_label_range(
    model: torch.nn.Module, sample: CollatedSample, column: np.ndarray | None = None
) -> Diagnosis | None:
    """Class labels lie in [0, num_labels), token labels in [0, vocabulary).

    Args:
        model: says how many labels there may be.
        sample: collated rows.
        column: (n_rows,) class labels of the whole set, if known: a rare class may not be sampled.
    """
    bound, what = _label_bound(model)
    if bound is None:
        return None
    row_level = what == "num_labels"
    values = [_counted_labels(batch, row_level) for batch in sample.batches]
    if row_level and column is not None:
        values = [column[column != IGNORED_LABEL]]
    labels = np.concatenate(values) if values else np.empty(0, dtype=int)
    outside = labels[(labels >= bound) | (labels < 0)]
    if outside.size == 0:
        return None
    low, high = int(labels.min()), int(labels.max())
    return Diagnosis(
        name="labels_out_of_range",
        message=f"Labels run from {low} to {high}, but the model has {what}={bound}: "
        f"{outside.size} of {labels.size} labels looked at are outside [0, {bound - 1}].",
        advice=(
            f"Load the model with num_labels={high + 1}, or map the labels to 0..{bound - 1}."
            if row_level and low >= 0
            else "Map the labels to 0, 1, 2, ...; use -100 for those that the loss should ignore."
            if low < 0
            else "Call model.resize_token_embeddings(len(tokenizer)), or use the model's tokenizer."
        ),
        severity="fatal",
        evidence={"lowest": float(low), "highest": float(high), what: float(bound)},
    )


def _label_bound(model: torch.nn.Module) -> tuple[int | None, str]:
    config = getattr(model, "config", None)
    if config is None:
        return None, ""
    kind = _base_model(model).__class__.__name__
    if kind.endswith(("ForSequenceClassification", "ForTokenClassification")):
        regression = config.num_labels == 1 or config.problem_type in (
            "regression",
            "multi_label_classification",
        )
        return (None if regression else int(config.num_labels)), "num_labels"
    if kind.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForMaskedLM")):
        return _vocabulary(model), "vocab_size"
    return None, ""


def _base_model(model: torch.nn.Module) -> torch.nn.Module:
    from peft import PeftModel

    if isinstance(model, PeftModel):
        base = model.get_base_model()
        assert isinstance(base, torch.nn.Module)
        return base
    return model


def _vocabulary(model: torch.nn.Module) -> int | None:
    from transformers import PreTrainedModel

    base = _base_model(model)
    if not isinstance(base, PreTrainedModel):
        return None
    embeddings = base.get_input_embeddings()
    rows = getattr(embeddings, "num_embeddings", None)
    return int(rows) if rows is not None else None


def _counted_labels(batch: Mapping[str, Any], row_level: bool) -> np.ndarray:
    labels = batch.get("labels")
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point():
        return np.empty(0, dtype=int)
    classes = row_classes(batch) if row_level else None
    values: np.ndarray = (labels if classes is None else classes).reshape(-1).numpy(force=True)
    counted: np.ndarray = values[values != IGNORED_LABEL]
    return counted


def check_token_range(model: torch.nn.Module, sample: DataSample) -> Diagnosis | None:
    """Token ids lie within the model's embedding table."""
    bound = _vocabulary(model)
    if bound is None or not sample.tokens:
        return None
    ids = np.concatenate(sample.tokens)
    if ids.size == 0 or (ids.max() < bound and ids.min() >= 0):
        return None
    return Diagnosis(
        name="tokens_out_of_range",
        message=f"Token ids run from {int(ids.min())} to {int(ids.max())}, but the model embeds "
        f"only {bound} tokens.",
        advice="Call model.resize_token_embeddings(len(tokenizer)), or use the model's tokenizer.",
        severity="fatal",
        evidence={"highest": float(ids.max()), "vocab_size": float(bound)},
    )


def _eos(trainer: Any) -> int | None:
    value = getattr(trainer.processing_class, "eos_token_id", None)
    return int(value) if isinstance(value, int) else None


def check_answers_cut(sample: DataSample, eos: int | None) -> Diagnosis | None:
    """Rows at the length limit still hold the end of their answer.

    An answer counts as cut when its row fills the limit and does not end in the end-of-sequence
    token while shorter rows do; without that token, when the row fills the limit and its last
    token is scored while shorter rows exist.
    """
    limit = sample.max_length
    if not sample.supervised or limit is None or not sample.lengths.size:
        return None
    full = sample.lengths >= limit
    short = [row for row, at_limit in zip(sample.tokens, full, strict=True) if not at_limit]
    if not full.any() or not short:
        return None
    if eos is not None and np.mean([row[-1] == eos for row in short if row.size]) > 0.5:
        ends = np.array([bool(row.size) and row[-1] == eos for row in sample.tokens])
        cut = float((full & ~ends).mean())
    else:
        cut = float(full.mean())
    if cut < CUT_WARNING:
        return None
    # Plain text without a masked prompt has no answer to lose. One masked token may be the end
    # of sequence, where it doubles as padding.
    prompted = sample.prompt_lengths is not None and float(sample.prompt_lengths.mean()) > 1.0
    return Diagnosis(
        name="answers_cut",
        message=f"{percent(cut)} of {len(sample.tokens)} sampled training rows fill the length "
        f"limit of {limit} tokens and lose the end of their answer.",
        advice="Raise max_length, shorten or drop the long rows, or cut the prompt instead "
        "(truncation side left).",
        severity="fatal" if prompted and cut >= CUT_FATAL else "warning",
        evidence={"cut_share": cut, "max_length": float(limit)},
    )


def check_first_loss(trainer: Any, batch: Mapping[str, Any]) -> Diagnosis | None:
    """The Trainer's own loss of the first batch is finite."""
    loss = trainer_loss(trainer)
    with frozen(trainer.model) as model, torch.no_grad():
        value = float(loss(model, dict(batch)).float().mean())
    if math.isfinite(value):
        return None
    return Diagnosis(
        name="non_finite_loss",
        message=f"The loss of the first batch is {value} before any step was taken.",
        advice=(
            "Look for NaN in the inputs and weights, labels that are all masked, a division by "
            "zero in a custom loss, or fp16 weights (use bf16 or float32)."
        ),
        severity="fatal",
        evidence={},
    )
