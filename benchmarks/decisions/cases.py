"""What the rule of a pre-flight is fitted on: the parts of a probe, and whether the run was good.

The packaged rule's cases are kept in the repository: forecasts of probes come from models that take
all completed runs to fit, and data that is not in the repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hf_ftrisk.policy.parts.parts import Parts, part_names

CASES_FILE = Path(__file__).parent / "cases.parquet"
OTHER_CASES_FILE = Path(__file__).parent / "other_cases.parquet"
_DIGITS = 4


@dataclass(frozen=True)
class Case:
    """One run judged by one goal.

    Args:
        parts: what a pre-flight saw.
        good: whether the full run met the goal.
        dataset: its data set, by which cases are held out.
        run_id: stable name of the run.
        steps: planned steps of the full run.
    """

    parts: Parts
    good: bool
    dataset: str
    run_id: str
    steps: int

    @property
    def setting(self) -> str:
        """The run's setting: repeated seeds stand or fall together."""
        return self.run_id.rpartition("-s")[0]


def case_columns(cases: Sequence[Case]) -> dict[str, list[object]]:
    """Columns of a table of cases, their parts to four decimals."""
    values = zip(*(astuple(case.parts) for case in cases), strict=True)
    columns: dict[str, list[object]] = {
        name: [None if value is None else round(value, _DIGITS) for value in part]
        for name, part in zip(part_names(), values, strict=True)
    }
    columns["good"] = [bool(case.good) for case in cases]
    for name in ("dataset", "run_id", "steps"):
        columns[name] = [getattr(case, name) for case in cases]
    return columns


def write_columns(columns: dict[str, list[object]], file: Path) -> None:
    """Write a table of cases."""
    pq.write_table(pa.table(columns), file, compression="zstd")


def case_of_row(row: dict[str, Any]) -> dict[str, Any]:
    """Fields of the case in a row of such a table."""
    return {
        "parts": Parts(**{name: row[name] for name in part_names()}),
        **{name: row[name] for name in ("good", "dataset", "run_id", "steps")},
    }


def write_cases(cases: Sequence[Case], file: Path = CASES_FILE) -> None:
    """Keep cases."""
    write_columns(case_columns(cases), file)


def read_cases(file: Path = CASES_FILE) -> list[Case]:
    """The cases that `write_cases` kept."""
    return [Case(**case_of_row(row)) for row in pq.read_table(file).to_pylist()]
