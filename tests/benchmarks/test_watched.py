"""Tables that are written between the marks of a page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import preflight_decisions
from benchmarks.watched import BEGIN, END, MAX_ROWS, SHOWN_ROWS, write_table

PREFLIGHT = Path(__file__).parents[2] / "docs" / "evidence" / "preflight.md"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page.md"
    file.write_text(f"before\n{BEGIN.format('x')}\nold\n{END.format('x')}\nafter\n")
    return file


def rows(n: int) -> str:
    return "\n".join(["| a | b |", "|---|---|", *(f"| {i} | {i} |" for i in range(n))])


def test_a_page_whose_verdicts_are_as_before_stays_byte_for_byte(tmp_path, monkeypatch, capsys):
    copy = Path(shutil.copy(PREFLIGHT, tmp_path))
    begin, end = BEGIN.format("decisions"), END.format("decisions")
    text = copy.read_text(encoding="utf-8").split(f"{begin}\n")[1].split(f"\n\n{end}")[0]
    # What takes hours is left out: the tables are those of the page.
    monkeypatch.setattr(preflight_decisions, "seen", lambda shards: ({}, []))
    monkeypatch.setattr(preflight_decisions, "judged", lambda *given: {})
    monkeypatch.setattr(preflight_decisions, "recorded_last", frozenset)
    monkeypatch.setattr(preflight_decisions, "page", lambda *given: text)
    preflight_decisions.main(["--write", str(copy)])
    assert copy.read_bytes() == PREFLIGHT.read_bytes()
    assert capsys.readouterr().out == f"{text}\n"


def test_several_short_tables_stay_on_the_page(page):
    text = f"{rows(MAX_ROWS)}\n\n{rows(MAX_ROWS)}"
    write_table(page, "x", text)
    assert text in page.read_text()
    assert not (page.parent / "tables").exists()


def test_a_long_table_goes_into_a_file_that_the_page_links(page):
    write_table(page, "x", rows(MAX_ROWS + 1))
    shown = page.read_text()
    assert f"[All {MAX_ROWS + 1} rows](tables/x.csv)" in shown
    assert rows(SHOWN_ROWS) in shown
    assert len((page.parent / "tables" / "x.csv").read_text().splitlines()) == MAX_ROWS + 2


def test_a_long_table_beside_others_is_refused(page):
    with pytest.raises(ValueError, match="2 tables between the marks 'x', one of 41 rows"):
        write_table(page, "x", f"{rows(2)}\n\n{rows(MAX_ROWS + 1)}")
