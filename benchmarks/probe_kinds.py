"""Which probe tells more about a run's end: its beginning, a jump to the peak, a miniature of it.

    python -m benchmarks.probe_kinds                                  # the table
    python -m benchmarks.probe_kinds --write docs/reference-runs.md   # and into the page

From the long runs in benchmarks/recordings: each simple feature of what was seen at 2, 5 and 10 %
of the steps, as a score for "the run ends well" (`benchmarks.longruns.summary.is_good`), by the
area under its ROC curve; 90 % intervals from resampling data sets. Nothing is fitted, so nothing
needs to be held out.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.longruns.plan import plan
from benchmarks.longruns.store import read_packed
from benchmarks.longruns.summary import goal_of, is_good
from benchmarks.recording.summary import replace_block
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.pairs import Pair, pairs_of

DEPTHS = (0.02, 0.05, 0.1)
BLOCK = "probe kinds"
_RESAMPLES = 1000


def seen(pair: Pair, kind: str, depth: float) -> RunRecord | None:
    """What a probe of this kind and depth saw; None where it was not recorded."""
    steps = round(depth * pair.run.max_steps)
    if kind == "beginning":
        return pair.run.prefix(steps)
    if kind == "jump":
        longest = max((d for k, d in pair.probes if k == "jump"), default=0.0)
        return pair.probes["jump", longest].prefix(steps) if longest >= depth else None
    return pair.probes.get((kind, depth))


def loss_below_trivial(record: RunRecord) -> float:
    """Trivial evaluation loss less the last one seen, as a share."""
    return _last(record, "eval_loss", -1) / record.baselines["eval_loss"]


def metric_above_trivial(record: RunRecord) -> float:
    """The goal's metric above its trivial value, the better way up."""
    goal = goal_of(record)
    return _last(record, goal.metric, 1 if goal.greater_is_better else -1)


def _last(record: RunRecord, metric: str, sign: int) -> float:
    value = record.evals[metric][-1]
    return sign * (value - record.baselines[metric]) if np.isfinite(value) else -np.inf


def loss_fall(record: RunRecord) -> float:
    """Fall of the evaluation loss since the start, as a share of the trivial one."""
    losses = record.evals["eval_loss"]
    fall = (losses[0] - losses[-1]) / record.baselines["eval_loss"]
    return float(fall) if np.isfinite(fall) else -np.inf


def train_loss_below_trivial(record: RunRecord) -> float:
    """Trivial loss less the mean training loss of the last fifth seen, as a share."""
    tail = record.train_loss[-max(record.train_loss.size // 5, 1) :]
    share = 1 - np.mean(tail) / record.baselines["eval_loss"]
    return float(share) if np.isfinite(share) else -np.inf


FEATURES: dict[str, Callable[[RunRecord], float]] = {
    "eval loss below trivial": loss_below_trivial,
    "metric above trivial": metric_above_trivial,
    "fall of the eval loss": loss_fall,
    "train loss below trivial": train_loss_below_trivial,
}
KINDS = {
    "beginning": "the run's own beginning",
    "jump": "jump to the peak",
    "squeezed": "squeezed",
}


def auc(scores: np.ndarray, good: np.ndarray) -> float:
    """Chance that a good run scores above a poor one, ties half; NaN without both.

    Args:
        scores: (n,) scores, infinities allowed.
        good: (n,) booleans.
    """
    above = scores[good][:, None] > scores[~good][None, :]
    equal = scores[good][:, None] == scores[~good][None, :]
    return float(np.mean(above + 0.5 * equal)) if above.size else float("nan")


@dataclass(frozen=True)
class Row:
    """One feature of one kind of probe at one depth."""

    feature: str
    kind: str
    depth: float
    value: float
    low: float
    high: float


def rows(pairs: Sequence[Pair]) -> list[Row]:
    """Areas under the ROC curve, on the pairs that every kind of probe has seen."""
    good = np.array([is_good(pair.run) for pair in pairs])
    groups: dict[str, list[int]] = defaultdict(list)
    for i, pair in enumerate(pairs):
        groups[pair.run.settings["dataset"]].append(i)
    rng = np.random.default_rng(0)
    draws = [
        np.concatenate(
            [list(groups.values())[i] for i in rng.integers(len(groups), size=len(groups))]
        )
        for _ in range(_RESAMPLES)
    ]
    found = []
    for feature, score in FEATURES.items():
        for depth in DEPTHS:
            for kind in KINDS:
                records = [seen(pair, kind, depth) for pair in pairs]
                if any(record is None or record.eval_step.size < 2 for record in records):
                    continue  # no evaluation so early
                scores = np.array([score(record) for record in records if record is not None])
                spread = [auc(scores[draw], good[draw]) for draw in draws]
                low, high = np.nanquantile(spread, [0.05, 0.95])
                found.append(Row(feature, kind, depth, auc(scores, good), low, high))
    return found


def markdown(pairs: Sequence[Pair]) -> str:
    """The table, a row for each feature and kind, a column for each depth."""
    good = sum(is_good(pair.run) for pair in pairs)
    cells = {(row.feature, row.kind, row.depth): row for row in rows(pairs)}
    lines = [
        f"{len(pairs)} runs, {good} end well, "
        f"{len({pair.run.settings['dataset'] for pair in pairs})} data sets.",
        "",
        f"| score | probe | {' | '.join(f'{depth:.0%} of the steps' for depth in DEPTHS)} |",
        f"| --- | --- | {' | '.join('---:' for _ in DEPTHS)} |",
    ]
    for feature in FEATURES:
        for kind, name in KINDS.items():
            values = [_cell(cells.get((feature, kind, depth))) for depth in DEPTHS]
            lines.append(f"| {feature} | {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    return "" if row is None else f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put it into this page")
    options = parser.parse_args(arguments)
    text = markdown(pairs_of(read_packed([setting.run_id for setting in plan()])))
    print(text)
    if options.write is not None:
        replace_block(options.write, text, BLOCK)
    return 0


if __name__ == "__main__":
    sys.exit(main())
