"""What stopping came to: compute saved and good runs kept, sources alike, with their intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.all_sources import watched_sources
from benchmarks.in_parallel import in_parallel
from benchmarks.other_tasks import FAMILIES
from benchmarks.spending.candidates import Candidate, candidates
from benchmarks.spending.methods import METHODS, Method, Stops

RESAMPLES = 1000
# Sources with fewer runs x goals than this count together as one: their rates can only be far off.
FEW_ROWS = 4
KEPT_AIM = 0.95
OTHERS = "data sets of one or two runs"
# Columns of a source: good runs kept; with those that had reached the goal when they were stopped;
# share of the poor runs' compute saved; of the good runs'.
KEPT, REACHED, POOR, GOOD = range(4)


@dataclass(frozen=True, eq=False)
class Measured:
    """One setting of one method over all sources.

    Args:
        sources: (n_sources, 4) columns `KEPT`, `REACHED`, `POOR`, `GOOD`; NaN without such runs.
    """

    sources: np.ndarray

    def mean(self, column: int) -> float:
        values = self.sources[:, column]
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")

    @property
    def kept(self) -> float:
        return self.mean(KEPT)

    @property
    def poor(self) -> float:
        """Share of the compute of poor runs that is saved."""
        return self.mean(POOR)

    @property
    def half(self) -> float:
        """Share of all compute saved in a pool that is half poor."""
        return 0.5 * (self.mean(POOR) + self.mean(GOOD))

    def interval(self, columns: Sequence[int]) -> tuple[float, float]:
        """90 % interval of the mean of some columns' means, over sources drawn anew."""
        rng = np.random.default_rng(0)
        n = self.sources.shape[0]
        resampled = self.sources[rng.integers(0, n, (RESAMPLES, n))][:, :, list(columns)]
        finite = np.isfinite(resampled)
        sums = np.where(finite, resampled, 0.0).sum(axis=1)
        counts = finite.sum(axis=1)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).mean(axis=1)
        low, high = np.nanquantile(means, (0.05, 0.95))
        return float(low), float(high)

    @property
    def per_good(self) -> float:
        """Runs' worth of compute for one good run that is finished, in a pool half poor."""
        return (1.0 - self.half) / (0.5 * self.kept) if self.kept > 0 else float("inf")


def measured(
    rows: Sequence[Candidate], stops: Stops, costs: Sequence[float] | None = None
) -> Measured:
    """Where every candidate ended, by source.

    Args:
        rows: candidates of all sources.
        stops: share of its run at which each was stopped; None: it ran to the end.
        costs: compute spent on each besides, as shares of its run.
    """
    extra = np.zeros(len(rows)) if costs is None else np.asarray(costs)
    saved = np.array([0.0 if stop is None else 1.0 - stop for stop in stops]) - extra
    kept = np.array([stop is None for stop in stops], float)
    reached = np.array(
        [
            stop is None or (stop > 0 and row.reached(stop))
            for row, stop in zip(rows, stops, strict=True)
        ],
        float,
    )
    good = np.array([row.good for row in rows])
    names = sources_of(rows)
    shares = []
    for name in np.unique(names):
        mine = names == name
        shares.append(
            [
                _mean(kept[mine & good]),
                _mean(reached[mine & good]),
                _mean(saved[mine & ~good]),
                _mean(saved[mine & good]),
            ]
        )
    return Measured(np.array(shares))


def sources_of(rows: Sequence[Candidate]) -> np.ndarray:
    """(n_rows,) name of the source that each counts for."""
    counts = Counter(row.source for row in rows)
    return np.array([row.source if counts[row.source] >= FEW_ROWS else OTHERS for row in rows])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def run_method(rows: Sequence[Candidate], method: Method) -> Stops:
    """The method on each pool, in the order of the rows."""
    pools: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        pools.setdefault(row.pool, []).append(i)
    stops: Stops = [None] * len(rows)
    for members in pools.values():
        for i, stop in zip(members, method([rows[i] for i in members]), strict=True):
            stops[i] = stop
    return stops


def all_stops() -> dict[str, dict[str, Stops]]:
    """Method -> setting -> where each candidate ends."""
    candidates()
    for name in FAMILIES:
        watched_sources(name)
    places = [(name, knob) for name, knobs in METHODS.items() for knob in knobs]
    found: dict[str, dict[str, Stops]] = {name: {} for name in METHODS}
    for (name, knob), stops in zip(places, in_parallel(_stops_of, places), strict=True):
        found[name][knob] = stops
    return found


def _stops_of(place: tuple[str, str]) -> Stops:
    """Where each candidate ends by one setting of one method."""
    return run_method(candidates(), METHODS[place[0]][place[1]])


def of_kind(
    rows: Sequence[Candidate], stops: Mapping[str, Mapping[str, Stops]], kind: str = ""
) -> dict[str, dict[str, Measured]]:
    """Method -> setting -> what it came to, on rows of one kind or on all."""
    numbers = [i for i, row in enumerate(rows) if kind in ("", row.kind)]
    mine = [rows[i] for i in numbers]
    return {
        name: {
            knob: measured(mine, [stops_of[i] for i in numbers]) for knob, stops_of in knobs.items()
        }
        for name, knobs in stops.items()
    }


def at_kept(settings: Mapping[str, Measured], aim: float = KEPT_AIM) -> tuple[str, Measured] | None:
    """The setting that saves most of those that keep the share of good runs; None if none does."""
    fit = {knob: one for knob, one in settings.items() if one.kept >= aim}
    if not fit:
        return None
    knob = max(fit, key=lambda k: fit[k].half)
    return knob, fit[knob]


def poor_at(settings: Mapping[str, Measured], kept: float) -> float:
    """Share of poor runs' compute saved where a method keeps a share of good runs.

    Read off the curve through its settings, straight between them, from (1, 0) on: running
    everything keeps all and saves nothing.
    """
    points = sorted([(1.0, 0.0), *((one.kept, one.poor) for one in settings.values())])
    xs, ys = zip(*points, strict=True)
    # Where two settings keep alike, the better one.
    best: dict[float, float] = {}
    for x, y in zip(xs, ys, strict=True):
        best[x] = max(best.get(x, 0.0), y)
    x, y = np.array(list(best)), np.maximum.accumulate(np.array(list(best.values()))[::-1])[::-1]
    return float(np.interp(kept, x, y)) if kept >= x[0] else float(y[0])
