"""`hf-ftrisk follow`: a job that is being written, seen from another terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from hf_ftrisk.cli.follow import newest, replays
from hf_ftrisk.replay.batch import Replayer, ReplayOptions
from hf_ftrisk.replay.examples import load_example
from tests.terminals import written


def state_at(step, name="sound"):
    state = load_example(name).state
    log = [entry for entry in state["log_history"] if entry["step"] <= step]
    return {**state, "log_history": log, "global_step": step}


def write(folder, step, name="sound", at=None):
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    file = checkpoint / "trainer_state.json"
    file.write_text(json.dumps(state_at(step, name)))
    moment = step if at is None else at
    os.utime(file, (moment, moment))
    return file


def test_each_new_checkpoint_is_replayed_until_the_run_ends(tmp_path):
    steps = iter([300, 600, 1500])
    seen = []

    def job(_seconds):
        write(tmp_path, next(steps))

    for one in replays(tmp_path, Replayer(ReplayOptions()), 1.0, pause=job):
        seen.append((one.record.last_step, one.record.status))
    assert seen == [(300, "running"), (600, "running"), (1500, "finished")]


def test_of_the_checkpoints_that_lie_there_the_best_is_named(tmp_path):
    write(tmp_path, 600)
    write(tmp_path, 1500)
    (one,) = replays(tmp_path, Replayer(ReplayOptions()), 1.0)
    assert (one.keep.step, one.keep.checkpoint) == (975, "checkpoint-1500")


def test_a_file_that_is_half_written_is_read_at_the_next_look(tmp_path):
    file = write(tmp_path, 1500)
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    (one,) = replays(
        tmp_path, Replayer(ReplayOptions()), 1.0, pause=lambda _: file.write_text(whole)
    )
    assert one.record.status == "finished"


def test_the_newest_of_checkpoints_and_reports_is_taken(tmp_path):
    write(tmp_path, 300)
    late = write(tmp_path, 600)
    assert newest(tmp_path) == late
    report = tmp_path / "watch.json"
    report.write_text("{}")
    assert newest(tmp_path) == report
    assert newest(tmp_path / "none") is None


def follow(folder, *more):
    command = [sys.executable, "-m", "hf_ftrisk", "follow", str(folder), "--every", "0.2", *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=os.getcwd()
    )


def test_a_poor_end_is_status_3_and_each_state_a_line_for_a_pipe(tmp_path):
    write(tmp_path, 500, "stopped")
    run = follow(tmp_path, "--goal", "eval_accuracy>=0.4")
    out, _ = run.communicate(timeout=60)
    assert run.returncode == 3
    (line,) = out.splitlines()
    assert line.startswith("step 500 of 500; eval_accuracy 0.129")
    assert line.endswith("ended at 0.125")


def test_on_a_terminal_each_state_is_drawn_anew_in_place_of_the_last(tmp_path):
    write(tmp_path, 300)
    command = [sys.executable, "-m", "hf_ftrisk", "follow", str(tmp_path), "--every", "0.2"]

    def job(shown):
        if "step 300 of 1500" in shown and not (tmp_path / "checkpoint-1500").exists():
            write(tmp_path, 1500)

    text = written(command, "xterm-256color", job)
    clear = "\x1b[2J"
    screens = [part for part in text.split(clear) if "eval_accuracy" in part]
    assert len(screens) == 2
    assert all("┤" in part for part in screens)
    assert "running, step 300 of 1500" in screens[0]
    assert "outcome: 0.926 (good)" in screens[1]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_without_a_traceback(tmp_path):
    write(tmp_path, 300)
    # Tests that run in the background may ignore the signal, and a child would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run = follow(tmp_path, "--json")
    finally:
        signal.signal(signal.SIGINT, before)
    assert json.loads(run.stdout.readline())["last_step"] == 300
    time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "Traceback" not in err
