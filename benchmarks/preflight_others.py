"""Verdicts of a pre-flight on tasks beyond the class of a text: what a rule of their own is worth.

    python -m benchmarks.preflight_others --shards recordings --write docs/evidence/preflight.md

Taggers, regressions, rows with several labels, language models and encoder-decoders, each data set
judged by a rule that was fitted without it, as `benchmarks.preflight_decisions` does for classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.decisions.examples import Example, examples_of
from benchmarks.decisions.fitting import OTHERS_PRIOR, calibrated_without
from benchmarks.decisions.sources import knowing_none, other_runs
from benchmarks.preflight_decisions import Judged, by_kind, judged_by, summary
from benchmarks.watched import write_table

BUDGETS = (0.02, 0.05, 0.1)
_NO_SHARDS = Path("benchmarks/recordings/none")
_TASKS = {
    "tokens": "classes of tokens",
    "regression": "numbers",
    "multilabel": "several labels",
    "causal_lm": "language models, LoRA",
    "seq2seq": "encoder-decoders from scratch",
}


def seen(shards: Path) -> dict[float, list[Example]]:
    """Budget -> every example of a run at that depth."""
    return {depth: examples_of(list(other_runs(depth, shards)), knowing_none) for depth in BUDGETS}


def judged(at: Mapping[float, Sequence[Example]]) -> dict[float, list[Judged]]:
    """Budget -> examples, judged by rules that know no run of their data set."""
    known = [example for examples in at.values() for example in examples]
    rules = calibrated_without(known, sorted({e.dataset for e in known}), OTHERS_PRIOR)
    return {
        depth: [judged_by(rules[example.dataset], example) for example in examples]
        for depth, examples in at.items()
    }


def by_task(rows: Sequence[Judged]) -> list[str]:
    """Lines of the table over kinds of task, the least decided first."""
    return by_kind(rows, lambda row: _TASKS[str(row.example.record.settings["kind"])], "task")


def page(by_budget: dict[float, list[Judged]]) -> str:
    """The tables as Markdown."""
    rows = by_budget[0.05]
    runs = {row.example.run_id for row in rows}
    settings = {row.example.setting for row in rows if row.example.good}
    sets = {row.example.dataset for row in rows}
    return "\n".join(
        [
            f"{len(runs)} runs on {len(sets)} data sets, {len(settings)} settings with a goal that "
            "was met; goals as above, a language model's targets between the loss of its tokens' "
            "frequencies and the best one reached.",
            "",
            *summary(by_budget),
            "",
            "At 5 %, by task, and by what was wrong with the run:",
            "",
            *by_task(rows),
            "",
            *by_kind(rows),
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shards", type=Path, default=_NO_SHARDS, help="shards not packed yet")
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args(arguments)
    text = page(judged(seen(options.shards)))
    print(text)
    if options.write:
        write_table(options.write, "others", text)


if __name__ == "__main__":
    main()
