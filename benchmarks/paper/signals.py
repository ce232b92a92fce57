"""What is known before a step, what depth adds by regime, and how many probes are worth it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.paper.risks import Replay
from hf_ftrisk.risk import variance_parts

SHARES = (0.1, 0.2, 0.3, 0.5)
SEEDS = (1, 2, 3, 5)
_DRAWS = 200


def nearest(replay: Replay, share: float) -> int:
    """Index of the depth that lies nearest to a share of the run."""
    return int(np.abs(replay.depths / replay.task.horizon - share).argmin())


@dataclass(frozen=True)
class Explained:
    """Variance of the ends over the tasks of one regime, and what of it is known when.

    Args:
        tasks: number of tasks.
        between: share that lies between the tasks: all that anything static could tell.
        static: share that the package's forecast explains before a step.
        dynamic: the same after each of `SHARES` of the run; below 0: worse than the mean.
    """

    tasks: int
    between: float
    static: float
    dynamic: tuple[float, ...]


def explained(replays: Sequence[Replay], regimes: Sequence[str]) -> Mapping[str, Explained]:
    """Regime -> what is known when; rates alone, whose ends compare over tasks."""
    groups: dict[str, list[Replay]] = {}
    for replay, regime in zip(replays, regimes, strict=True):
        if replay.task.goal.kind != "loss":
            for name in (regime, "all"):
                groups.setdefault(name, []).append(replay)
    return {name: _explained(members) for name, members in groups.items() if len(members) > 1}


def _explained(replays: Sequence[Replay]) -> Explained:
    ends = np.concatenate([replay.task.ends for replay in replays])
    names = [i for i, replay in enumerate(replays) for _ in replay.task.runs]
    # Tasks weigh alike, however many seeds they have.
    weight = np.concatenate([np.full(len(r.task.runs), 1.0 / len(r.task.runs)) for r in replays])
    weight /= weight.sum()
    total = float(weight @ (ends - weight @ ends) ** 2)

    def share(forecasts: Sequence[np.ndarray]) -> float:
        return 1.0 - float(weight @ (np.concatenate(forecasts) - ends) ** 2) / total

    at = [[r.cold[:, 1 + nearest(r, s)] for r in replays] for s in SHARES]
    return Explained(
        len(replays),
        variance_parts(ends, names).explained,
        share([r.cold[:, 0] for r in replays]),
        tuple(share(forecasts) for forecasts in at),
    )


@dataclass(frozen=True, eq=False)
class ProbeSeeds:
    """Root mean squared error of the mean of k probes' forecasts, units of R.

    Args:
        other: (n_seeds, n_shares) for the end of a run that was not probed.
        own: (n_shares,) for the end of the probed run itself, one probe.
    """

    other: np.ndarray
    own: np.ndarray


def probe_seeds(replay: Replay, rng: np.random.Generator) -> ProbeSeeds:
    """Errors of k probes of other seeds, and of the run's own beginning."""
    ends = replay.task.ends
    at = [1 + nearest(replay, share) for share in SHARES]
    other = np.zeros((len(SEEDS), len(SHARES)))
    for i, count in enumerate(SEEDS):
        for _ in range(_DRAWS):
            order = rng.permutation(ends.size)
            probed, others = order[:count], order[count:]
            mean = replay.cold[probed][:, at].mean(axis=0)
            other[i] += ((ends[others, None] - mean) ** 2).mean(axis=0) / _DRAWS
    own = ((replay.cold[:, at] - ends[:, None]) ** 2).mean(axis=0)
    return ProbeSeeds(np.sqrt(other), np.sqrt(own))


def same_steps(tasks: Sequence[ProbeSeeds], count: int, share: float) -> float:
    """Error of so many probes, each to the first of `SHARES`, over that of one to a deeper share.

    Geometric mean over the tasks; both take the same steps when count * SHARES[0] == share.
    """
    i, j = SEEDS.index(count), SHARES.index(share)
    return float(np.exp(np.mean([np.log(one.other[i, 0] / one.other[0, j]) for one in tasks])))
