"""Which completed runs inform a run, however they were given."""

from __future__ import annotations

from pathlib import Path

import pytest

from hf_ftrisk.history import RunHistory, given
from hf_ftrisk.history.given import KnownRuns, history_of, known_runs
from tests.history.records import make_record

METRIC = "eval_accuracy"


def seeds(known: KnownRuns) -> list[int | None]:
    return [run.seed for run in known.runs]


@pytest.fixture(params=["file", "records"])
def of(request, tmp_path):
    """A history of these records, as a file or as they are."""

    def make(*records):
        if request.param == "records":
            return tuple(records)
        return RunHistory(tmp_path / "runs.db").add_all(records) and RunHistory(
            tmp_path / "runs.db"
        )

    return make


def test_runs_of_another_task_are_left_out(of):
    history = of(make_record(0, task="sst2"), make_record(1, task="rte"))
    assert seeds(known_runs(history, "sst2", METRIC)) == [0]
    assert seeds(known_runs(history, "cola", METRIC)) == []


def test_runs_that_name_no_task_are_of_this_one_where_no_run_names_another(of):
    unnamed = make_record(0, task=None), make_record(1, task=None)
    assert seeds(known_runs(of(*unnamed), "sst2", METRIC)) == [0, 1]


def test_the_latest_are_used_and_it_is_known_that_there_are_more(of, monkeypatch):
    monkeypatch.setattr(given, "MAX_RUNS", 2)
    history = of(*(make_record(seed, task="t") for seed in range(3)))
    assert known_runs(history, "t", METRIC).more
    assert seeds(known_runs(history, "t", METRIC)) == [1, 2]
    monkeypatch.setattr(given, "MAX_RUNS", 3)
    assert not known_runs(history, "t", METRIC).more


def test_without_a_history_nothing_is_known():
    assert known_runs(None, "t", METRIC) == KnownRuns((), more=False)


@pytest.mark.parametrize("off", ["off", "OFF", Path("off")])
def test_a_history_that_is_off_is_none_and_no_file(tmp_path, monkeypatch, off):
    monkeypatch.chdir(tmp_path)
    assert history_of(off) is None
    assert not list(tmp_path.iterdir())
