"""What the package carries: real runs, small, balanced between good and poor."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np

from hf_ftrisk.goal import Goal
from hf_ftrisk.reference import load_pairs, load_reference
from hf_ftrisk.reference.packaged import (
    LONG_PROVENANCE_FILE,
    LONG_RUNS_FILE,
    PROVENANCE_FILE,
    RUNS_FILE,
)

ACCURACY = Goal("eval_accuracy")


def test_the_file_is_below_three_megabytes():
    assert 0 < RUNS_FILE.stat().st_size < 3_000_000


def test_reading_takes_less_than_half_a_second():
    load_reference.cache_clear()
    started = time.process_time()
    load_reference()
    assert time.process_time() - started < 0.5


def test_runs_are_read_once_per_process():
    assert load_reference() is load_reference()


def test_reading_imports_neither_torch_nor_pandas():
    code = (
        "import sys; from hf_ftrisk.reference import load_reference; assert load_reference(); "
        "print([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_run_is_whole():
    for record in load_reference():
        assert record.status == "finished"
        assert record.eval_step[0] == 0
        assert record.eval_step[-1] == record.max_steps
        assert record.train_step.tolist() == list(range(1, record.max_steps + 1))
        assert record.schedule is not None
        assert 10 <= record.eval_step.size <= 21
        assert record.seed is not None
        assert "eval_loss" in record.baselines


def test_the_planned_schedule_is_the_one_that_was_used():
    for record in load_reference():
        np.testing.assert_allclose(record.schedule, record.learning_rate, rtol=1e-5, atol=1e-12)


def test_tasks_name_data_set_model_and_method():
    for record in load_reference():
        parts = record.task.split("/")
        assert parts == [record.settings[k] for k in ("dataset", "model", "method")]


def test_at_least_a_third_of_the_classifiers_is_poor_and_a_third_good():
    records = [r for r in load_reference() if "eval_accuracy" in r.baselines]
    good = [ACCURACY.meets(r.outcome(ACCURACY), r.baseline(ACCURACY)) for r in records]
    assert 1 / 3 <= np.mean(good) <= 2 / 3


def test_provenance_counts_what_is_packaged_and_names_every_data_set():
    provenance = json.loads(PROVENANCE_FILE.read_text(encoding="utf-8"))
    assert provenance["runs"] == len(load_reference())
    assert set(provenance["data_sets"]) == {r.settings["dataset"] for r in load_reference()}
    assert provenance["environments"]


# --- long runs ----------------------------------------------------------------------------------


def test_the_long_runs_take_less_than_four_megabytes():
    assert 0 < LONG_RUNS_FILE.stat().st_size < 4_000_000


def test_every_long_run_is_whole_and_has_its_probes():
    for pair in load_pairs():
        run = pair.run
        assert run.status == "finished"
        assert run.max_steps >= 500 or run.settings["model"] == "smollm2-30"
        assert run.train_step.tolist() == list(range(1, run.max_steps + 1))
        assert run.eval_step[0] == 0
        assert run.eval_step[-1] == run.max_steps
        assert run.eval_step.size >= 21
        assert "eval_loss" in run.baselines
        assert run.static["zero_shot_loss"] > 0
        assert {("jump", 0.1), ("squeezed", 0.05), ("squeezed", 0.1)} <= set(pair.probes)


def test_a_probe_starts_where_its_run_starts_and_ends_at_its_depth():
    for pair in load_pairs():
        for (_, depth), probe in pair.probes.items():
            assert probe.max_steps == round(depth * pair.run.max_steps)
            assert probe.eval_step[-1] == probe.max_steps
            for name, values in pair.run.evals.items():
                np.testing.assert_equal(probe.evals[name][0], values[0])


def test_long_runs_are_of_many_data_sets_sound_and_not():
    pairs = load_pairs()
    assert len({pair.run.settings["dataset"] for pair in pairs}) >= 14
    sound = np.mean([pair.run.settings["recipe"] == "sound" for pair in pairs])
    assert 0.5 <= sound <= 0.8


def test_the_long_runs_provenance_counts_them_and_names_every_data_set():
    provenance = json.loads(LONG_PROVENANCE_FILE.read_text(encoding="utf-8"))
    pairs = load_pairs()
    assert provenance["runs"] == len(pairs)
    assert provenance["probes"] == sum(len(pair.probes) for pair in pairs)
    assert set(provenance["data_sets"]) == {pair.run.settings["dataset"] for pair in pairs}
