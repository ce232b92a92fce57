"""Forecasts in the trackers people use, where those are installed; none of them needs a network."""

from __future__ import annotations

import importlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer

Rows = dict[int, dict[str, float]]
ROOT = Path(__file__).parents[2]
PROJECT = "forecasts"
_BLOCK = 32768  # of LevelDB's log format, in which wandb writes a run


def trackio_rows(folder: Path) -> Rows:
    """Optimizer step -> what was logged there."""
    (file,) = folder.rglob(f"{PROJECT}.db")
    with sqlite3.connect(file) as connection:
        logged = connection.execute("SELECT metrics FROM metrics ORDER BY id").fetchall()
    return merged(json.loads(text) for (text,) in logged)


def wandb_records(file: Path) -> list[Any]:
    """What wandb wrote, up to the run's exit: that may reach the file after `finish` returned."""
    from wandb.proto import wandb_internal_pb2

    last = time.monotonic() + 30
    while time.monotonic() < last:
        records = [wandb_internal_pb2.Record.FromString(data) for data in blocks(file.read_bytes())]
        if any(record.HasField("exit") for record in records):
            return records
        time.sleep(0.05)
    raise AssertionError(f"{file} holds no exit of its run after 30 s")


def wandb_rows(folder: Path) -> Rows:
    (file,) = folder.rglob("*.wandb")
    rows = []
    for record in wandb_records(file):
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            rows.append({i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in items})
    return merged(rows)


def blocks(raw: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log."""
    at, record = 7, b""
    while at + 7 <= len(raw):
        left = _BLOCK - at % _BLOCK
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", raw[at : at + 7])
        if at + 7 + length > len(raw):  # not written to its end yet
            return
        record += raw[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def merged(rows: Any) -> Rows:
    by_step: Rows = {}
    for row in rows:
        by_step.setdefault(int(row["train/global_step"]), {}).update(row)
    return by_step


@pytest.mark.parametrize(("tracker", "read"), [("wandb", wandb_rows), ("trackio", trackio_rows)])
def test_forecasts_stand_next_to_the_loss(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tracker: str,
    read: Callable[[Path], Rows],
):
    board = Path(os.environ["TRACKIO_DIR"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    module = importlib.import_module(tracker)
    callback = FineTuneRiskCallback("eval_accuracy>=0.9")
    trainer = bert_trainer(
        tmp_path, report_to=[tracker], logging_steps=1, project=PROJECT, callbacks=[callback]
    )
    trainer.train()
    if tracker == "wandb":
        board = Path(module.run.dir).parent
        module.finish()  # the Trainer leaves its run open
    rows = read(board)
    assert rows[2]["train/loss"] > 0
    looks = callback.report.looks
    assert looks
    for look in looks:
        row = rows[look.step]
        values = [row[f"train/ftrisk/{name}"] for name in ("forecast", "low", "high", "prob_good")]
        assert values == pytest.approx([look.median, look.low, look.high, look.prob_good])
    assert "train/ftrisk/optimization_std_left" in rows[30]
    assert "train/ftrisk/optimal_depth" in rows[30]
    assert {step for step, row in rows.items() if "train/ftrisk/forecast" in row} == {
        look.step for look in looks
    }


STUCK = """
import json, sys
from pathlib import Path
from hf_ftrisk.watch.callback import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer
out, tracker = Path(sys.argv[1]), sys.argv[2]
module = __import__(tracker)
callback = FineTuneRiskCallback("eval_accuracy>=0.9", check_steps=1)
trainer = bert_trainer(
    out, report_to=[tracker], logging_steps=1, project="ftrisk", callbacks=[callback],
    learning_rate=1e30, max_grad_norm=0.0,
)
trainer.train()
if tracker == "wandb":
    module.finish()
print("STOPPED", callback.report.stopped_at)
"""


@pytest.mark.slow
@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_a_stop_is_an_alert_and_the_end_has_a_figure(tmp_path: Path, tracker: str):
    board = tmp_path / "board"
    board.mkdir()
    environment = os.environ | {
        "WANDB_MODE": "offline",
        "WANDB_DIR": str(board),
        "TRACKIO_DIR": str(board),
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", STUCK, str(tmp_path), tracker]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "a tracker could not be written to" not in done.stderr + done.stdout
    assert "STOPPED None" not in done.stdout
    if tracker == "wandb":
        (file,) = board.rglob("*.wandb")
        alerts = [record.alert.title for record in wandb_records(file) if record.HasField("alert")]
        images = list(board.rglob("media/images/ftrisk/figure*.png"))
    else:
        (file,) = board.rglob("*.db")
        with sqlite3.connect(file) as connection:
            alerts = [row[0] for row in connection.execute("SELECT title FROM alerts")]
        images = list(board.rglob("*.png"))
    assert alerts == ["ftrisk: run stopped"]
    assert len(images) == 1


@pytest.mark.slow
def test_tensorboard_has_the_forecasts_and_the_figure(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    callback = FineTuneRiskCallback("eval_accuracy>=0.9")
    bert_trainer(tmp_path, report_to=["tensorboard"], callbacks=[callback]).train()
    (file,) = tmp_path.rglob("*tfevents*")
    events = EventAccumulator(str(file)).Reload()
    assert [event.step for event in events.Scalars("train/ftrisk/forecast")] == [
        look.step for look in callback.report.looks
    ]
    (figure,) = events.Images("ftrisk/figure")
    assert figure.width > 400
