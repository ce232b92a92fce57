"""Processes that are told to end."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from pathlib import Path

from benchmarks.faults.cases import Outcome, started

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
    preflight(
        trainer, "eval_accuracy>=0.8", budget=0.5, history=None, signal_seconds=1, progress=False
    )
"""


def terminated_preflights(rng: random.Random, cases: int) -> Outcome:
    """SIGTERM at a random moment of a pre-flight: it ends by the signal and leaves no folder."""
    outcome = Outcome(cases)
    for _ in range(cases):
        with tempfile.TemporaryDirectory() as folder:
            process = started(_PREFLIGHT, f"{folder}/out", TMPDIR=folder)
            assert process.stdout is not None
            while "ready" not in process.stdout.readline():
                assert process.poll() is None, "the pre-flight did not begin"
            time.sleep(rng.uniform(0.0, 5.0))
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=120)
            leftovers = list(Path(folder).glob("hf_ftrisk_*"))
        if leftovers or process.returncode != -signal.SIGTERM:
            outcome.lost.append(f"{len(leftovers)} folders left, status {process.returncode}")
        else:
            outcome.became["ended by the signal, nothing left"] += 1
    return outcome
