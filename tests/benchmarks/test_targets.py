"""The table of targets: read off the other tables, never typed."""

from pathlib import Path

import pytest

from benchmarks.targets import Pages, percent, tables_of, target_table, text

PAGE = Path(__file__).parents[2] / "docs" / "forecasting.md"


def test_tables_are_read_cell_by_cell():
    page = "words\n\n| a | b c |\n| --- | ---: |\n| 1 | x |\n|  | 2% (3%) |\n\n| a |\n| --- |\n"
    assert tables_of(page) == [[{"a": "1", "b c": "x"}, {"a": "", "b c": "2% (3%)"}]]


def test_the_leading_percentage_of_a_cell_is_read():
    assert percent("97.8% (92% to 100%)") == pytest.approx(97.8)


def test_the_page_shows_what_its_tables_say():
    assert text(Pages()) in PAGE.read_text(encoding="utf-8")


def test_every_target_is_told_and_judged():
    rows = target_table(Pages()).splitlines()[2:]
    assert len(rows) == 9
    assert all(row.endswith(("| reached |", "| not reached |")) for row in rows)


def test_a_missing_table_is_told_with_its_page():
    with pytest.raises(SystemExit, match=r"docs/policy\.md has no row"):
        Pages().rows("policy", ["no such column"], rule="none")
