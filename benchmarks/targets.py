"""Targets and what was found, read off the tables that the other benchmarks wrote.

    python -m benchmarks.targets --write docs/forecasting.md

Nothing is measured here: every figure is a cell of docs/forecasting.md, docs/policy.md or
docs/learned.md, or a ratio of two.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.watched import write_table

DOCS = Path(__file__).parent.parent / "docs"
Row = dict[str, str]


@dataclass(frozen=True)
class Target:
    """One row of the table of targets."""

    runs: str
    measure: str
    to_reach: str
    found: str
    reached: bool

    def line(self) -> str:
        verdict = "reached" if self.reached else "not reached"
        return f"| {self.runs} | {self.measure} | {self.to_reach} | {self.found} | {verdict} |"


def tables_of(text: str) -> list[list[Row]]:
    """Every Markdown table of a page, as one dict a row."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        if not inside:
            found.append([])
        inside = True
        found[-1].append([cell.strip() for cell in line.strip().strip("|").split(" | ")])
    return [
        [dict(zip(head, row, strict=False)) for row in rows]
        for head, _, *rows in (table for table in found if len(table) > 2)
    ]


class Pages:
    """The generated tables of the documentation."""

    def __init__(self, folder: Path = DOCS) -> None:
        pages = {name: folder / f"{name}.md" for name in ("forecasting", "policy", "learned")}
        self.tables = {
            name: tables_of(file.read_text(encoding="utf-8")) for name, file in pages.items()
        }

    def rows(self, page: str, columns: Iterable[str], **cells: str) -> list[Row]:
        """Rows of the tables that have these columns, with these cells."""
        asked = {name.replace("_", " "): value for name, value in cells.items()}
        wanted = {*columns, *asked}
        found = [
            row
            for table in self.tables[page]
            if wanted <= set(table[0])
            for row in table
            if all(row[name] == value for name, value in asked.items())
        ]
        if not found:
            raise SystemExit(f"docs/{page}.md has no row with {asked}: run its benchmark first")
        return found

    def error(self, table: str, depth: str, method: str) -> float:
        rows = self.rows("forecasting", ["error"], table=table, depth=depth, method=method)
        return float(rows[0]["error"])

    def ratio(self, table: str, depth: str) -> float:
        """Error of the cold forecast over that of the better of last value and best so far."""
        column = "against the better of last and best"
        rows = self.rows("forecasting", [column], table=table, depth=depth, method="cold")
        return float(rows[0][column].split()[1])

    def coverage(self, method: str) -> list[float]:
        rows = self.rows("forecasting", ["90 % covers"], method=method)
        return [percent(row["90 % covers"]) for row in rows]


def percent(cell: str) -> float:
    """The leading percentage of a cell."""
    return float(cell.partition("%")[0])


def bert_cold(pages: Pages) -> Target:
    ratio = pages.ratio("bert_seeds", "30%")
    return Target(
        "bert_seeds, cold",
        "error at 30 %, ratio to the better of last and best",
        "0.7",
        f"{ratio:.2f}",
        ratio <= 0.7,
    )


def bert_warm(pages: Pages) -> Target:
    over = []
    for row in pages.rows("forecasting", ["warm, 10 known", "sd"], depth="30%"):
        limit = min(float(row["ridge on 10"]), 1.05 * float(row["sd"]))
        if row["at most both"] != "yes":
            over.append(max(float(row["warm, 10 known"]) / limit - 1.0, 0.0))
    beyond = f"; the others by {', '.join(f'{x:.0%}' for x in sorted(over))}" if over else ""
    return Target(
        "bert_seeds, 10 known",
        "error at 30 %: cells at most ridge on 10 and 1.05 sd",
        "6 of 6",
        f"{6 - len(over)} of 6{beyond}",
        not over,
    )


def curves(pages: Pages) -> Target:
    ratios = [
        pages.error("curves", depth, "cold") / pages.error("curves", depth, "last value")
        for depth in ("30%", "50%", "70%")
    ]
    return Target(
        "curves",
        "error at 30 %, ratio to last; not worse at 50 and 70 %",
        "0.85",
        "{:.2f}; {:.2f} and {:.2f}".format(*ratios),
        round(ratios[0], 2) <= 0.85 and max(ratios[1:]) <= 1.0,
    )


def peft(pages: Pages) -> Target:
    errors = [pages.error("peft_metamath", depth, "warm") for depth in ("25%", "50%")]
    return Target(
        "peft_metamath, leave one out",
        "error at 25 and 50 %",
        "4.5, 2.7",
        "{:.2f}, {:.2f}".format(*errors),
        errors[0] <= 4.5 and errors[1] <= 2.7,
    )


