"""The figures of README and of the pages, drawn from packaged runs, saved reports and tables.

    python -m benchmarks.figures                 # all, into docs/assets
    python -m benchmarks.figures --only trust    # one; with this one README's table too

No benchmark data is needed; `cards` needs a browser. README's run comes from
`benchmarks.figures.held_out`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.figures import cards, concepts, gallery, tables

FIGURES = {**gallery.FIGURES, **cards.FIGURES, **concepts.FIGURES, **tables.FIGURES}


def main() -> None:
    """Draw each figure; its name is that of the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", choices=sorted(FIGURES), action="append")
    parser.add_argument("--folder", type=Path, default=Path("docs/assets"))
    options = parser.parse_args()
    for name in options.only or sorted(FIGURES):
        FIGURES[name](options.folder / f"{name}.png")
        print(name)
    if not options.only or "trust" in options.only:
        tables.readme()


if __name__ == "__main__":
    main()
