"""Completed runs as a stopping rule sees them: P(good) at every look, and how they ended."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from benchmarks.run_tables import Run
from hf_ftrisk.forecast.distribution import Predictor
from hf_ftrisk.forecast.features import began_far_below
from hf_ftrisk.goal import Goal
from hf_ftrisk.policy.calibration import MIN_PROB, look_forecasts, look_scores
from hf_ftrisk.policy.rule import POOR_PROBABILITY

BEGIN, END = "<!-- {}: begin -->", "<!-- {}: end -->"
# Tables longer than this go into a file; so many of their rows stay on the page.
MAX_ROWS, SHOWN_ROWS = 40, 12
# (good, progress at which it was stopped) of each run.
Judged = list[tuple[bool, float | None]]


@dataclass(frozen=True)
class Watched:
    """One completed run as the rule sees it.

    Args:
        group: cell or data set.
        good: whether it ended well.
        progress: (n_looks,) share of the run at each look.
        prob: (n_looks,) P(good) at each look.
        before: P(good) before the run.
        last: (n_looks,) last value of the goal metric, greater is better; NaN before the first.
        name: distinguishes the runs of a group.
        judged: how the goal was set: ``"baseline"``, or the share of good runs that reach it.
        far_below: whether it began far below its baseline: packaged runs do not judge it.
        table: where it comes from, where that matters.
    """

    group: str
    good: bool
    progress: np.ndarray
    prob: np.ndarray
    before: float
    last: np.ndarray
    name: str = ""
    judged: str = "baseline"
    far_below: bool = False
    table: str = ""

    @property
    def relative(self) -> np.ndarray:
        """P(good) as a share of P(good) before the run, (n_looks,); at most 1, as it was then."""
        prob, before = (np.maximum(p, MIN_PROB) for p in (self.prob, self.before))
        return np.asarray(np.minimum(prob / before, 1.0))

    @property
    def scores(self) -> np.ndarray:
        """Scores (n_looks,) as the rule takes them."""
        return look_scores(self.prob, self.progress)


def watch(run: Run, forecaster: Predictor, goals: Iterable[tuple[str, Goal]]) -> list[Watched]:
    """The run judged by each of the goals, all from the same forecasts."""
    record, bare = run.record, run.goal
    baseline = record.baseline(bare)
    steps, forecasts = look_forecasts(record, bare, forecaster)
    before = forecaster.predict(record.prefix(0), bare)
    sign = 1.0 if bare.greater_is_better else -1.0
    at, values = record.curve(bare.metric)
    last = [
        sign * float(values[at <= step][-1]) if np.any(at <= step) else np.nan for step in steps
    ]
    return [
        Watched(
            group=run.group,
            good=goal.meets(run.outcome, baseline),
            progress=steps / record.max_steps,
            prob=np.array([forecast.prob_meets(goal, baseline) for forecast in forecasts]),
            before=before.prob_meets(goal, baseline),
            last=np.array(last),
            name=f"{record.settings.get('setting_id')} {record.seed}",
            judged=name,
            far_below=began_far_below(record, bare),
        )
        for name, goal in goals
    ]


def stopped_at(run: Watched, scores: np.ndarray, threshold: float | None) -> float | None:
    """Share of the run at its first look that would end it, None if none does.

    Args:
        run: the run.
        scores: (n_looks,) scores of its looks.
        threshold: score strictly below which a run predicted to be poor is stopped.
    """
    if threshold is None:
        return None
    poor = (scores < threshold) & (run.prob < POOR_PROBABILITY)
    places = np.flatnonzero(poor)
    return float(run.progress[places[0]]) if places.size else None


def stopped_by_packaged(run: Watched, scores: np.ndarray, threshold: float | None) -> float | None:
    """`stopped_at` by the threshold of runs of other tasks."""
    return None if run.far_below else stopped_at(run, scores, threshold)


def share_of(flags: Sequence[bool]) -> float:
    return float(np.mean(flags)) if flags else float("nan")


def measures(results: Judged) -> tuple[float, float, float]:
    kept = share_of([stop is None for good, stop in results if good])
    stopped = share_of([stop is not None for good, stop in results if not good])
    saved = np.mean([1.0 - stop if stop is not None else 0.0 for _, stop in results])
    return kept, stopped, float(saved)


def write_table(page: Path, name: str, table: str) -> None:
    """Put a table, or several, between marks on a page; a long one into a file that the page links.

    Args:
        page: the page.
        name: of the marks, and of the file ``tables/NAME.csv`` beside the page.
        table: Markdown, the worst rows first.

    Raises:
        ValueError: a long table beside others.
    """
    begin, end = BEGIN.format(name), END.format(name)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    is_row = groupby(table.splitlines(), key=lambda line: line.startswith("|"))
    tables = [list(lines) for inside, lines in is_row if inside]
    rows = max(tables, key=len, default=[])
    if len(rows) - 2 > MAX_ROWS:
        if len(tables) > 1:
            raise ValueError(
                f"{len(tables)} tables between the marks {name!r}, one of {len(rows) - 2} rows: "
                f"give one of more than {MAX_ROWS} rows marks of its own"
            )
        _write_csv(page.parent / "tables" / f"{name}.csv", rows)
        link = f"[All {len(rows) - 2} rows](tables/{name}.csv), the first {SHOWN_ROWS} here:"
        notes = [line for line in table.partition(rows[0])[0].splitlines() if line]
        table = "\n\n".join([*notes, link, "\n".join(rows[: 2 + SHOWN_ROWS])])
    page.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def _write_csv(file: Path, rows: Sequence[str]) -> None:
    file.parent.mkdir(exist_ok=True)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    with file.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target, lineterminator="\n").writerows([cells[0], *cells[2:]])
