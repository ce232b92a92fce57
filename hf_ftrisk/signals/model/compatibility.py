"""Signals of a frozen model on a bounded sample of batches. The model is left untouched.

| signal | definition | unit | range | source |
|---|---|---|---|---|
| ``zero_shot_loss`` | loss of the untrained model on evaluation batches, mean over rows | nats | \
>= 0 | - |
| ``zero_shot_loss_std`` | its spread between rows: standard deviation of batch losses times \
sqrt(rows in a batch) | nats | >= 0 | - |
| ``zero_shot_accuracy`` | accuracy of the untrained model on evaluation rows | share | [0, 1] | - |
| ``uniform_loss`` | log(classes): loss of a uniform guess | nats | >= 0 | - |
| ``perplexity`` | exp of the loss on a scored token (of the responses, prompts being masked) | - \
| >= 1 | Jelinek et al. 1977 |
| ``log_me`` | evidence of a linear model on frozen features | nats per row | any | \
You et al. 2021 |
| ``h_score`` | between-class against total variance of frozen features | - | [0, classes - 1] | \
Bao et al. 2019 |
| ``linear_probe_accuracy`` | accuracy on evaluation rows of logistic regression on frozen \
features | share | [0, 1] | Alain and Bengio 2017 |
| ``gradient_norm`` | norm of the mean training gradient | gradient norm | >= 0 | - |
| ``gradient_snr`` | squared norm of the true gradient / variance of one batch's gradient, both \
unbiased; about 0 or below: one batch tells nothing | - | >= -1/n_batches | McCandlish et al. 2018 |
| ``noise_scale`` | rows in a batch above which a larger batch stops helping: trace of the \
covariance of a row's gradient / squared norm of the true gradient; absent when that is not above \
0 | rows | > 0 | McCandlish et al. 2018, appendix A |
| ``gradient_consistency`` | mean cosine between gradients of different training batches | - | \
[-1, 1] | Sankararaman et al. 2020 (gradient confusion) |
| ``train_eval_gradient_cosine`` | cosine between the mean training and evaluation gradients | - | \
[-1, 1] | Fort et al. 2019 (stiffness) |
| ``predicted_gain`` | first-order drop of the evaluation loss by one step of the training \
gradient at the peak learning rate: eta <u, g_eval>, u = sign(g_train) for Adam (its first step), \
g_train for SGD | nats | any | Taylor expansion |
| ``trainable_parameters``, ``trainable_share`` | parameters that require a gradient | -, share | \
>= 0, [0, 1] | - |
| ``lora_rank`` | largest rank of the LoRA adapters | - | >= 1 | Hu et al. 2022 |
| ``lora_parameters_per_token`` | adapter parameters / training tokens: capacity against data | \
parameters per token | >= 0 | - |
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from hf_ftrisk.signals.deadline import Deadline, Pace
from hf_ftrisk.signals.model.batches import (
    Batch,
    LossFunction,
    batch_rows,
    device_of,
    model_loss,
    on_device,
    row_classes,
)
from hf_ftrisk.signals.model.frozen import frozen
from hf_ftrisk.signals.model.gradients import MAX_COORDINATES, batch_gradients, gradient_signals
from hf_ftrisk.signals.model.label_signal import Labeled, label_signal, label_signal_seconds
from hf_ftrisk.signals.model.movement import PlannedSteps, agreed_gain, movement_signals
from hf_ftrisk.signals.model.own_input import input_signals
from hf_ftrisk.signals.model.representation import Represented, represented
from hf_ftrisk.signals.model.simulated import simulated_seconds, simulated_signals
from hf_ftrisk.signals.model.transfer import (
    fit_seconds,
    h_score,
    linear_probe_accuracy,
    log_me,
    svd_seconds,
)
from hf_ftrisk.signals.sample import IGNORED_LABEL

# Rows whose features are looked at: more would cost more than they tell.
MAX_FEATURES = 512
# Batches of either set that the gradient is taken on.
MAX_GRADIENT_BATCHES = 12


def compatibility_signals(
    model: torch.nn.Module,
    train_batches: Sequence[Batch],
    eval_batches: Sequence[Batch],
    *,
    loss: LossFunction = model_loss,
    learning_rate: float | None = None,
    planned: PlannedSteps | None = None,
    train_tokens: float | None = None,
    deadline: Deadline | None = None,
) -> dict[str, float]:
    """All signals of the module's table that the model and the batches allow.

    Args:
        model: any module; weights, buffers, gradients, modes and random states stay as they are.
        train_batches: collated training batches; the model sees each of them once, forward.
        eval_batches: collated evaluation batches; each of them twice. Where time is short, batches
            of either list should grow from few rows: see `Pace`.
        loss: loss of a model on a batch; default: the one the model returns.
        learning_rate: peak learning rate, for predicted_gain.
        planned: the optimizer's steps; None: those of Adam, at rates that are not known.
        train_tokens: tokens of the whole training set, for lora_parameters_per_token.
        deadline: when to stop looking at further batches: a sixth of its time goes to the
            zero-shot loss, five eighths to what the labels say of the model's representation (or
            a language model's targets of their inputs), the rest to gradients and what rests on
            them.
    """
    deadline, pace = deadline or Deadline(), Pace()
    planned = planned or PlannedSteps()
    with frozen(model):
        signals = capacity_signals(model, train_tokens)
        signals |= zero_shot_signals(
            model, eval_batches, loss=loss, deadline=deadline.part(1 / 6), pace=pace
        )
        time = deadline.part(3 / 4)
        train, held_out = representations(model, train_batches, eval_batches, time, pace)
        signals |= feature_signals(train, held_out, time)
        signals |= input_signals(model, train_batches, deadline.part(2 / 3), pace)
        train_gradients, eval_gradients = (
            batch_gradients(model, part[:MAX_GRADIENT_BATCHES], loss, MAX_COORDINATES, time, pace)
            for part, time in (
                (train_batches, deadline.part(0.5)),
                (eval_batches, deadline.part(0.9)),
            )
        )
    rows = float(max((batch_rows(batch) for batch in train_batches), default=0))
    signals |= gradient_signals(
        train_gradients, eval_gradients, rows, learning_rate=learning_rate, update=planned.update
    )
    if "gradient_l1" in signals:
        signals |= movement_signals(signals["gradient_l1"], signals["gradient_norm"], planned)
    signals |= head_signals(train, held_out, agreed_gain(signals), deadline)
    return {name: value for name, value in signals.items() if math.isfinite(value)}


# --- zero-shot -----------------------------------------------------------------------------------


def zero_shot_signals(
    model: torch.nn.Module,
    batches: Sequence[Batch],
    *,
    loss: LossFunction = model_loss,
    deadline: Deadline | None = None,
    pace: Pace | None = None,
) -> dict[str, float]:
    """Loss (and accuracy, perplexity) of the model as it is, on evaluation batches."""
    deadline, pace = deadline or Deadline(), pace or Pace()
    device = device_of(model)
    losses: list[float] = []
    rows: list[int] = []
    tokens: list[int] = []
    hits = 0
    n_classified = n_classes = 0
    for batch in pace.over(batches, deadline, batch_rows):
        inputs = on_device(batch, device)
        classes = row_classes(inputs)
        with torch.no_grad():
            value, logits = _loss_and_logits(model, inputs, loss)
        losses.append(value)
        rows.append(batch_rows(batch))
        tokens.append(_scored_tokens(batch))
        if logits is not None and classes is not None and _one_row_each(logits, classes):
            counted = classes >= 0
            hits += int((logits.argmax(dim=1)[counted] == classes[counted]).sum())
            n_classified += int(counted.sum())
            n_classes = int(logits.shape[1])
    if not losses:
        return {}
    weights, values = np.array(rows, dtype=np.float64), np.array(losses)
    # The loss of some models depends on the rows beside a row: whole batches, if there are two.
    whole = weights == weights.max()
    is_used = whole if whole.sum() > 1 else np.full(whole.shape, True)
    weights, values, scored = weights[is_used], values[is_used], np.array(tokens)[is_used]
    mean = float(np.average(values, weights=weights))
    signals = {"zero_shot_loss": mean}
    if values.size > 1:
        variance = float((weights * (values - mean) ** 2).sum()) / (values.size - 1)
        signals["zero_shot_loss_std"] = math.sqrt(variance)
    if n_classified:
        signals["zero_shot_accuracy"] = hits / n_classified
        signals["uniform_loss"] = math.log(n_classes)
    if scored.sum():
        per_token = float(np.average(values, weights=scored))
        signals["perplexity"] = math.exp(min(per_token, 700.0))
    return signals


def _scored_tokens(batch: Batch) -> int:
    labels = batch.get("labels")
    if not isinstance(labels, torch.Tensor) or labels.ndim != 2 or labels.is_floating_point():
        return 0
    return int((labels != IGNORED_LABEL).sum()) if labels.shape[1] > 1 else 0


def _loss_and_logits(
    model: torch.nn.Module, inputs: dict[str, Any], loss: LossFunction
) -> tuple[float, torch.Tensor | None]:
    """The loss of a batch, and the logits of the last forward pass it took; in one pass."""
    captured: list[Any] = []
    hook = model.register_forward_hook(lambda module, given, outputs: captured.append(outputs))
    try:
        value = float(loss(model, dict(inputs)).detach().float().mean())
    finally:
        hook.remove()
    logits = captured[-1].get("logits") if captured and isinstance(captured[-1], Mapping) else None
    return value, logits if isinstance(logits, torch.Tensor) else None


def _one_row_each(logits: torch.Tensor, classes: torch.Tensor) -> bool:
    """Whether the logits (n_rows, n_classes) tell these rows' classes (n_rows,)."""
    return logits.ndim == 2 and logits.shape[1] > 1 and logits.shape[0] == classes.shape[0]


