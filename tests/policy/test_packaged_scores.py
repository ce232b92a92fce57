"""The packaged scores are those that this forecaster gives on these packaged runs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks.other_tasks import FAMILIES, held_out_forecaster
from benchmarks.run_tables import reference
from benchmarks.watched import watch
from hf_ftrisk import Goal
from hf_ftrisk.policy.reference_rule import MIN_DATA_SETS, SCORES_FILE, reference_scores

# A score moves by this much with the last digits of the library versions, not with the model.
NEAR = 0.02
RUNS = 4


@pytest.fixture(scope="module")
def stored() -> dict:
    return json.loads(SCORES_FILE.read_text(encoding="utf-8"))["families"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_scores_are_of_enough_data_sets_and_lie_in_their_range(family, stored):
    known = reference_scores(family)
    assert known is not None
    assert known.n_data_sets >= MIN_DATA_SETS
    assert len(known.scores) == len(known.groups) == len(stored[family]["names"])
    assert all(score >= 0.0 for score in known.scores)


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_scores_fit_the_forecaster_they_are_used_with(family, stored):
    """Fails when the forecaster or the packaged runs changed since: `python -m
    benchmarks.stopping scores --write` brings them up to date."""
    entry = stored[family]
    group = min(entry["groups"])
    expected = {
        name: score
        for name, score, owner, judged in zip(
            entry["names"], entry["scores"], entry["groups"], entry["judged"], strict=True
        )
        if owner == group and judged == "baseline"
    }
    goal, forecaster = Goal(FAMILIES[family]), held_out_forecaster(group)
    compared = 0
    for run in reference():
        if run.group == group and goal.metric in run.record.evals and compared < RUNS:
            (watched,) = watch(replace(run, goal=goal), forecaster, [("baseline", goal)])
            if watched.name in expected:
                compared += 1
                lowest = float(watched.relative.min())
                assert lowest == pytest.approx(expected[watched.name], abs=NEAR)
    assert compared
