"""What completed runs of a task add to a forecast, on runs made here."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import known_runs
from benchmarks.run_tables import Run
from benchmarks.watched import BEGIN, END, write_table
from hf_ftrisk import Forecaster, Goal, RunRecord


@pytest.fixture
def rows(monkeypatch) -> list[str]:
    """Rows of one table: 24 runs of one task, each ending a little elsewhere."""
    # The packaged model knows none of these runs: nothing has to be fitted without them.
    monkeypatch.setattr(known_runs, "held_out_forecaster", lambda *source: Forecaster.default())
    runs = []
    for end in np.linspace(0.7, 0.8, 24):
        steps = np.arange(10, 101, 10)
        values = end - 0.3 * np.exp(-steps / 30)
        record = RunRecord(
            max_steps=100, eval_step=steps, evals={"eval_accuracy": values}, task="t"
        )
        runs.append(Run("a cell", record, Goal("accuracy")))
    return known_runs.rows_by_mark("bert_seeds", runs, (0.2, 0.5))[0]


def cells_of(rows: list[str]) -> dict[tuple[str, str], list[str]]:
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {(cell[1], cell[2]): cell for cell in cells}


def test_forecasts_that_know_runs_of_the_task_err_less_and_hold(rows):
    cells = cells_of(rows)
    for depth in ("20 %", "50 %"):
        warm, last = cells[depth, "warm"], cells[depth, "last value"]
        assert warm[3] == str(known_runs.SPLITS * (24 - known_runs.KNOWN))
        assert float(warm[4]) < float(last[4])
        assert float(warm[6].rstrip("%")) >= 85.0


def test_the_rows_fit_between_the_marks_of_a_page(rows, tmp_path):
    page = tmp_path / "page.md"
    mark = known_runs.MARKS[0]
    page.write_text(f"{BEGIN.format(mark)}\n{END.format(mark)}\n")
    write_table(page, mark, "\n".join([known_runs.HEAD, *rows]))
    assert rows[0] in page.read_text()
