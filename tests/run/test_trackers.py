"""Trackers under `hf-ftrisk run`: told of the training and its forecasts, never of a pre-flight."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hf_ftrisk.run.instrument import instrumented
from tests.run.trainings import options, trainer_of


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Everything TensorBoard was given, name -> (step, value), without wall-clock times."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.rglob("events.out.tfevents.*")):
        log = EventAccumulator(str(file))
        log.Reload()
        for name in log.Tags()["scalars"]:
            if not name.endswith(("runtime", "per_second")):
                rows.setdefault(name, []).extend((e.step, e.value) for e in log.Scalars(name))
    return rows


def test_a_tracker_is_told_of_the_training_alone_and_of_its_forecasts(tmp_path, said, monkeypatch):
    pytest.importorskip("tensorboard")

    def tracked(name: str, watched: bool) -> dict[str, list[tuple[int, float]]]:
        monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / name))
        trainer = trainer_of(tmp_path, report_to=["tensorboard"])
        if watched:
            with instrumented(options(), said.append):
                trainer.train()
        else:
            trainer.train()
        return scalars(tmp_path / name)

    plain, watched = tracked("plain", watched=False), tracked("watched", watched=True)
    assert [step for step, _ in plain["train/loss"]] == list(range(1, 25))
    ours = {name for name in watched if "ftrisk/" in name}
    assert ours
    assert {name: watched[name] for name in watched if name not in ours} == plain


@pytest.mark.parametrize(
    ("tracker", "log"),
    [("tensorboard", "*tfevents*"), ("wandb", "*.wandb"), ("trackio", "*.db")],
)
def test_a_preflight_alone_tells_a_tracker_nothing(tmp_path, said, monkeypatch, tracker, log):
    board = Path(os.environ["TRACKIO_DIR"])
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(board))
    monkeypatch.setenv("WANDB_MODE", "offline")
    module = pytest.importorskip(tracker)
    trainer = trainer_of(tmp_path, report_to=[tracker], project="preflight-alone")
    before = set(board.rglob(log))
    with instrumented(options(watch=False), said.append) as instruments:
        instruments._begin(trainer, resumed=False)
        assert set(board.rglob(log)) == before
        trainer.train()
    if tracker == "wandb":
        module.finish()  # the Trainer leaves its run open, and a later test's would go on in it
    assert set(board.rglob(log)) > before
