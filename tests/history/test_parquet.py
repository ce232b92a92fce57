"""Runs as Parquet: exact there and back, and anything else refused."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk.errors import HistoryError
from hf_ftrisk.history import RunHistory
from hf_ftrisk.history import parquet as runs_parquet
from hf_ftrisk.history.encoding import EncodedRun, encode
from hf_ftrisk.history.parquet import index_of, read_parquet, to_parquet
from hf_ftrisk.record import RunRecord
from tests.history.records import full_record, make_record

_values = st.floats(allow_nan=True, allow_infinity=True)
_names = st.text("abc_\u00e9", min_size=1, max_size=8)


@st.composite
def records(draw):
    steps = sorted(draw(st.sets(st.integers(0, 500), max_size=6)))
    columns = st.lists(_values, min_size=len(steps), max_size=len(steps))
    return RunRecord(
        max_steps=500,
        train_step=steps,
        train_loss=draw(columns),
        eval_step=steps,
        evals=draw(st.dictionaries(_names.map("eval_".__add__), columns, max_size=3)),
        nan_steps={"loss": [3, 9]} if draw(st.booleans()) else {},
        schedule=np.linspace(1, 0, 500) if draw(st.booleans()) else None,
        steps_per_epoch=draw(st.none() | st.floats(0.5, 100) | st.integers(1, 9)),
        task=draw(st.none() | _names),
        seed=draw(st.none() | st.integers(0, 2**31)),
        final=draw(st.dictionaries(_names.map("eval_".__add__), _values, max_size=2)),
        settings=draw(st.dictionaries(_names, st.integers() | _names | st.booleans(), max_size=3)),
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(records(), max_size=4))
def test_runs_come_back_bit_by_bit(written):
    read = read_parquet(to_parquet(map(encode, written)))
    assert read.refused == ()
    assert [encode(record) for record in read.records] == [encode(record) for record in written]


def test_export_and_import(tmp_path):
    history = RunHistory(tmp_path / "a.db")
    history.add_all([full_record(0), make_record(1, task="rte"), make_record(2)])
    assert history.export_parquet(tmp_path / "out" / "runs.parquet", task="sst2") == 2
    other = RunHistory(tmp_path / "b.db").add(make_record(2))
    summary = other.import_parquet(tmp_path / "out" / "runs.parquet")
    assert (summary.added, summary.known, summary.refused) == (1, 1, ())
    assert other.records()[1].to_dict() == full_record(0).to_dict()
    assert other.counts() == {("sst2", ""): 1, ("sst2", "runs.parquet"): 1}


def test_other_tools_read_the_columns(tmp_path):
    content = to_parquet([encode(full_record(5))])
    row = pq.read_table(pa.BufferReader(content)).to_pylist()[0]
    assert row["task"] == "sst2"
    assert row["seed"] == 5
    assert row["eval_step"] == [10, 20, 30]
    assert [item["name"] for item in row["evals"]] == ["eval_accuracy"]
    assert json.loads(row["head"])["final"] == {"eval_accuracy": 0.81}


def test_the_index_needs_no_trajectory():
    run = encode(make_record())
    assert index_of(to_parquet([run])) == {run.fingerprint: "sst2"}


# --- what is refused -------------------------------------------------------------------------


def changed(record, **values):
    """A file whose row claims `record` but has other values in these columns."""
    table = pq.read_table(pa.BufferReader(to_parquet([encode(record)])))
    row = table.to_pylist()[0] | values
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([row], schema=runs_parquet.SCHEMA), sink)
    return bytes(sink.getvalue())


def signed(head=None, **columns):
    """A file whose row has a right fingerprint over content that no run can have."""
    run = encode(make_record())
    facts = json.loads(run.head) | (head or {})
    kept = [
        column._replace(values=np.asarray(columns[column.name], float).tobytes())
        if column.name in columns
        else column
        for column in run.columns
    ]
    forged = EncodedRun(json.dumps(facts), tuple(kept))
    lists = {name: np.frombuffer(forged_column(forged, name)) for name in columns}
    return changed(make_record(), head=forged.head, fingerprint=forged.fingerprint, **lists)


def forged_column(run, name):
    return next(column.values for column in run.columns if column.name == name)


def reason(content):
    read = read_parquet(content)
    assert read.records == ()
    ((row, why),) = read.refused
    assert row == 0
    return why


def test_a_changed_value_is_noticed():
    assert "fingerprint" in reason(changed(make_record(), train_loss=[0.1, 0.1, 0.1]))
    assert "missing" in reason(changed(make_record(), train_loss=None))
    assert "holes" in reason(changed(make_record(), train_loss=[0.1, None, 0.1]))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ({"status": "running"}, "still running"),
        ({"status": "won"}, "status must be"),
        ({"max_steps": 20}, r"steps must lie in \[0, 20\]"),
        ({"max_steps": 10**400}, "max_steps|large"),
        ({"task": "a\nb"}, "one clean line"),
        ({"task": "x" * 5000}, "one clean line"),
        ({"task": ["x"]}, "one clean line"),
        ({"seed": "1"}, "seed must be a whole number"),
        ({"load_best": "yes"}, "load_best must be"),
        ({"steps_per_epoch": -1}, "steps_per_epoch must be above 0"),
        ({"final": {"eval_a\u202eb": 1.0}}, "one clean line"),
        ({"final": {"eval_a": "x"}}, "could not convert"),
        ({"settings": {"a": {"b": {"c": {"d": 1}}}}}, "nested too deep"),
        ({"settings": {"a": "x" * 5000}}, "one clean line"),
        ({"settings": {f"s{i}": 1 for i in range(500)}}, "more than 200"),
        ({"settings": {"a": "x" * 80_000}}, "up to 65536 characters"),
        ({"os": "system"}, "not a stored run"),
    ],
)
def test_a_run_that_cannot_be_is_refused(head, message):
    assert re.search(message, reason(signed(head)))


def test_a_trajectory_that_cannot_be_is_refused():
    assert "increasing" in reason(signed(train_step=[30, 20, 10]))
    assert "whole numbers" in reason(signed(eval_step=[1, 2.5, 3]))
    assert "expected" in reason(signed(train_loss=[1.0]))
    assert "planned length" in reason(signed(eval_step=[-1, 2, 3]))


def test_a_deeply_nested_head_is_refused_and_not_recursed_into():
    head = '{"settings": ' + "[" * 30_000 + "]" * 30_000 + "}"
    assert reason(changed(make_record(), head=head))


def test_one_bad_row_does_not_cost_the_others():
    table = pq.read_table(pa.BufferReader(to_parquet([encode(make_record(i)) for i in range(3)])))
    rows = table.to_pylist()
    rows[1]["fingerprint"] = "0" * 64
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=runs_parquet.SCHEMA), sink)
    read = read_parquet(bytes(sink.getvalue()))
    assert [record.seed for record in read.records] == [0, 2]
    assert [row for row, _ in read.refused] == [1]


def rewritten(schema):
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink)
    return bytes(sink.getvalue())


def test_files_of_something_else_are_refused(tmp_path, monkeypatch):
    for content in (b"", b"PK\x03\x04 no parquet", to_parquet([])[:-20]):
        with pytest.raises(HistoryError, match="not a readable Parquet file"):
            read_parquet(content)
    with pytest.raises(HistoryError, match="lack the key"):
        read_parquet(rewritten(pa.schema([("x", pa.int64())])))
    newer = runs_parquet.SCHEMA.with_metadata({b"hf_ftrisk.runs": b"2"})
    with pytest.raises(HistoryError, match="update hf-ftrisk"):
        read_parquet(rewritten(newer))
    index = runs_parquet.SCHEMA.get_field_index("head")
    binary = runs_parquet.SCHEMA.set(index, pa.field("head", pa.binary()))
    with pytest.raises(HistoryError, match="column 'head' must be string"):
        read_parquet(rewritten(binary))
    monkeypatch.setattr(runs_parquet, "MAX_ROWS", 1)
    with pytest.raises(HistoryError, match="more than 1 rows"):
        read_parquet(to_parquet([encode(make_record(0)), encode(make_record(1))]))
    monkeypatch.setattr(runs_parquet, "MAX_FILE_BYTES", 10)
    with pytest.raises(HistoryError, match="more than 10"):
        read_parquet(to_parquet([]))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        RunHistory(tmp_path / "a.db").import_parquet(tmp_path / "nowhere.parquet")