# --- frozen features -----------------------------------------------------------------------------


def representations(
    model: torch.nn.Module,
    train_batches: Sequence[Batch],
    eval_batches: Sequence[Batch],
    deadline: Deadline | None = None,
    pace: Pace | None = None,
) -> tuple[Represented, Represented]:
    """Training and evaluation rows as the model represents them; no evaluation rows where the
    model has no head of which a linear probe could say anything.
    """
    deadline, pace = deadline or Deadline(), pace or Pace()
    train = represented(model, train_batches, MAX_FEATURES, deadline.part(0.6), pace)
    held_out = () if train.labeled is None else eval_batches
    return train, represented(model, held_out, MAX_FEATURES, deadline.part(0.6), pace)


def feature_signals(
    train: Represented, held_out: Represented, deadline: Deadline | None = None
) -> dict[str, float]:
    """What frozen representations say of the labels: `label_signal`, and LogME, H-score and a
    linear probe on the pooled last hidden states.
    """
    deadline, labeled = deadline or Deadline(), train.labeled
    if labeled is None:
        return {}
    signals: dict[str, float] = {}
    if deadline.allows(label_signal_seconds(len(labeled), _columns(labeled))):
        signals |= label_signal(labeled, held_out.labeled)
    return signals | _transfer_signals(train, held_out, deadline)


