"""A ranking in words: the table for a terminal and for a card, and the sentence above it."""

from __future__ import annotations

import math

from hf_ftrisk.choosing.entries import Entry, Ranked
from hf_ftrisk.redaction import clean_text
from hf_ftrisk.text import percent

HEAD = (
    "candidate",
    "P(best)",
    "forecast (90 %)",
    "expected regret",
    "trained",
    "cost so far",
    "cost to finish",
    "why",
)


def sentence(ranking: Ranked) -> str:
    """What was chosen among how many, by probes of which depth."""
    best = ranking.best
    probed_entries = [entry for entry in ranking.entries if entry.forecast is not None]
    if best is None:
        return f"None of {len(ranking.entries)} candidates can be chosen."
    shares = [entry.share for entry in probed_entries]
    low, high = min(shares), max(shares)
    same = round(low, 2) == round(high, 2)
    depth = percent(low) if same else f"{percent(low)} to {percent(high)}"
    return (
        f"{best.name} chosen among {len(ranking.entries)} by probes of {depth} of a run: its "
        f"chance to be the best by {ranking.goal.metric} is {percent(best.prob_best)}. Cost: "
        f"{percent(ranking.spent)} of what all full runs cost."
    )


def rows(ranking: Ranked) -> list[tuple[str, ...]]:
    """Cells (n_candidates, 8) under `HEAD`."""
    return [_row(entry, ranking) for entry in ranking.entries]


def lines(ranking: Ranked) -> list[str]:
    """The table for a terminal, columns aligned."""
    table = [HEAD, *rows(ranking)]
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    cells = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return [sentence(ranking), "", *cells, *(["", *ranking.notes] if ranking.notes else [])]


def markdown(ranking: Ranked) -> str:
    """The section of a card; of faults without what should stay on this machine."""
    cleaned = [(*row[:-1], clean_text(row[-1])) for row in rows(ranking)]
    table = [HEAD, ("---",) * len(HEAD), *cleaned]
    body = "\n".join("| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in table)
    notes = "".join(f"\n- {_escaped(note)}" for note in ranking.notes)
    return f"### Choice among candidates\n\n{_escaped(sentence(ranking))}\n\n{body}\n{notes}"


def _row(entry: Entry, ranking: Ranked) -> tuple[str, ...]:
    forecast = "-"
    if entry.forecast is not None:
        low, high = entry.forecast.interval(0.9)
        forecast = f"{entry.forecast.median:.4g} ({low:.4g} to {high:.4g})"
    regret = "-"
    if entry.expected_regret is not None:
        loss = ranking.goal.kind == "loss"
        regret = percent(entry.expected_regret, ".1f") if loss else f"{entry.expected_regret:.3g}"
    failed = entry.status == "failed"
    return (
        entry.name,
        "-" if failed or entry.forecast is None else percent(entry.prob_best),
        forecast,
        regret,
        percent(entry.share),
        _cost(entry.spent, ranking.unit),
        "-" if failed else _cost(entry.to_come, ranking.unit),
        entry.decided_by,
    )


def _cost(value: float, unit: str) -> str:
    if unit == "steps":
        return f"{math.ceil(value - 1e-9):,} steps"
    if unit == "seconds":
        return f"{value:,.1f} s"
    return f"{value:,.2f} {unit}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
