"""Fit what the package knows from completed runs and write hf_ftrisk/reference/priors.json.

    python -m benchmarks.fit_priors

How it is fitted: `benchmarks.forecasting.fitting`. What it is worth on runs that it was not fitted
on: `benchmarks.forecast`, which fits it again without them. Only figures are packaged.
"""

from __future__ import annotations

import json
from collections import Counter

from benchmarks import run_tables
from benchmarks.forecasting import fitting
from benchmarks.forecasting.prefixes import all_tables
from hf_ftrisk.forecast.prior import PRIORS_FILE


def main() -> None:
    cases = fitting.cases_of(all_tables())
    counts = Counter(
        case.prefix.table
        for rows in cases.values()
        for case in {(c.prefix.table, c.prefix.run): c for c in rows}.values()
    )
    stored = {
        "provenance": {
            "method": (fitting.__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip(),
            "command": "python -m benchmarks.fit_priors",
            "runs": dict(counts),
            "sources": run_tables.SOURCES,
        },
        "curve": {name: fitting.fit_family(rows) for name, rows in cases.items()},
    }
    PRIORS_FILE.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
