"""Training the networks of `hf_ftrisk.forecast.network` on simulated curves.

    python -m benchmarks.forecasting.network       # writes hf_ftrisk/reference/network.npz

Quantile loss of the change of z to the end, and of the gain to the best of the rest, from random
depths of `simulated` curves; one network has seen plain curves, one all. Deterministic on one
thread.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from benchmarks.forecasting.simulated import simulated
from hf_ftrisk.forecast.change_model import ENDINGS
from hf_ftrisk.forecast.network import (
    LOG_SIZE,
    N_INPUTS,
    N_OUTPUTS,
    NETWORK_FILE,
    QUANTILES,
    Network,
    stored_networks,
    trajectory,
)

ROWS, WIDTH, DEPTH = 600_000, 128, 3
EPOCHS, BATCH, PEAK_RATE = 10, 512, 3e-3
MAX_CHANGE = 4.0
RATE_KNOWN = 0.7
HELD_OUT = 20_000


def rows(n: int, seed: int, *, plain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (n, n_inputs) and changes still to come (n, n_endings) of simulated runs."""
    rng = np.random.default_rng(seed)
    inputs, changes = [], []
    while len(inputs) < n:
        curve = simulated(rng, plain=plain)
        seen = int(rng.uniform(0.04, 0.96) * curve.z.size)
        if not 1 <= seen < curve.z.size:
            continue
        rate = curve.rate[seen - 1] if rng.random() < RATE_KNOWN else np.nan
        inputs.append(trajectory(curve.at[:seen], curve.z[:seen], rate))
        gain = max(float(curve.z.max() - curve.z[:seen].max()), 0.0)
        changes.append((float(curve.z[-1] - curve.z[seen - 1]), gain))
    limited = np.clip(changes, -MAX_CHANGE, MAX_CHANGE)
    return np.array(inputs), limited.astype(np.float32)


def torch_spread_out(outputs: torch.Tensor) -> torch.Tensor:
    """`network.spread_out` for gradients."""
    half = len(QUANTILES) // 2
    size = outputs[..., :1].clamp(*LOG_SIZE).exp()
    steps = torch.nn.functional.softplus(outputs[..., 2:])
    below = steps[..., :half].cumsum(-1).flip(-1)
    above = steps[..., half:].cumsum(-1)
    middle = torch.zeros_like(size)
    return size * (outputs[..., 1:2] + torch.cat([-below, middle, above], -1))


def _loss(outputs: torch.Tensor, changes: torch.Tensor) -> torch.Tensor:
    levels = torch.tensor(QUANTILES)
    shaped = outputs.reshape(len(outputs), len(ENDINGS), N_OUTPUTS)
    missed = changes[..., None] - torch_spread_out(shaped)
    return torch.maximum(levels * missed, (levels - 1.0) * missed).mean()


def trained(inputs: np.ndarray, changes: np.ndarray, seed: int) -> Network:
    """Network fitted to rows; the first `HELD_OUT` only tell how well."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    mean, sd = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    x, y = torch.tensor((inputs - mean) / sd), torch.tensor(changes)
    widths = [N_INPUTS, *[WIDTH] * DEPTH, len(ENDINGS) * N_OUTPUTS]
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(widths)]
    parts: list[torch.nn.Module] = []
    for layer in layers:
        parts += [layer, torch.nn.SiLU()]
    model = torch.nn.Sequential(*parts[:-1])
    n = len(x) - HELD_OUT
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, PEAK_RATE, total_steps=EPOCHS * (n // BATCH)
    )
    for epoch in range(EPOCHS):
        order = HELD_OUT + torch.randperm(n)
        for part in order[: n // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            _loss(model(x[part]), y[part]).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            print(f"epoch {epoch + 1}: {_loss(model(x[:HELD_OUT]), y[:HELD_OUT]):.5f}", flush=True)
    weights = tuple(layer.weight.detach().numpy() for layer in layers)
    return Network(mean, sd, weights, tuple(layer.bias.detach().numpy() for layer in layers))


def main() -> None:
    networks = []
    for seed, plain in enumerate((True, False)):
        networks.append(trained(*rows(ROWS, seed, plain=plain), seed))
    np.savez_compressed(NETWORK_FILE, **stored_networks(networks))
    print(f"{NETWORK_FILE}: {NETWORK_FILE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
