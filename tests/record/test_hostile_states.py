"""Trainer states of strangers: one file that cannot be read is told, and the others go on."""

import contextlib
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hf_ftrisk.cli.app import app
from hf_ftrisk.history import RunHistory
from hf_ftrisk.jsonfile import read_json
from hf_ftrisk.record import RunRecord
from tests.fuzzing import fuzz
from tests.history.test_run_history import write_state


def write_hostile(folder):
    """A folder for each kind of state file that is none; returns their number."""
    deep = '{"log_history": ' + "[" * 100_000 + "]" * 100_000 + "}"
    contents = {
        "deep": deep.encode(),
        "empty": b"",
        "latin": "é".encode("latin-1"),
        "list": b"[]",
        "long-number": b'{"log_history": [], "max_steps": ' + b"9" * 9999 + b"}",
        "too-long": b'{"log_history": [], "max_steps": 1e300}',
    }
    for name, content in contents.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "trainer_state.json").write_bytes(content)
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "trainer_state.json")
    (folder / "folder" / "trainer_state.json").mkdir(parents=True)
    return {*contents, "pipe", "folder"}


@pytest.mark.timeout(60)
def test_an_import_takes_what_can_be_read(tmp_path):
    odd = write_hostile(tmp_path / "runs")
    write_state(tmp_path / "runs" / "good", 30)
    summary = RunHistory(tmp_path / "runs.db").import_trainer_states(tmp_path / "runs")
    assert summary.added == 1
    assert {name.split("/")[0] for name, _ in summary.refused} == odd


@pytest.mark.timeout(60)
def test_a_folder_is_replayed_without_what_cannot_be_read(tmp_path):
    odd = write_hostile(tmp_path)
    write_state(tmp_path / "good", 30)
    done = CliRunner().invoke(app, ["replay", str(tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert [run["name"] for run in told["runs"]] == ["good/trainer_state.json"]
    assert {item["name"].split("/")[0] for item in told["refused"]} == odd


def test_a_file_that_may_not_be_read_costs_itself_alone(tmp_path, monkeypatch):
    write_state(tmp_path / "good", 30)
    write_state(tmp_path / "closed", 30)
    closed = tmp_path / "closed" / "trainer_state.json"
    real = type(closed).read_bytes

    def read_bytes(file):
        if file == closed:
            raise PermissionError(13, "Permission denied", str(file))
        return real(file)

    monkeypatch.setattr(type(closed), "read_bytes", read_bytes)
    summary = RunHistory(tmp_path / "runs.db").import_trainer_states(tmp_path)
    assert (summary.added, len(summary.refused)) == (1, 1)
    done = CliRunner().invoke(app, ["replay", str(tmp_path)])
    assert done.exit_code == 0
    assert "left out closed/trainer_state.json: [Errno 13]" in done.output


@pytest.mark.timeout(60)
def test_a_plan_of_any_length_takes_no_longer(tmp_path):
    for number, steps in enumerate((10**9, 2**53)):
        folder = tmp_path / str(number)
        write_state(folder, 300, max_steps=steps)
        done = CliRunner().invoke(app, ["replay", str(folder / "trainer_state.json")])
        assert done.exit_code == 0, done.output


def test_a_plan_that_no_run_has_is_refused_with_the_name_of_its_file(tmp_path):
    write_state(tmp_path, 300, max_steps=2**53 + 2)
    with pytest.raises(ValueError, match=r"trainer_state\.json plans 9007199254740994 steps"):
        RunRecord.from_trainer_state(tmp_path)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["step", "loss", "epoch", "eval_loss", "x"]), inner)
    ),
    max_leaves=12,
)
_entry = st.dictionaries(
    st.sampled_from(["step", "epoch", "loss", "grad_norm", "learning_rate", "eval_loss"]), _json
)
_state = st.fixed_dictionaries(
    {"log_history": st.lists(_entry | _json, max_size=8)},
    optional=dict.fromkeys(("max_steps", "global_step", "epoch", "best_metric"), _json),
)


@settings(deadline=None, max_examples=fuzz(150))
@given(_state | _json)
def test_a_state_of_any_content_is_a_record_or_a_clear_refusal(state):
    try:
        record = RunRecord.from_trainer_state(state if isinstance(state, dict) else {})
    except ValueError:
        return
    assert record.max_steps >= 1


@settings(deadline=None, max_examples=fuzz(100))
@given(st.binary(max_size=60) | _json.map(lambda value: json.dumps(value).encode()))
def test_a_file_of_any_content_is_json_or_a_clear_refusal(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("json") / "x.json"
    file.write_bytes(content)
    with contextlib.suppress(ValueError):
        read_json(file)
