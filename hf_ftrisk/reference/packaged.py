"""Packaged reference runs: real fine-tunes that serve as prior and calibration.

`runs.parquet` beside this file holds short ones, `long_runs.parquet` runs of real length, each with
what a pre-flight would have seen of it; `provenance.json` and `long_provenance.json` say how they
came about and docs/evidence/reference-runs.md describes them. Neither torch nor pandas is imported.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hf_ftrisk.record import RunRecord
    from hf_ftrisk.reference.pairs import Pair

RUNS_FILE = Path(__file__).with_name("runs.parquet")
LONG_RUNS_FILE = Path(__file__).with_name("long_runs.parquet")
LONG_PROVENANCE_FILE = Path(__file__).with_name("long_provenance.json")
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


@cache
def load_pairs() -> tuple[Pair, ...]:
    """The packaged long runs with their probes, read once per process; empty while none is there.

    ``pair.run`` is a record as `load_reference` returns it; ``pair.run.settings`` names the recipe
    and the fault that was planted.
    """
    if not LONG_RUNS_FILE.is_file():
        return ()
    from hf_ftrisk.reference.pairs import pairs_of
    from hf_ftrisk.reference.table import read_runs

    return pairs_of(read_runs(LONG_RUNS_FILE))
