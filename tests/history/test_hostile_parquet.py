"""Parquet files of strangers: bounded before they are unpacked, row by row refused or taken."""

import faulthandler
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_ftrisk.errors import HistoryError
from hf_ftrisk.history import RunHistory, apart
from hf_ftrisk.history import parquet as runs_parquet
from hf_ftrisk.history.apart import index_apart, read_apart
from hf_ftrisk.history.encoding import encode
from hf_ftrisk.history.pages import unpacked
from hf_ftrisk.history.parquet import index_of, read_parquet, to_parquet
from tests.fuzzing import fuzz
from tests.history.records import full_record, make_record
from tests.history.test_parquet import reason, signed

GOOD = to_parquet([encode(full_record(0)), encode(make_record(1)), encode(make_record(2))])


def written(table, **options):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", **options)
    return bytes(sink.getvalue())


def table_with(name, column):
    table = pq.read_table(pa.BufferReader(to_parquet([encode(make_record())])))
    columns = [
        column if field.name == name else table.column(field.name).combine_chunks()
        for field in runs_parquet.SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=runs_parquet.SCHEMA)


def list_bomb(n=70_000_000):
    zeros = pa.array(np.zeros(n))
    return written(
        table_with("train_loss", pa.ListArray.from_arrays(pa.array([0, n], "int32"), zeros))
    )


# --- size ------------------------------------------------------------------------------------

_MEASURED = """
import resource, sys
from hf_ftrisk.errors import HistoryError
from hf_ftrisk.history.parquet import index_of, read_parquet
content = open(sys.argv[1], "rb").read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (read_parquet, index_of):
    try:
        found = read(content)
        print(len(found.refused) if read is read_parquet else "indexed")
    except HistoryError as error:
        print(error)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) // 1024)
"""


def measured(tmp_path, content):
    """What reading told, and by how many MiB the memory of a process that reads it grew."""
    (tmp_path / "x.parquet").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path / "x.parquet")],
        capture_output=True,
        text=True,
        check=True,
    )
    *told, grown = done.stdout.splitlines()
    return told, int(grown)


@pytest.mark.slow
def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_does(tmp_path):
    content = list_bomb()
    assert len(content) < 20_000
    told, grown = measured(tmp_path, content)
    assert ["unpacks to 700000" in line for line in told] == [True, True], told
    assert grown < 100


def text_bomb(name, text, n=1000):
    """A file in which one text stands in `n` rows, or in `n` places of a row."""
    same = pa.DictionaryArray.from_arrays(pa.array([0] * n, "int32"), pa.array([text]))
    values = pa.array([[1.0]] * n, pa.list_(pa.float64()))
    row = pq.read_table(pa.BufferReader(to_parquet([encode(make_record())]))).to_pylist()[0]
    rows = n if name == "head" else 1
    arrays = [pa.array([row[field.name]] * rows, field.type) for field in runs_parquet.SCHEMA]
    if name == "evals":
        inside = pa.StructArray.from_arrays([same, values], names=["name", "values"])
        same = pa.ListArray.from_arrays(pa.array([0, n], "int32"), inside)
    arrays[runs_parquet.SCHEMA.get_field_index(name)] = same
    made = pa.Table.from_arrays(arrays, names=runs_parquet.SCHEMA.names)
    sink = pa.BufferOutputStream()
    options = {"store_schema": False, "dictionary_pagesize_limit": 1 << 27}
    with pq.ParquetWriter(sink, made.schema, compression="zstd", **options) as writer:
        writer.write_table(made)
        writer.add_key_value_metadata({"hf_ftrisk.runs": "1"})
    return bytes(sink.getvalue())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "length", "told"),
    [
        ("head", 10_000_000, "a dictionary of 10000004 bytes"),
        ("evals", 4_000_000, "unpacks to"),
        ("head", 100_000, "1000"),
        ("evals", 100_000, "1"),
    ],
)
def test_a_long_text_that_stands_in_many_places_is_refused(tmp_path, name, length, told):
    content = text_bomb(name, "x" * length)
    assert len(content) < 1_000_000
    said, grown = measured(tmp_path, content)
    assert told in said[0]
    assert grown < 500


def test_a_footer_that_disagrees_with_the_pages_is_refused(monkeypatch):
    facts = pq.read_metadata(pa.BufferReader(GOOD))

    class Liar:  # of pyarrow's metadata, what is read of them
        num_row_groups, num_columns, schema = 1, 1, facts.schema

        class Column:
            path_in_schema, has_dictionary_page, dictionary_page_offset = "x", False, None
            data_page_offset = facts.row_group(0).column(3).data_page_offset
            num_values, physical_type = 1, "INT64"

        def row_group(self, _):
            return self

        def column(self, _):
            return self.Column

    with pytest.raises(ValueError, match="3 values in its pages, 1 by the footer"):
        unpacked(GOOD, Liar(), rows=64)


