"""Small networks that have seen simulated runs alone: how far a metric will still move.

Prior-fitted (Müller et al. 2022, Adriaensen et al. 2023): trained on curves drawn from a prior over
how metrics rise, level off, overfit and scatter, they answer what that prior makes of what a run
has shown. They know no real run, and so err where a forest of known runs does not
(`change_model` puts the two together). Plain arrays; `benchmarks/forecasting/network.py` trains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from hf_ftrisk.record.columns import median

NETWORK_FILE = Path(__file__).parent.parent / "reference" / "network.npz"
# Levels of the quantiles that it gives; the median is the middle one.
QUANTILES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98)
# Outputs for each ending: size, median, and the steps from quantile to quantile on either side.
N_OUTPUTS = 2 + len(QUANTILES) - 1
_GRID = np.linspace(0.0, 1.0, 17)[1:]  # shares of what is done where the curve is read
_LATEST = 6  # evaluations read one by one
_SMALL = 0.01
_FIRST = 1e-12  # share of the run that is told from its beginning
LOG_SIZE = (-6.0, 2.0)  # range of the log of a size
N_INPUTS = _GRID.size + _LATEST + 7


def trajectory(at: np.ndarray, z: np.ndarray, rate: float) -> np.ndarray:
    """What the network is asked with, (n_inputs,): the shape of a curve, its size, and the plan.

    Args:
        at: (n,) steps of the evaluations, as shares of the planned run, ascending; one or more.
        z: (n,) evaluations, greater is better.
        rate: learning rate now over its peak, NaN if not known.
    """
    last = float(z[-1])
    curve = np.interp(_GRID, at / max(float(at[-1]), _FIRST), z) - last
    latest = np.concatenate([np.full(max(_LATEST - z.size, 0), z[0]), z[-_LATEST:]]) - last
    size = float(np.ptp(z)) + _SMALL
    rough = median(np.abs(np.diff(z[-12:], 2))) if z.size >= 3 else size
    knows_rate = bool(np.isfinite(rate))
    plan = [at[-1], np.log(z.size), np.log(rough + _SMALL), np.log(size), np.clip(last, -6.0, 6.0)]
    plan += [rate if knows_rate else 1.0 - at[-1], knows_rate]
    return np.concatenate([curve / size, latest / size, plan]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Network:
    """Layers of a multilayer perceptron with SiLU, over standardized inputs.

    Args:
        mean: (n_inputs,) subtracted from the inputs.
        sd: (n_inputs,) what they are divided by then.
        weights: (n_out, n_in) of each layer.
        biases: (n_out,) of each layer.
    """

    mean: np.ndarray
    sd: np.ndarray
    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def quantiles(self, inputs: np.ndarray) -> np.ndarray:
        """Quantiles (n, n_endings, n_quantiles) of the change of z still to come.

        Args:
            inputs: (n, n_inputs) of `trajectory`.
        """
        x = (np.atleast_2d(inputs) - self.mean) / self.sd
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = x @ weight.T + bias
            x = x / (1.0 + np.exp(-np.clip(x, -60.0, 60.0)))
        outputs = x @ self.weights[-1].T + self.biases[-1]
        return spread_out(outputs.reshape(len(x), -1, N_OUTPUTS))


def network_draws(
    networks: Sequence[Network], inputs: np.ndarray, ending: int, n: int
) -> np.ndarray:
    """Equally likely changes (n_runs, n) of z, ascending: quantiles averaged over networks.

    Args:
        networks: one or more.
        inputs: (n_runs, n_inputs) of `trajectory`.
        ending: position of the ending among `change_model.ENDINGS`.
        n: number of draws.
    """
    levels = (np.arange(n) + 0.5) / n
    rows = np.mean([network.quantiles(inputs)[:, ending] for network in networks], axis=0)
    return np.array([np.interp(levels, QUANTILES, row) for row in rows])


def spread_out(outputs: np.ndarray) -> np.ndarray:
    """Quantiles (..., n_quantiles) from a layer's outputs (..., `N_OUTPUTS`)."""
    half = len(QUANTILES) // 2
    size = np.exp(np.clip(outputs[..., :1], *LOG_SIZE))
    steps = np.logaddexp(0.0, outputs[..., 2:])
    below = np.cumsum(steps[..., :half], axis=-1)[..., ::-1]
    above = np.cumsum(steps[..., half:], axis=-1)
    middle = np.zeros_like(size)
    return np.asarray(size * (outputs[..., 1:2] + np.concatenate([-below, middle, above], axis=-1)))


def stored_networks(networks: Sequence[Network]) -> dict[str, np.ndarray]:
    """Name -> array, for storage; `restored_networks` is the inverse."""
    arrays: dict[str, np.ndarray] = {}
    for k, network in enumerate(networks):
        arrays |= {f"{k}/mean": network.mean, f"{k}/sd": network.sd}
        for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            arrays[f"{k}/weight{i}"] = weight.astype(np.float16)
            arrays[f"{k}/bias{i}"] = bias.astype(np.float32)
    return arrays


def restored_networks(arrays: Mapping[str, np.ndarray]) -> tuple[Network, ...]:
    """Networks from stored arrays."""
    count = sum(name.endswith("/mean") for name in arrays)
    layers = range(sum(name.startswith("0/weight") for name in arrays))
    return tuple(
        Network(
            arrays[f"{k}/mean"],
            arrays[f"{k}/sd"],
            tuple(arrays[f"{k}/weight{i}"].astype(np.float64) for i in layers),
            tuple(arrays[f"{k}/bias{i}"].astype(np.float64) for i in layers),
        )
        for k in range(count)
    )


@cache
def load_networks() -> tuple[Network, ...]:
    """The packaged networks."""
    with np.load(NETWORK_FILE, allow_pickle=False) as arrays:
        return restored_networks(dict(arrays))
