"""README is short, and its table is that of the evidence page."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures.tables import rows_of

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"


def test_the_readme_has_120_lines_at_most():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


def test_the_table_has_every_row_of_the_evidence_page_in_its_order():
    shown = rows_of(README, "forecast")
    page = rows_of(ROOT / "docs" / "evidence" / "forecasting.md", "forecast")
    assert [row[:2] for row in shown] == [row[:2] for row in page]
    depths = [cell.split(" / ")[1:5] for cell in (row[2] for row in page)]
    assert [row[2].split(" / ") for row in shown] == depths, "python -m benchmarks.figures"
