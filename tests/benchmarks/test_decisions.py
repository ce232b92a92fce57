"""The fit of a pre-flight's rule."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.decisions.examples import examples_of, probed_run
from benchmarks.decisions.fitting import fewest_settings, go_threshold
from benchmarks.decisions.watching import LookCase, calibrated_looks, read_looks, write_looks
from benchmarks.fit_preflight import fitted, fitted_to_others
from hf_ftrisk import Goal
from hf_ftrisk.forecast.forecaster import Forecaster
from hf_ftrisk.policy.parts.parts import Parts
from hf_ftrisk.policy.parts.rule import preflight_rule, preflight_rules, watch_rule
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.pairs import Pair

PROBS = np.linspace(0.99, 0.2, 80)
RUNS = [f"run {number}" for number in range(80)]


def test_go_begins_where_enough_settings_ended_well():
    good = np.arange(80) < 60
    # 60 of 62 good: a share of poor ones of a tenth would show so few with a chance below 0.1.
    assert PROBS[63] < go_threshold(PROBS, good, RUNS) <= PROBS[59]


def test_goals_of_one_setting_count_once():
    everything = np.full(80, True)
    assert go_threshold(PROBS, everything, RUNS) == PROBS[-1]
    # The same pairs, of 40 settings: too few for two wrong ones to be within the bound.
    assert go_threshold(PROBS, everything, [f"run {n % 40}" for n in range(80)]) == 2.0


def test_a_poor_run_at_the_top_does_not_end_the_search():
    good = (np.arange(80) != 0) & (np.arange(80) < 60)
    assert PROBS[63] < go_threshold(PROBS, good, RUNS) <= PROBS[59]


def test_three_poor_runs_at_the_top_end_the_search():
    good = np.arange(80) > 2
    assert go_threshold(PROBS, good, RUNS) == 2.0


def test_the_search_begins_where_two_wrong_settings_are_within_the_bound():
    fewest = fewest_settings(0.1)
    assert binom.cdf(2, fewest, 0.1) <= 0.1 < binom.cdf(2, fewest - 1, 0.1)


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_in_simulation(seed):
    """Where P(good) is what it says, too many GOs are wrong in at most a tenth of the fits."""
    rng = np.random.default_rng(seed)
    failed = []
    for _ in range(100):
        probs = rng.uniform(0.5, 1.0, 400)
        settings = [f"setting {n // 3}" for n in range(400)]
        threshold = go_threshold(probs, rng.uniform(size=400) < probs, settings)
        # Wrong GOs to be expected of new pairs: the mean of 1 - p above the threshold.
        failed.append(threshold <= 1.0 and (1.0 - threshold) / 2.0 > 0.1)
    assert np.mean(failed) <= 0.1 + 0.05


@pytest.mark.slow
def test_the_packaged_rule_is_what_the_command_fits():
    anew, packaged = fitted(), preflight_rule()
    assert (anew.runs, anew.data_sets) == (packaged.runs, packaged.data_sets)
    assert anew.go == pytest.approx(packaged.go, abs=5e-3)
    assert anew.no_go(0.05) == pytest.approx(packaged.no_go(0.05), abs=5e-3)
    assert anew.weights == pytest.approx(dict(packaged.weights), abs=0.02)


@pytest.mark.slow
def test_the_packaged_rule_of_other_tasks_is_what_the_command_fits():
    anew, packaged = fitted_to_others(), preflight_rules().others
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


def a_pair(kind: str, losses: list[float], unigram: float) -> Pair:
    """A run of this kind and its probe from the peak on."""
    run = RunRecord(
        max_steps=500,
        eval_step=np.array([0, 250, 500]),
        evals={"eval_loss": np.array(losses)},
        baselines={"eval_loss": unigram},
        settings={"kind": kind, "dataset": "gsm8k", "model": "smollm2-4", "recipe": "sound"},
    )
    probe = replace(run, max_steps=50, eval_step=np.array([0, 25, 50]))
    return Pair(run, {("jump", 0.1): probe}, "gsm8k-s0", "gsm8k")


def test_text_is_seen_against_the_untrained_loss_and_asked_for_what_frequencies_do_not_reach():
    probed = probed_run(a_pair("causal_lm", [9.0, 6.0, 4.0], unigram=6.0), 0.1)
    assert probed.seen_baseline(Goal("eval_loss")) == 9.0
    examples = {e.target: e for e in examples_of([probed], lambda _: Forecaster.default())}
    assert examples["none"].good
    assert examples["none"].baseline == 9.0
    # Eight tenths of the way from 6 to the best loss that was reached.
    assert examples["80%"].goal.target == pytest.approx(6.0 - 0.8 * 2.0)


def test_what_a_run_could_reach_is_that_of_its_data_its_task_and_of_text_its_model():
    text = probed_run(a_pair("causal_lm", [9.0, 6.0, 4.0], 6.0), 0.1)
    numbers = probed_run(a_pair("regression", [1.0, 0.9, 0.8], 1.0), 0.1)
    classes = probed_run(a_pair("single", [0.7, 0.6, 0.5], 0.7), 0.1)
    assert text.alike == "gsm8k causal_lm smollm2-4"
    assert numbers.alike == "gsm8k regression "
    assert classes.alike == "gsm8k"
