"""Faults survived: hostile input and killed processes, how often, and what was lost.

    python -m benchmarks.faults --seed 0 --seed 1 --write docs/evidence/faults.md

Each campaign draws its cases from the seed, and counts what came of them and what was lost: a run
that had been acknowledged, a line of somebody's card, a file that was not kept, a secret that got
out, an exception that is no clear refusal. The property tests named ``hostile`` hold the same with
fixed cases; ``make fuzz`` looks at others.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

from benchmarks.faults.cases import Campaign
from benchmarks.faults.documents import changed_reports, changed_states
from benchmarks.faults.histories import changed_parquet, damaged_histories, killed_writers
from benchmarks.faults.ranks import killed_ranks
from benchmarks.faults.signals import terminated_preflights
from benchmarks.faults.texts import hidden_secrets, mixed_cards

BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"

CAMPAIGNS: dict[str, tuple[Campaign, int]] = {
    "writers of a history killed": (killed_writers, 16),
    "histories with bytes written over": (damaged_histories, 150),
    "Parquet files with bytes changed": (changed_parquet, 300),
    "trainer states with values changed": (changed_states, 1000),
    "reports with a field changed": (changed_reports, 300),
    "cards with our marks and keys anywhere": (mixed_cards, 300),
    "texts with secrets": (hidden_secrets, 1000),
    "pre-flights terminated": (terminated_preflights, 4),
    "one of two ranks killed": (killed_ranks, 20),
}


HEAD = [
    "| what was tried | seed | how often | what became of it | lost |",
    "|---|--:|--:|---|--:|",
]


def measure(names: list[str], seeds: list[int], share: float) -> tuple[dict[str, list[str]], int]:
    """Campaign -> its rows of the page, and how much was lost in all of them."""
    rows: dict[str, list[str]] = {name: [] for name in names}
    lost = 0
    for name in names:
        campaign, cases = CAMPAIGNS[name]
        for seed in seeds:
            outcome = campaign(random.Random(f"{name}{seed}"), max(2, round(cases * share)))
            became = ", ".join(f"{count:,} {word}" for word, count in outcome.became.most_common())
            row = f"| {name} | {seed} | {outcome.cases:,} | {became} | {len(outcome.lost)} |"
            print(row, flush=True)
            for item in outcome.lost[:5]:
                print(f"  LOST {item}", file=sys.stderr)
            rows[name].append(row)
            lost += len(outcome.lost)
    return rows, lost


def with_rows(page: str, rows: dict[str, list[str]]) -> str:
    """The page with these rows; those of other campaigns and other seeds stay as they are."""
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    table = list(HEAD)
    for name in CAMPAIGNS:
        lines = [line for line in old.splitlines() if line.startswith(f"| {name} |")]
        by_seed = {_seed(line): line for line in [*lines, *rows.get(name, [])]}
        table += [by_seed[seed] for seed in sorted(by_seed)]
    return before + "\n".join([BEGIN, "", *table, "", END]) + after


def _seed(row: str) -> int:
    """The second cell of a row."""
    return int(row.split("|")[2])


def main() -> None:
    """Run the campaigns with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seed", type=int, action="append", help="repeat for several; default 0, 1"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the number of cases")
    parser.add_argument("--only", choices=CAMPAIGNS, action="append", help="repeat for several")
    parser.add_argument("--write", type=Path, help="page whose rows of these seeds to replace")
    options = parser.parse_args()
    rows, lost = measure(options.only or list(CAMPAIGNS), options.seed or [0, 1], options.share)
    if options.write is not None:
        page = options.write.read_text(encoding="utf-8")
        options.write.write_text(with_rows(page, rows), encoding="utf-8")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
