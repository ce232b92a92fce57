"""The fit of a pre-flight's rule."""

import numpy as np
import pytest

from benchmarks.decisions.fitting import go_threshold
from benchmarks.decisions.watching import LookCase, calibrated_looks, read_looks, write_looks
from benchmarks.fit_preflight import fitted
from hf_ftrisk.policy.parts.parts import Parts
from hf_ftrisk.policy.parts.rule import preflight_rule, watch_rule

PROBS = np.linspace(0.99, 0.5, 50)
RUNS = [f"run {number}" for number in range(50)]


def test_go_begins_where_enough_runs_ended_well():
    good = np.arange(50) < 40
    # 40 of 41 good: the upper bound of the share of poor ones is below a tenth.
    assert PROBS[45] < go_threshold(PROBS, good, RUNS) <= PROBS[39]


def test_goals_of_one_run_count_once():
    everything = np.full(50, True)
    assert go_threshold(PROBS, everything, RUNS) == PROBS[-1]
    # The same pairs, of 10 runs: too few for any bound below a tenth.
    assert go_threshold(PROBS, everything, [f"run {n % 10}" for n in range(50)]) == 2.0


def test_a_poor_run_at_the_top_ends_the_search():
    good = np.arange(50) != 0
    assert go_threshold(PROBS, good, RUNS) == 2.0


@pytest.mark.slow
def test_the_packaged_rule_is_what_the_command_fits():
    anew, packaged = fitted(), preflight_rule()
    assert (anew.runs, anew.data_sets) == (packaged.runs, packaged.data_sets)
    assert anew.go == pytest.approx(packaged.go, abs=5e-3)
    assert anew.no_go(0.05) == pytest.approx(packaged.no_go(0.05), abs=5e-3)
    assert anew.weights == pytest.approx(dict(packaged.weights), abs=0.02)


@pytest.mark.slow
def test_the_packaged_rule_of_a_watched_run_is_what_the_command_fits():
    anew, packaged = calibrated_looks(read_looks()), watch_rule()
    assert (anew.runs, anew.data_sets) == (packaged.runs, packaged.data_sets)
    assert anew.no_go(0.05) == pytest.approx(packaged.no_go(0.05), abs=5e-3)
    assert anew.weights == pytest.approx(dict(packaged.weights), abs=0.02)


def test_looks_come_back_as_they_were_kept(tmp_path):
    parts = Parts(signal=2.0, progress=0.4, separation=None)
    look = LookCase(parts, True, "trec6", "a", 500, target="none", progress=0.2)
    write_looks([look], tmp_path / "looks.parquet")
    assert read_looks(tmp_path / "looks.parquet") == [look]
