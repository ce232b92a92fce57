"""Packaged priors: they fit the grid, say where they come from, and stay small."""

import json

import numpy as np
import pytest

from hf_ftrisk.forecast.curves.change import TERMS
from hf_ftrisk.forecast.curves.curve import Grid
from hf_ftrisk.forecast.prior import PRIORS_FILE, CurvePrior, family, load_prior


@pytest.mark.parametrize("name", ["score", "loss"])
def test_packaged_weights_and_calibration_are_complete(name):
    prior = load_prior(name)
    assert 0 < len(prior.curve.log_prior) <= 500
    assert all(0.3 <= f <= 12.0 for row in prior.calibration.factors for f in row)
    assert len(prior.change) == (len(TERMS) if name == "loss" else 0)
    assert min(prior.change, default=0.0) >= 0.0
    assert prior.calibration.groups >= 9  # else 90 % could not be calibrated at all


def test_priors_are_figures_with_their_source():
    assert PRIORS_FILE.stat().st_size < 300_000
    provenance = json.loads(PRIORS_FILE.read_text())["provenance"]
    assert provenance["command"] == "python -m benchmarks.fit_priors"
    assert provenance["runs"]
    assert provenance["sources"]


def test_the_heaviest_components_are_kept():
    weights = {name: [1.0] * n for name, n in Grid().factors.items()}
    weights["shapes"] = [1.0] + [1e-6] * (len(Grid().shapes) - 1)
    prior = CurvePrior.from_weights(weights, 0.06, kept=400)
    assert len(prior.log_prior) == 400
    assert set(prior.components["shapes"]) == {0}
    assert np.ptp(prior.log_prior) == pytest.approx(0.0)


def test_weights_of_another_grid_are_refused():
    with pytest.raises(ValueError, match="'shapes': 1 given, the grid has 11"):
        CurvePrior.from_weights({"shapes": [1.0]}, 0.06)


def test_losses_have_a_prior_of_their_own():
    assert family("loss") == "loss"
    assert {family("rate"), family("correlation"), family("real"), family(None)} == {"score"}