def head_signals(
    train: Represented, held_out: Represented, gain: float | None, deadline: Deadline
) -> dict[str, float]:
    """`simulated_signals`, where they can be had in time.

    Args:
        train: training rows.
        held_out: evaluation rows.
        gain: first-order fall of the loss by the schedule, nats; None: not known.
        deadline: when to end.
    """
    labeled = train.labeled
    if labeled is None or gain is None:
        return {}
    if not deadline.allows(simulated_seconds(len(labeled), _columns(labeled))):
        return {}
    return simulated_signals(labeled, held_out.labeled, gain)


def _columns(labeled: Labeled) -> int:
    """Target columns of a regression: one a class, or those that there are."""
    targets = labeled.targets
    return np.unique(targets).size if targets.ndim == 1 else int(targets.shape[1])


def _transfer_signals(
    train: Represented, held_out: Represented, deadline: Deadline
) -> dict[str, float]:
    features, labels = train.pooled, train.classes
    classes = np.unique(labels).size
    if labels.size < 2 or classes < 2 or not deadline.allows(svd_seconds(features)):
        return {}
    signals = {"log_me": log_me(features, labels), "h_score": h_score(features, labels)}
    if held_out.classes.size and deadline.allows(fit_seconds(features, classes)):
        signals["linear_probe_accuracy"] = linear_probe_accuracy(
            features, labels, held_out.pooled, held_out.classes
        )
    return signals


# --- capacity ------------------------------------------------------------------------------------


def capacity_signals(model: torch.nn.Module, train_tokens: float | None = None) -> dict[str, float]:
    """Trainable parameters, and the rank and size of LoRA adapters against the data."""
    n_all = sum(p.numel() for p in model.parameters())
    n_trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    signals = {
        "trainable_parameters": float(n_trainable),
        "trainable_share": n_trainable / n_all if n_all else 0.0,
    }
    adapters = [(name, p) for name, p in model.named_parameters() if "lora_" in name]
    ranks = [int(p.shape[0]) for name, p in adapters if "lora_A" in name and p.ndim == 2]
    if ranks:
        signals["lora_rank"] = float(max(ranks))
        if train_tokens:
            n_adapter = sum(p.numel() for _, p in adapters)
            signals["lora_parameters_per_token"] = n_adapter / train_tokens
    return signals