def test_the_pages_of_a_file_are_added_up():
    table = pq.read_table(pa.BufferReader(GOOD))
    for options in (
        {},
        {"use_dictionary": False},
        {"data_page_version": "2.0"},
        {"data_page_size": 64, "row_group_size": 1},
    ):
        content = written(table, **options)
        facts = pq.read_metadata(pa.BufferReader(content))
        groups = [facts.row_group(i) for i in range(facts.num_row_groups)]
        columns = [group.column(i) for group in groups for i in range(group.num_columns)]
        counted = unpacked(content, facts, rows=0)
        assert counted.values == sum(column.num_values for column in columns)
        # The footer's sizes hold the headers of the pages as well.
        claimed = sum(column.total_uncompressed_size for column in columns)
        assert 0 < counted.size <= claimed + 1000
        assert len(read_parquet(content).records) == 3


def test_an_encoding_without_a_bound_is_refused():
    table = pq.read_table(pa.BufferReader(GOOD))
    content = written(table, use_dictionary=False, column_encoding={"head": "DELTA_BYTE_ARRAY"})
    with pytest.raises(HistoryError, match="a page of encoding 7"):
        read_parquet(content)


# --- rows ------------------------------------------------------------------------------------


def test_a_planned_length_that_no_run_has_is_refused_at_the_door():
    for steps in (1_000_000_001, 2**53, 2**62):
        assert "max_steps must be" in reason(signed({"max_steps": steps}))


def test_a_final_nan_costs_no_other_row(tmp_path):
    path = tmp_path / "x.parquet"
    odd = make_record(1, final={"eval_f1": float("nan"), "eval_\ud800": 1.0})
    path.write_bytes(to_parquet([encode(make_record(0)), encode(make_record(2))]))
    history = RunHistory(tmp_path / "runs.db")
    summary = history._take([make_record(0), odd, make_record(2)], "hub:a/b@c", ())
    assert (summary.added, summary.refused[0][0]) == (2, "hub:a/b@c")
    assert "cannot be stored" in summary.refused[0][1]
    assert history.import_parquet(path).known == 2


def test_a_pipe_is_told_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.parquet")
    with pytest.raises(HistoryError, match="not a regular file"):
        RunHistory(tmp_path / "runs.db").import_parquet(tmp_path / "x.parquet")


# --- apart -----------------------------------------------------------------------------------


def test_what_is_read_apart_is_what_is_read_here():
    apart, here = read_apart(GOOD), read_parquet(GOOD)
    assert [encode(a) for a in apart.records] == [encode(b) for b in here.records]
    assert index_apart(GOOD) == index_of(GOOD)
    assert read_apart(signed({"status": "won"})) == read_parquet(signed({"status": "won"}))


def test_a_reader_that_does_not_survive_is_told(tmp_path, monkeypatch):
    ends = tmp_path / "ends"
    ends.write_text("#!/bin/sh\nkill -ABRT $$\n", encoding="utf-8")
    ends.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ends))
    for read in (read_apart, index_apart):
        with pytest.raises(HistoryError, match="its reader crashed"):
            read(GOOD)


def test_a_reader_that_takes_too_long_is_ended_and_told(tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "MAX_SECONDS", 0.001)
    with pytest.raises(HistoryError, match=r"within 0\.001 s"):
        read_apart(GOOD)


def test_what_is_refused_apart_says_why():
    with pytest.raises(HistoryError, match="not a readable Parquet file"):
        index_apart(b"PK\x03\x04 no parquet")


def test_the_other_process_is_given_no_secrets(monkeypatch):
    given = []
    real = subprocess.run
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    monkeypatch.setattr(
        subprocess, "run", lambda *a, **options: given.append(options["env"]) or real(*a, **options)
    )
    read_apart(GOOD)
    assert "hf_secretsecretsecret" not in str(given)


def outcome_in_a_fork(content):
    """What reading does in a process of its own that costs little: an exit status."""
    child = os.fork()
    if child == 0:
        faulthandler.disable()  # an end by pyarrow is expected
        status = 9
        try:
            right = {encode(record).fingerprint for record in read_parquet(GOOD).records}
            fingerprints = {encode(record).fingerprint for record in read_parquet(content).records}
            index_of(content)
            status = 0 if fingerprints <= right else 8
        except HistoryError:
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# Python 3.12 and newer warn of a fork beside threads: Arrow makes its own anew in the child.
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
# Each example is a process: 4,000 of them would take longer than all other tests of `make fuzz`.
@settings(deadline=None, max_examples=fuzz(80, most=800))
@given(
    at=st.floats(0, 1),
    damage=st.binary(min_size=1, max_size=12),
    cut=st.sampled_from([0, 0, 0, 1, 9, 200]),
)
def test_whatever_is_changed_in_a_file_runs_come_whole_or_not_at_all(at, damage, cut):
    place = int(at * len(GOOD))
    content = GOOD[:place] + damage + GOOD[place + len(damage) :]
    # Below 0 pyarrow itself ended the process, which is why strangers' files are read apart.
    assert outcome_in_a_fork(content[: len(content) - cut]) <= 0
