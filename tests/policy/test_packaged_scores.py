"""The packaged scores are those that this forecaster gives."""

from __future__ import annotations

import json

import pytest

from benchmarks.other_tasks import FAMILIES, check_values
from hf_ftrisk import Forecaster, Goal
from hf_ftrisk.policy.packaged import MIN_SOURCES, SCORES_FILE, reference_rule, reference_scores

# A score moves by this much with the last digits of the library versions, not with the model.
NEAR = 0.02


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads(SCORES_FILE.read_text(encoding="utf-8"))["families"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_scores_are_of_enough_sources_and_lie_in_their_range(family):
    known = reference_scores(family)
    assert known is not None
    assert known.n_sources >= MIN_SOURCES
    assert len(known.scores) == len(known.groups) == len(known.judged)
    assert all(score >= 0.0 for score in known.scores)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_scores_fit_the_forecaster_they_are_used_with(family, stored):
    """Fails when the forecaster or the packaged runs changed since: `python -m
    benchmarks.stopping scores --write` brings them up to date."""
    expected = stored[family]["check"]
    values = check_values(FAMILIES[family], expected)
    assert expected
    assert values == pytest.approx(expected, abs=NEAR)


@pytest.mark.parametrize("rate", [0.05, 0.1])
@pytest.mark.parametrize(
    ("goal", "used"),
    [
        (Goal("accuracy"), True),
        (Goal("accuracy", target=0.8), True),
        (Goal("loss"), True),
        (Goal("loss", target=1.0), True),
        (Goal("reward", target=1.0), False),
    ],
    ids=["accuracy", "accuracy target", "loss", "loss target", "reward target"],
)
def test_packaged_thresholds_are_in_use_where_the_page_says_so(goal, used, rate):
    """docs/concepts/guarantee.md, "Without a history": those that stop too many are not used."""
    rule = reference_rule(goal, Forecaster.default(), rate)
    assert (rule is not None and rule.can_stop) == used
