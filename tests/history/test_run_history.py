"""RunHistory: what is added comes back, once, and can be looked up."""

import dataclasses
import json
import threading

import pytest

from hf_ftrisk.errors import HistoryError
from hf_ftrisk.history import ImportSummary, RunHistory
from hf_ftrisk.record import RunRecord
from tests.history.records import full_record, make_record


def test_a_record_comes_back_as_it_was(tmp_path):
    record = full_record()
    (back,) = RunHistory(tmp_path / "runs.db").add(record).records()
    assert back.to_dict() == record.to_dict()


def test_the_record_that_comes_back_had_no_field_at_its_default():
    """Else the test above would not see a field that is added later and not stored."""
    record, plain = full_record().to_dict(), RunRecord(max_steps=1).to_dict()
    names = {field.name for field in dataclasses.fields(RunRecord)} - {"selection"}
    names |= {"metric_for_best", "greater_is_better"}  # its form in storage
    assert names <= record.keys()
    assert [name for name in names if record[name] == plain.get(name)] == []


def test_records_filters_by_task_and_metric(tmp_path):
    history = RunHistory(tmp_path / "runs.db")
    history.add(make_record(0)).add(make_record(1, task="rte"))
    history.add(make_record(2, task="rte", evals={}, final={"eval_f1": 0.5}))
    assert [r.seed for r in history.records(task="rte")] == [1, 2]
    assert [r.seed for r in history.records(metric="accuracy")] == [0, 1]
    assert [r.seed for r in history.records(task="rte", metric="eval_f1")] == [2]
    assert history.records(task="sst2'; DROP TABLE runs; --") == ()
    assert len(history) == 3


def test_the_latest_are_those_added_last_in_their_order(tmp_path):
    history = RunHistory(tmp_path / "runs.db")
    history.add_all([make_record(seed, task=f"t{seed % 2}") for seed in range(6)])
    assert [r.seed for r in history.records(latest=2)] == [4, 5]
    assert [r.seed for r in history.records(task="t0", latest=2)] == [2, 4]
    assert [r.seed for r in history.records(task="t0", latest=9)] == [0, 2, 4]


def test_the_same_run_is_stored_once(tmp_path):
    history = RunHistory(tmp_path / "runs.db")
    history.add(make_record(0)).add(make_record(0)).add(make_record(1))
    assert len(history) == 2
    assert history.add_all([make_record(1), make_record(2)]) == 1


def test_a_running_run_is_refused(tmp_path):
    with pytest.raises(HistoryError, match="running at step 30 of 30"):
        RunHistory(tmp_path / "runs.db").add(make_record(status="running"))


def test_of_several_runs_all_are_stored_or_none(tmp_path):
    history = RunHistory(tmp_path / "runs.db")
    with pytest.raises(HistoryError, match="settings hold JSON only"):
        history.add_all([make_record(0), make_record(1, settings={"odd": object()})])
    assert len(history) == 0


def test_many_threads_share_one_history(tmp_path):
    history = RunHistory(tmp_path / "runs.db")

    def add(first):
        for seed in range(first, first + 6):
            history.add(make_record(seed))

    # Each run is added by two threads.
    threads = [threading.Thread(target=add, args=(3 * i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(r.seed for r in history) == list(range(27))


# --- trainer_state.json ----------------------------------------------------------------------


def write_state(folder, step, max_steps=30):
    folder.mkdir(parents=True, exist_ok=True)
    log = [{"step": s, "loss": 1 / s, "epoch": s / 10} for s in range(10, step + 1, 10)]
    log.append({"step": step, "eval_accuracy": step / 100})
    state = {"global_step": step, "max_steps": max_steps, "epoch": step / 10, "log_history": log}
    (folder / "trainer_state.json").write_text(json.dumps(state), encoding="utf-8")


def test_a_folder_of_runs_is_imported_by_each_runs_last_checkpoint(tmp_path):
    for step in (10, 20, 30):
        write_state(tmp_path / "runs" / "a" / f"checkpoint-{step}", step)
    write_state(tmp_path / "runs" / "b", 30, max_steps=30)
    write_state(tmp_path / "runs" / "cut-off" / "checkpoint-20", 20)
    broken = tmp_path / "runs" / "broken" / "trainer_state.json"
    broken.parent.mkdir()
    broken.write_text("{", encoding="utf-8")
    history = RunHistory(tmp_path / "runs.db")
    summary = history.import_trainer_states(tmp_path / "runs", task="sst2")
    # The run b equals the run a: one run.
    assert (summary.added, summary.known) == (1, 1)
    assert [name for name, _ in summary.refused] == [
        "broken/trainer_state.json",
        "cut-off/checkpoint-20/trainer_state.json",
    ]
    assert "ends at step 20 of 30" in summary.refused[1][1]
    assert str(summary) == "1 added, 1 known already, 2 refused"
    (record,) = history.records(task="sst2", metric="eval_accuracy")
    assert record.evals["eval_accuracy"][-1] == 0.3


def test_a_single_file_is_imported(tmp_path):
    write_state(tmp_path / "a", 30)
    history = RunHistory(tmp_path / "runs.db")
    assert history.import_trainer_states(tmp_path / "a" / "trainer_state.json").added == 1
    assert history.counts() == {(None, "trainer_state.json"): 1}


def test_a_folder_without_a_run_counts_none(tmp_path):
    (tmp_path / "empty").mkdir()
    summary = RunHistory(tmp_path / "runs.db").import_trainer_states(tmp_path / "empty")
    assert summary == ImportSummary(0, 0, ())


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        RunHistory(tmp_path / "runs.db").import_trainer_states(tmp_path / "nowhere")
