"""The page of faults survived: what one call measured stands beside what others did."""

from __future__ import annotations

from benchmarks.faults.__main__ import BEGIN, CAMPAIGNS, END, with_rows

FIRST, SECOND = list(CAMPAIGNS)[:2]


def row(name: str, seed: int, cases: int) -> str:
    return f"| {name} | {seed} | {cases} | {cases} read | 0 |"


def test_rows_of_other_seeds_and_campaigns_stay_and_those_of_the_same_are_replaced():
    page = f"before\n{BEGIN}\n\n{END}\nafter\n"
    page = with_rows(page, {FIRST: [row(FIRST, 8, 5)], SECOND: [row(SECOND, 8, 5)]})
    page = with_rows(page, {SECOND: [row(SECOND, 8, 9), row(SECOND, 3, 9)]})
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert rows[2:] == [row(FIRST, 8, 5), row(SECOND, 3, 9), row(SECOND, 8, 9)]
    assert page.startswith("before\n")
    assert page.endswith("after\n")
