"""RunHistory: what is added comes back, once, and can be looked up."""

import math

import numpy as np
import pytest

from hf_ftrisk.history import HistoryError, RunHistory
from hf_ftrisk.record import RunRecord


def make_record(seed=0, **fields):
    fields.setdefault("task", "sst2")
    fields.setdefault("evals", {"eval_accuracy": [0.6, math.nan, 0.8]})
    return RunRecord(
        max_steps=30,
        train_step=[10, 20, 30],
        train_loss=[0.7, math.inf, 0.4],
        eval_step=[10, 20, 30],
        seed=seed,
        **fields,
    )


def test_a_record_comes_back_as_it_was(tmp_path):
    record = make_record(
        schedule=np.linspace(1e-3, 0, 30),
        final={"eval_accuracy": 0.81},
        settings={"model": "tiny", "layers": [1, 2]},
        static={"logme": 0.3},
        baselines={"eval_accuracy": 0.5},
    )
    (back,) = RunHistory(tmp_path / "runs.db").add(record).records()
    assert back.to_dict() == record.to_dict()


def test_records_filters_by_task_and_metric(tmp_path):
    history = RunHistory(tmp_path / "runs.db")
    history.add(make_record(0)).add(make_record(1, task="rte"))
    history.add(make_record(2, task="rte", evals={}, final={"f1": 0.5}))
    assert [r.seed for r in history.records(task="rte")] == [1, 2]
    assert [r.seed for r in history.records(metric="accuracy")] == [0, 1]
    assert [r.seed for r in history.records(task="rte", metric="eval_f1")] == [2]


def test_the_same_run_is_stored_once(tmp_path):
    history = RunHistory(tmp_path / "runs.db")
    history.add(make_record(0)).add(make_record(0)).add(make_record(1))
    assert len(history) == 2


def test_a_running_run_is_refused(tmp_path):
    with pytest.raises(HistoryError, match="running at step 30 of 30"):
        RunHistory(tmp_path / "runs.db").add(make_record(status="running"))
