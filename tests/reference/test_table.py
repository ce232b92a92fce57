from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hf_ftrisk.goal import Goal
from hf_ftrisk.record import ModelSelection, RunRecord
from hf_ftrisk.reference.table import RecordedRun, from_table, read_runs, to_table, write_runs


def run(**fields: object) -> RecordedRun:
    record = RunRecord(max_steps=4, **fields)  # type: ignore[arg-type]  # any field of the record
    return RecordedRun(record, "a-s0", "a", 12.5, "cpu, torch 2")


FULL = run(
    train_step=np.array([1, 2, 3, 4]),
    train_loss=np.array([1.5, math.nan, math.inf, 0.25]),
    grad_norm=np.array([1.0, math.nan, 2.0, 0.5]),
    learning_rate=np.array([0.5, 0.25, 0.125, 0.0]),
    eval_step=np.array([0, 4]),
    evals={"eval_loss": np.array([2.0, math.nan]), "eval_accuracy": np.array([0.25, 0.75])},
    schedule=np.array([0.5, 0.25, 0.125, 0.0]),
    steps_per_epoch=2.0,
    task="data/model/full",
    seed=3,
    load_best=True,
    selection=ModelSelection.named("eval_accuracy"),
    baselines={"eval_accuracy": 0.5},
    final={"eval_accuracy": 0.7},
    settings={"learning_rate": 0.5, "scheduler": "linear"},
    static={"entropy": 1.25},
)


def test_a_run_survives_the_table_with_every_field(tmp_path):
    pq.write_table(to_table([FULL]), tmp_path / "runs.parquet")
    (read,) = read_runs(tmp_path / "runs.parquet")
    assert read.record.to_dict() == FULL.record.to_dict()
    assert (read.run_id, read.setting_id) == ("a-s0", "a")
    assert (read.cpu_seconds, read.environment) == (12.5, "cpu, torch 2")


def test_a_probe_stays_a_probe_of_its_run_and_depth(tmp_path):
    probe = replace(FULL, probe="jump", depth=0.1)
    write_runs([FULL, probe], tmp_path / "runs.parquet")
    read = read_runs(tmp_path / "runs.parquet")
    assert [(r.run_id, r.probe, r.depth) for r in read] == [
        ("a-s0", None, None),
        ("a-s0", "jump", 0.1),
    ]
    assert read[1].record.to_dict() == FULL.record.to_dict()


def test_nan_and_infinity_stay_what_they_are():
    (read,) = from_table(to_table([FULL]))
    assert math.isnan(read.record.train_loss[1])
    assert math.isinf(read.record.train_loss[2])
    assert math.isnan(read.record.evals["eval_loss"][1])


def test_unknown_fields_stay_unknown_beside_known_ones():
    bare = run()
    read = from_table(to_table([bare, FULL, bare]))
    assert [r.record.to_dict() for r in read] == [r.record.to_dict() for r in (bare, FULL, bare)]
    assert read[0].record.schedule is None


def test_slices_and_chunks_of_a_table_read_as_well():
    longer = run(train_step=np.array([1, 3]), train_loss=np.array([4.0, 2.0]))
    table = pa.concat_tables([to_table([FULL, longer]), to_table([longer])]).slice(1)
    assert [r.record.train_loss.tolist() for r in from_table(table)] == [[4.0, 2.0]] * 2


def test_a_table_of_something_else_is_refused():
    with pytest.raises(ValueError, match="lacks the columns"):
        from_table(pa.table({"run_id": ["a"]}))


def test_a_model_that_predicts_the_majority_class_is_not_above_it_after_storage():
    for rate in (0.275, 0.7875, 31 / 160, 2 / 3):
        stuck = run(
            eval_step=np.array([4]),
            evals={"eval_accuracy": np.array([rate])},
            baselines={"eval_accuracy": rate},
        )
        (read,) = from_table(to_table([stuck]))
        goal = Goal("accuracy")
        assert not goal.meets(read.record.outcome(goal), read.record.baseline(goal))
