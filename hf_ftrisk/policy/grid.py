"""When a run is looked at, and from when on a look may end it: the same in calibration and in use.

The stopping guarantee holds over all looks of a run only if calibration runs were looked at in the
same way. Everyone who looks asks `look_steps`, and nobody is stopped before `first_evaluation`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hf_ftrisk.record import RunRecord

# From a twentieth of the run on, each look 1.41 times as deep as the one before.
FIRST_SHARE = 0.05
_RATIO = 2.0**0.5


def look_steps(max_steps: int, eval_steps: Iterable[float] = ()) -> np.ndarray:
    """Steps (n_looks,) at which a run is judged: every evaluation, and a geometric grid.

    The grid runs from 5 % of the planned steps on, by factors of the root of two, so that a run
    with few evaluations is still looked at. The last step is not a look: nothing is left to save.

    Args:
        max_steps: planned optimizer steps of the run.
        eval_steps: steps of its evaluations; those outside [0, max_steps) are left out.

    Raises:
        ValueError: `max_steps` not above 0.
    """
    if max_steps <= 0:
        raise ValueError(f"max_steps must be above 0, got {max_steps!r}")
    count = int(np.floor(np.log(1.0 / FIRST_SHARE) / np.log(_RATIO))) + 1
    grid = np.ceil(max_steps * FIRST_SHARE * _RATIO ** np.arange(count))
    steps = np.union1d(grid, np.asarray(list(eval_steps), dtype=np.float64))
    return steps[(steps >= 0) & (steps < max_steps)].astype(np.int64)


def first_evaluation(record: RunRecord, metric: str) -> float | None:
    """Step of the first finite evaluation of a metric after step 0, None while there is none.

    Before it a forecast rests on the plan, above all on the learning rate: on what other runs did,
    not on anything this one has shown. No look before it ends a run.

    Args:
        record: the run so far.
        metric: ``eval_...``.
    """
    steps, _ = record.trained(metric)
    return float(steps[0]) if steps.size else None
