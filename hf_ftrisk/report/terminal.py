"""Reports on a terminal, with rich.

A report may come from elsewhere: characters in it that command a terminal are not printed.
"""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hf_ftrisk.report.report import RiskReport
from hf_ftrisk.report.wording import rows, told_reasons
from hf_ftrisk.text import printable
from hf_ftrisk.verdict import Verdict

_COLORS = {Verdict.GO: "green", Verdict.NO_GO: "red", Verdict.UNDECIDED: "yellow"}


# Characters of one reason, note or diagnosis, and number of them, that are shown at most.
_MAX_TEXT = 4000
_MAX_ITEMS = 200


def _bullets(title: str, items: list[str]) -> list[RenderableType]:
    if not items:
        return []
    bullets = [Text(f"- {printable(item, _MAX_TEXT)}") for item in items[:_MAX_ITEMS]]
    return [Text(f"\n{title}", style="bold"), *bullets]


def render_report(report: RiskReport, title: str | None = None) -> RenderableType:
    """The report as a rich panel: rows, reasons, diagnoses, notes."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for row in rows(report):
        style = _COLORS[report.verdict] if row.part == "verdict" else ""
        table.add_row(row.label, Text(printable(row.text, _MAX_TEXT), style=style))
    parts: list[RenderableType] = [table]
    parts += _bullets("Why", told_reasons(report))
    parts += _bullets(
        "Diagnoses", [f"{d.name}: {d.message} {d.advice}".strip() for d in report.diagnoses]
    )
    parts += _bullets("Notes", list(report.notes))
    heading = title or ("Pre-flight" if report.stage == "preflight" else "Watched run")
    return Panel(Group(*parts), title=heading, title_align="left", border_style="dim")


def show_report(
    report: RiskReport, title: str | None = None, console: Console | None = None
) -> None:
    """Print the report."""
    (console or Console()).print(render_report(report, title))
