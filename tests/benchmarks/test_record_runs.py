"""The recorder: its plan, its shards, and one real run of the smallest kind."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.recording import data
from benchmarks.recording.plan import CELLS, SEEDS_PER_CELL, RunSetting, plan
from benchmarks.recording.shards import merge, read_runs, recorded_ids, write_shard
from benchmarks.recording.summary import is_poor, markdown, repeated, replace_block
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.table import RecordedRun

ROOT = Path(__file__).parents[2]


def recorded(run_id: str, accuracy: float = 0.75, setting: str = "a") -> RecordedRun:
    record = RunRecord(
        max_steps=2,
        eval_step=np.array([0, 2]),
        evals={"eval_accuracy": np.array([0.5, accuracy])},
        task="snips/minilm/full",
        baselines={"eval_accuracy": 0.5},
        settings={
            "dataset": "snips",
            "model": "minilm",
            "method": "full",
            "learning_rate": 0.001,
            "train_rows": 8,
            "label_noise": 0.0,
        },
    )
    return RecordedRun(record, run_id, setting, 1.0, "cpu")


# --- plan ---------------------------------------------------------------------------------------


def test_run_ids_are_unique_and_the_same_in_another_process():
    ids = [setting.run_id for setting in plan()]
    assert len(set(ids)) == len(ids)
    code = "from benchmarks.recording.plan import plan; print(plan()[5].run_id)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ids[5]


def test_at_least_twenty_settings_are_repeated_over_eight_seeds():
    count = Counter(setting.setting_id for setting in plan())
    assert sum(n >= 8 for n in count.values()) == len(CELLS) >= 20
    assert SEEDS_PER_CELL >= 8


@pytest.mark.parametrize("length", [60, 120, 300])
def test_every_prefix_is_a_balanced_sample(length):
    prefix = plan()[:length]
    datasets = Counter(setting.dataset for setting in prefix)
    assert len(datasets) >= 12
    assert max(datasets.values()) <= 4 * min(datasets.values())
    assert {setting.method for setting in prefix} == {"full", "lora", "scratch"}
    assert {setting.label_noise for setting in prefix} == {0.0, 0.2, 0.5}
    rates = [setting.learning_rate for setting in prefix]
    assert min(rates) < 1e-6
    assert max(rates) > 1e-2


def test_a_setting_whose_last_step_is_not_evaluated_is_refused():
    with pytest.raises(ValueError, match="no multiple of evaluations"):
        RunSetting("snips", max_steps=65, evaluations=10)


# --- data ---------------------------------------------------------------------------------------


def test_label_noise_replaces_exactly_its_share_by_other_labels():
    rows = [(str(i), i % 3) for i in range(200)]
    noisy = data.with_label_noise(rows, 0.2, 3, "salt")
    changed = [new for old, new in zip(rows, noisy, strict=True) if old != new]
    assert len(changed) == 40
    assert {label for _, label in noisy} == {0, 1, 2}
    assert noisy == data.with_label_noise(rows, 0.2, 3, "salt")


def test_a_subset_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="has 3 rows, 4 were asked for"):
        data.subset(("a", "b", "c"), 4, "snips")


def test_missing_text_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_FTRISK_BENCH_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="HF_FTRISK_BENCH_DATA"):
        data.text_folder()


def test_every_planned_data_set_has_a_license():
    assert {setting.dataset for setting in plan()} <= set(data.licenses())


# --- shards -------------------------------------------------------------------------------------


def test_shards_and_packaged_runs_count_as_recorded(tmp_path):
    packaged = tmp_path / "runs.parquet"
    shards = tmp_path / "shards"
    write_shard([recorded("a-s0")], shards)
    merge(shards, ["a-s0"], packaged)
    (shards / "a-s0.parquet").unlink()
    write_shard([recorded("a-s1")], shards)
    assert recorded_ids(shards, packaged) == {"a-s0", "a-s1"}


def test_merge_keeps_the_plans_order_and_takes_the_shard_over_the_packaged_run(tmp_path):
    packaged = tmp_path / "runs.parquet"
    shards = tmp_path / "shards"
    for run_id in ("a-s0", "a-s1"):
        write_shard([recorded(run_id)], shards)
    merge(shards, [], packaged)
    write_shard([recorded("a-s1", accuracy=0.875)], shards)
    runs = merge(shards, ["a-s1", "a-s0"], packaged)
    assert [run.run_id for run in runs] == ["a-s1", "a-s0"]
    assert read_runs([packaged])[0].record.evals["eval_accuracy"][-1] == 0.875


def test_an_interrupted_write_leaves_no_shard(tmp_path, monkeypatch):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("pyarrow.parquet.write_table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_shard([recorded("a-s0")], tmp_path)
    assert recorded_ids(tmp_path, tmp_path / "none") == set()


# --- summary ------------------------------------------------------------------------------------


def test_a_run_at_its_majority_baseline_is_poor_and_above_it_is_not():
    assert is_poor(recorded("a", accuracy=0.5).record)
    assert not is_poor(recorded("a", accuracy=0.51).record)


def test_only_settings_with_eight_seeds_count_as_repeated():
    runs = [recorded(f"a-s{seed}") for seed in range(8)] + [recorded("b-s0", setting="b")]
    assert [len(group) for group in repeated(runs)] == [8]
    assert "9 runs, 0 % of them poor" in markdown(runs)


def test_the_table_replaces_what_stands_between_its_markers(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table: begin -->\nold\n<!-- table: end -->\nb\n", encoding="utf-8")
    replace_block(page, "new")
    text = page.read_text(encoding="utf-8")
    assert text == "a\n<!-- table: begin -->\nnew\n<!-- table: end -->\nb\n"


# --- one real run -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text_data(tmp_path_factory):
    """A folder of the benchmark's form with one tiny data set that can be learned."""
    import pyarrow as pa

    folder = tmp_path_factory.mktemp("bench")
    texts = [f"{'good' if i % 2 else 'bad'} film {i}" for i in range(48)]
    for part, rows in (("train", slice(0, 32)), ("test", slice(32, 48))):
        table = pa.table({"text": texts[rows], "label": [i % 2 for i in range(48)][rows]})
        (folder / "text" / "snips").mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "text" / "snips" / f"{part}.parquet")
    return folder


@pytest.mark.slow
def test_a_run_is_recorded_step_by_step_and_repeats_exactly(text_data, monkeypatch):
    from benchmarks.recording.train import record_run

    monkeypatch.setenv("HF_FTRISK_BENCH_DATA", str(text_data))
    data.classification.cache_clear()
    setting = RunSetting(
        "snips",
        method="lora",
        learning_rate=1e-3,
        train_rows=32,
        max_steps=4,
        evaluations=2,
        warmup=0.25,
        eval_rows=16,
    )
    first, second = record_run(setting), record_run(setting)
    data.classification.cache_clear()
    record = first.record
    assert record.to_dict() == second.record.to_dict()
    assert record.train_step.tolist() == [1, 2, 3, 4]
    assert record.eval_step.tolist() == [0, 2, 4]
    assert set(record.evals) == {"eval_loss", "eval_accuracy", "eval_f1"}
    assert np.isfinite(record.grad_norm).all()
    np.testing.assert_allclose(record.schedule, record.learning_rate)
    assert record.baselines["eval_accuracy"] == 0.5
    assert record.baselines["eval_f1"] == pytest.approx(1 / 3)
    assert first.cpu_seconds > 0
    assert "torch" in first.environment
