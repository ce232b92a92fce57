"""A history without both outcomes: the one it lacks keeps a chance.

Known runs are exchangeable with a new one while nothing but the seed differs. But settings are
changed, above all after failures, and runs that failed do not show how one that works goes, nor
the other way round. So where nearly all known runs ended alike, the other outcome keeps a share of
the new run's distribution: its chance without the history, against the odds of what is known.
"""

from __future__ import annotations

import numpy as np

# A known run counts as this power of itself: fully (1) would be right for other seeds of one
# setting. Chosen on packaged runs (docs/evidence/forecasting.md).
_POWER = 0.5


def missing_outcome(
    works: np.ndarray, draws: np.ndarray, draws_work: np.ndarray, *, same_setting: bool
) -> tuple[float, np.ndarray]:
    """Share of the new run's distribution that belongs to the outcome that few known runs had.

    Args:
        works: (n_known,) whether each known run beat the trivial predictor.
        draws: (m,) draws of the forecast that knows none of them.
        draws_work: (m,) whether each draw beats it.
        same_setting: whether the known runs have the new one's setting. After runs that worked
            a setting is kept, so they then leave nothing; after failures this is not trusted.

    Returns:
        The share in [0, 1], and the draws (k,) of that outcome.
    """
    n_work, n = int(works.sum()), works.size
    mostly_poor = 2 * n_work < n
    few = min(n_work, n - n_work)
    unlike = draws[draws_work == mostly_poor]
    if 2 * few == n or not unlike.size or (same_setting and not mostly_poor):
        return 0.0, unlike[:0]
    chance = unlike.size / draws.size
    odds = chance * ((few + 1) / (n - few + 1)) ** _POWER
    return float(odds / (odds + 1.0 - chance) / (few + 1)), unlike
