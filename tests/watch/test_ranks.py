"""Two real processes: one decision, at one step, whatever happens on one of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


FAULTS = ["fault in a step on rank 1", "fault at the start on rank 1", "fault in a look on rank 0"]
CASES = ["unwatched", "usual", "accumulated", "poor", "lost on rank 1", *FAULTS]
Seen = dict[str, tuple[dict[str, Any], dict[str, Any]]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """What each of the two ranks saw, case -> (rank 0, rank 1); one launch for all."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command += ["--standalone", "-m", "tests.watch.two_ranks", str(folder), *CASES]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    return {case: (first[case], second[case]) for case in CASES}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["usual", "accumulated"])
def test_losses_are_the_mean_over_the_ranks(seen: Seen, case: str):
    first, second = seen[case]
    assert first["losses"] == second["losses"]
    np.testing.assert_allclose(first["losses"], first["logged"], rtol=1e-5)
    np.testing.assert_allclose(first["norms"], first["logged_norms"], rtol=1e-5)
    assert len(first["losses"]) == 40


@pytest.mark.slow
def test_weights_are_those_of_a_run_without_the_callback(seen: Seen):
    first, second = seen["usual"]
    assert first["weights"] == second["weights"] == seen["unwatched"][0]["weights"]


@pytest.mark.slow
@pytest.mark.parametrize(("case", "step"), [("poor", 10), ("lost on rank 1", 16)])
def test_a_stop_is_the_same_on_all_ranks(seen: Seen, case: str, step: int):
    first, second = seen[case]
    assert first["stopped_at"] == second["stopped_at"] == step
    assert first["steps"] == second["steps"] == step
    assert first["reasons"] == second["reasons"]
    assert first["weights"] == second["weights"]


@pytest.mark.slow
@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_on_one_rank_ends_the_watching_on_all(seen: Seen, case: str):
    first, second = seen[case]
    assert first["steps"] == second["steps"] == 40
    assert first["weights"] == second["weights"] == seen["unwatched"][0]["weights"]
