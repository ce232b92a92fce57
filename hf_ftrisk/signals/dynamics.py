"""Signals of a run's trajectory so far. Pure numpy; what was not logged is left out.

| signal | definition | unit | range | source |
|---|---|---|---|---|
| ``loss_first``, ``loss_last`` | mean training loss of the first and last quarter of the logged \
points | loss | >= 0 | - |
| ``loss_drop`` | 1 - loss_last / loss_first | share | <= 1 | - |
| ``loss_slope`` | least-squares slope of log loss over log step: -b of loss ~ step^-b | - | any | \
Hestness et al. 2017 |
| ``loss_noise`` | standard deviation of the differences between neighboring log losses, over \
sqrt 2: noise without trend | log loss | >= 0 | von Neumann 1941 |
| ``loss_nonfinite_share`` | logged losses that are infinite | share | [0, 1] | - |
| ``grad_norm_mean``, ``grad_norm_std`` | of the gradient norm before clipping | gradient norm | \
>= 0 | - |
| ``grad_norm_cv`` | grad_norm_std / grad_norm_mean | - | >= 0 | - |
| ``grad_spike_share`` | gradient norms above 5 times their median | share | [0, 1] | - |
| ``grad_nonfinite_share`` | logged gradient norms that are not finite | share | [0, 1] | - |
| ``clipped_share`` | gradient norms above ``settings["max_grad_norm"]`` | share | [0, 1] | \
Pascanu et al. 2013 |
| ``update_ratio`` | median over steps of a step's norm / the weights' norm | - | >= 0 | \
You et al. 2017 (LARS) |
| ``step_consistency`` | mean cosine between the gradients of neighboring steps | - | [-1, 1] | \
Sankararaman et al. 2020 (gradient confusion) |
| ``overfitting_gap`` | last evaluation loss - training loss around it | loss | any | - |
| ``eval_loss_rise`` | last evaluation loss / lowest one before or at it - 1 | share | >= 0 | \
Prechelt 1998 (generalization loss) |
"""

from __future__ import annotations

import math

import numpy as np

from hf_ftrisk.record import RunRecord

SPIKE = 5.0
_EVAL_LOSS = "eval_loss"


def dynamics_signals(
    record: RunRecord,
    *,
    update_ratio: np.ndarray | None = None,
    gradient_cosine: np.ndarray | None = None,
) -> dict[str, float]:
    """Signals of the trajectory in `record`; give ``record.prefix(step)`` for those at a depth.

    Args:
        record: the run so far.
        update_ratio: (n_steps,) update-to-weight ratios, as a `StepMeter` measures them.
        gradient_cosine: (n_steps - 1,) cosines between neighboring gradients, the same.
    """
    signals: dict[str, float] = {}
    if update_ratio is not None and np.isfinite(update_ratio).any():
        signals["update_ratio"] = float(np.median(update_ratio[np.isfinite(update_ratio)]))
    if gradient_cosine is not None and np.isfinite(gradient_cosine).any():
        signals["step_consistency"] = float(np.nanmean(gradient_cosine))
    return (
        signals
        | loss_signals(*record.train_curve())
        | gradient_norm_signals(_logged_norms(record), _max_grad_norm(record))
        | overfitting_signals(record)
    )


def _logged_norms(record: RunRecord) -> np.ndarray:
    """Gradient norms (n,) where one was logged; a norm logged as NaN becomes infinite."""
    was_nan = np.isin(record.train_step, record.nan_steps.get("grad_norm", ()))
    norms = np.where(was_nan, np.inf, record.grad_norm)
    return norms[~np.isnan(norms)]


def _max_grad_norm(record: RunRecord) -> float | None:
    value = record.settings.get("max_grad_norm")
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    return float(value)


def loss_signals(steps: np.ndarray, losses: np.ndarray) -> dict[str, float]:
    """Level, slope and noise of a training loss (n,) at steps (n,)."""
    if losses.size == 0:
        return {}
    finite = np.isfinite(losses)
    signals = {"loss_nonfinite_share": float(1.0 - finite.mean())}
    steps, losses = steps[finite], losses[finite]
    if losses.size == 0:
        return signals
    quarter = max(losses.size // 4, 1)
    first, last = float(losses[:quarter].mean()), float(losses[-quarter:].mean())
    signals |= {"loss_first": first, "loss_last": last}
    if first > 0:
        signals["loss_drop"] = 1.0 - last / first
    positive = (losses > 0) & (steps > 0)
    if positive.sum() >= 3:
        log_step, log_loss = np.log(steps[positive]), np.log(losses[positive])
        signals["loss_slope"] = float(np.polyfit(log_step, log_loss, 1)[0])
        signals["loss_noise"] = float(np.diff(log_loss).std() / math.sqrt(2.0))
    return signals


def gradient_norm_signals(
    norms: np.ndarray, max_grad_norm: float | None = None
) -> dict[str, float]:
    """Statistics of logged gradient norms before clipping (n,)."""
    if norms.size == 0:
        return {}
    finite = norms[np.isfinite(norms)]
    signals = {"grad_nonfinite_share": float(1.0 - finite.size / norms.size)}
    if finite.size == 0:
        return signals
    mean, std = float(finite.mean()), float(finite.std())
    signals |= {
        "grad_norm_mean": mean,
        "grad_norm_std": std,
        "grad_spike_share": float((finite > SPIKE * np.median(finite)).mean()),
    }
    if mean > 0:
        signals["grad_norm_cv"] = std / mean
    if max_grad_norm is not None:
        signals["clipped_share"] = float((finite > max_grad_norm).mean())
    return signals


def overfitting_signals(record: RunRecord) -> dict[str, float]:
    """How far the last evaluation loss lies above the training loss, and above its own best."""
    steps, values = record.finite(_EVAL_LOSS)
    if values.size == 0:
        return {}
    signals: dict[str, float] = {}
    if values.min() > 0:
        signals["eval_loss_rise"] = float(values[-1] / values.min() - 1.0)
    train_steps, losses = record.finite_losses()
    if losses.size and steps[-1] > 0:
        # the training points nearest to the evaluation: one logged loss is too noisy
        nearest = np.argsort(np.abs(train_steps - steps[-1]), kind="stable")[:3]
        signals["overfitting_gap"] = float(values[-1] - losses[nearest].mean())
    return signals
