"""Packaged reference runs: real fine-tunes that serve as prior and calibration.

`runs.parquet` beside this file holds them, `provenance.json` says how they came about;
docs/reference-runs.md describes them. Neither torch nor pandas is imported.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_ftrisk.record import RunRecord

RUNS_FILE = Path(__file__).with_name("runs.parquet")
PROVENANCE_FILE = Path(__file__).with_name("provenance.json")


@cache
def load_reference() -> tuple[RunRecord, ...]:
    """The packaged runs, read once per process; empty while none is packaged.

    ``record.task`` names data set x model x method, ``record.settings`` holds the rest (learning
    rate, training rows, label noise, ...); ``record.settings["setting_id"]`` is shared by the
    seeds of one setting.
    """
    if not RUNS_FILE.is_file():
        return ()
    from hf_ftrisk.reference.table import read_runs

    return tuple(run.record for run in read_runs(RUNS_FILE))
