"""How the forecast's intervals are calibrated."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from benchmarks.forecasting.fitting import calibrated


def test_with_the_correction_for_few_sources_intervals_are_wider():
    rng = np.random.default_rng(0)
    rows = SimpleNamespace(source=np.array([f"s{i % 15}" for i in range(300)]))
    draws = np.sort(rng.normal(size=(300, 200)), axis=1)
    truth = 1.5 * rng.normal(size=300)
    plain = calibrated(rows, draws, truth, corrected=False)
    corrected = calibrated(rows, draws, truth)
    assert all(wide >= narrow for wide, narrow in zip(corrected, plain, strict=True))
    assert corrected[-1] > plain[-1] > 1.2
