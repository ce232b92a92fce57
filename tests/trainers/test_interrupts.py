"""Signals: held back while things are put back, ignored where they are, ending what they end."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from hf_ftrisk.history import RunHistory
from hf_ftrisk.report import RiskReport
from hf_ftrisk.trainers.interrupts import interrupts_held, terminations_unwound

ROOT = Path(__file__).parents[2]


@pytest.fixture
def handled():
    """The numbers of signals that a handler of somebody else's was called with."""
    seen = []
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    for number in kept:
        signal.signal(number, lambda number, _: seen.append(number))
    yield seen
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_held_signal_reaches_its_handler_at_the_end(handled, number):
    with interrupts_held():
        signal.raise_signal(number)
        assert handled == []
    assert handled == [number]
    signal.raise_signal(number)
    assert handled == [number, number]


def test_a_signal_that_is_ignored_stays_ignored(handled):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_handler_of_somebody_elses_keeps_its_termination(handled):
    theirs = signal.getsignal(signal.SIGTERM)
    with terminations_unwound():
        assert signal.getsignal(signal.SIGTERM) is theirs
        signal.raise_signal(signal.SIGTERM)
    assert handled == [signal.SIGTERM]


def test_in_another_thread_nothing_is_held(handled):
    def work():
        with interrupts_held(), terminations_unwound():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handled == []


def ended(code, *arguments, after=None, env=None, ready=b"ready"):
    """How a process ends that gets SIGTERM `after` seconds from when it says that it is ready."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | (env or {}),
    ) as process:
        while after is not None and ready not in process.stdout.readline():
            assert process.poll() is None, process.stderr.read().decode()
        if after is not None:
            time.sleep(after)
            process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=120)
    return process.returncode, out.decode(), errors.decode()


_UNWINDS = """
import time
import warnings
from hf_ftrisk.history import RunHistory
from hf_ftrisk.report import RiskReport
from hf_ftrisk.trainers.interrupts import interrupts_held, terminations_unwound
with terminations_unwound():
    try:
        print("ready", flush=True)
        try:
            time.sleep(60)
        except BaseException as error:
            print("on the way:", type(error).__name__, flush=True)
            if {swallow}:
                time.sleep(0)
            else:
                raise
    finally:
        with interrupts_held():
            print("put back", flush=True)
print("went on", flush=True)
"""


@pytest.mark.parametrize("swallow", [False, True])
def test_sigterm_unwinds_and_then_ends_the_process_by_the_signal(swallow):
    status, out, errors = ended(_UNWINDS.format(swallow=swallow), after=0.1)
    assert status == -signal.SIGTERM
    assert out.splitlines() == ["on the way: TerminatedError", "put back"]
    assert errors == ""


_PREFLIGHT = """
import sys
from pathlib import Path
import torch
from hf_ftrisk import preflight
from tests.probing.models import bert_trainer
torch.set_num_threads(1)
trainer = bert_trainer(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    preflight(trainer, "eval_accuracy>=0.8", budget=0.5, signal_seconds=1)
"""


@pytest.mark.slow
def test_sigterm_during_a_preflight_leaves_no_folder(tmp_path):
    moments = random.Random(0)
    for number in range(4):
        temporary = tmp_path / str(number)
        temporary.mkdir()
        after = moments.uniform(0.0, 4.0)
        env = {"TMPDIR": str(temporary)}
        status, _, errors = ended(_PREFLIGHT, tmp_path / "out", after=after, env=env)
        assert status == -signal.SIGTERM, errors
        assert list(temporary.glob("hf_ftrisk_*")) == [], after


_WATCHED = """
import sys
from pathlib import Path
import torch
from hf_ftrisk import FineTuneRiskCallback
from tests.watch.tiny import bert_trainer
torch.set_num_threads(1)
folder = Path(sys.argv[1])
number = 0
while True:
    watch = FineTuneRiskCallback(
        "eval_accuracy>=0.1", action="warn", history=folder / "runs.db", report_dir=folder
    )
    trainer = bert_trainer(folder, callbacks=[watch], seed=number)
    trainer.train()
    number += 1
    print("ready" if number == 1 else number, flush=True)
"""


@pytest.mark.slow
def test_sigterm_during_a_watched_run_leaves_report_and_history_whole(tmp_path):
    after = random.Random(1).uniform(0.0, 2.0)
    status, _, errors = ended(_WATCHED, tmp_path, after=after)
    assert status == -signal.SIGTERM, errors
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(RunHistory(tmp_path / "runs.db").records()) >= 1
    reports = [RiskReport.load(file) for file in tmp_path.glob("watch*.json")]
    assert "finished" in {report.run.status for report in reports}