def tuneahead(pages: Pages) -> Target:
    error = float(pages.rows("learned", ["RMSE"], method="LearnedPredictor")[0]["RMSE"])
    return Target("tuneahead_sample", "error, 5 folds", "1.14", f"{error:.2f}", error <= 1.14)


def coverage(pages: Pages) -> Target:
    cold, warm, alike = (pages.coverage(m) for m in ("cold", "warm", "cold, sources alike"))
    ranges = [f"{min(x):.0f} to {max(x):.0f} %" for x in (warm, alike, cold)]
    return Target(
        "all",
        "90 % interval covers",
        "85 to 95 %",
        "warm {}; cold over sources {}, by table {}".format(*ranges),
        min(cold + warm) >= 85 and max(cold + warm) <= 95,
    )


def reference_error(pages: Pages) -> Target:
    ratio = pages.ratio("reference_accuracy", "20%")
    return Target(
        "reference runs, data sets left out",
        "accuracy, error at 20 %, ratio to the better of last and best",
        "0.5",
        f"{ratio:.2f}",
        ratio <= 0.5,
    )


def held_out(pages: Pages, rate: str, until: str) -> tuple[float, float]:
    """Good runs kept and poor ones stopped, accuracies by their baseline, per cent."""
    cells = {"metric": "eval_accuracy", "goals": "baseline", "allowed": rate}
    (row,) = pages.rows("policy", ["looks up to"], **cells, looks_up_to=until)
    return percent(row["kept (95 %)"]), percent(row["stopped (95 %)"])


def reference_stops(pages: Pages) -> Target:
    early = {rate: held_out(pages, rate, "20%") for rate in ("0.05", "0.1")}
    whole = {rate: held_out(pages, rate, "100%") for rate in ("0.05", "0.1")}
    told = [
        f"at {rate}: {early[rate][1]:.0f} and {early[rate][0]:.0f} %, by the end "
        f"{whole[rate][1]:.0f} and {whole[rate][0]:.0f} %"
        for rate in early
    ]
    return Target(
        "the same",
        "poor runs stopped and good ones kept by 20 % of the run, at an allowed rate",
        "60 and 95 %",
        "; ".join(told),
        any(stopped >= 60 and kept >= 95 for kept, stopped in early.values()),
    )


COLD, WARM = "the rule, cold forecasts", "the rule, forecasts from the 40 (20 splits)"


def unstable(pages: Pages) -> Target:
    told, reached = [], False
    for name, rule in (("cold", COLD), ("warm", WARM)):
        rows = pages.rows("policy", ["good runs kept"], rule=rule, allowed="0.1")
        kept = [percent(row["good runs kept"]) for row in rows]
        saved = [percent(row["steps saved (80 % of splits)"]) for row in rows]
        told.append(
            f"{name} {' and '.join(f'{x:.0f}' for x in kept)} %, "
            f"{' and '.join(f'{x:.0f}' for x in saved)} %"
        )
        reached |= min(kept) >= 90 and sum(saved) / len(saved) >= 15
    return Target(
        "bert_seeds, unstable cells, rate 0.1",
        "good runs kept; steps saved",
        "90 %; 15 % on average",
        "; ".join(told),
        reached,
    )


TARGETS = (
    bert_cold,
    bert_warm,
    curves,
    peft,
    tuneahead,
    coverage,
    reference_error,
    reference_stops,
    unstable,
)


def target_table(pages: Pages) -> str:
    head = ["| table | measure | to reach | found | |", "| --- | --- | --- | --- | --- |"]
    return "\n".join(head + [target(pages).line() for target in TARGETS])


def markdown(rows: Sequence[Row]) -> str:
    """A table of some rows of the pages, as they stand there."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def text(pages: Pages) -> str:
    held = [
        row
        for row in pages.rows("policy", ["looks up to"], looks_up_to="100%")
        if row["goals"] in ("all", "baseline")
    ]
    return "\n\n".join(
        [
            target_table(pages),
            "Tables of features (tuneahead_sample, from [learned](learned.md)):",
            markdown(pages.rows("learned", ["method", "RMSE"])),
            "What stopping saves and keeps, seeds of one task and data sets left out "
            "(from [policy](policy.md)):",
            markdown(pages.rows("policy", ["good runs kept", "rule"])),
            markdown(held),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="the page that has marks for the tables")
    options = parser.parse_args()
    found = text(Pages())
    print(found)
    if options.write:
        write_table(options.write, "targets", found)


if __name__ == "__main__":
    main()
