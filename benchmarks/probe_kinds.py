"""Which probe tells more about a run's end: its beginning, a jump to the peak, a miniature of it.

    python -m benchmarks.probe_kinds                                  # the table
    python -m benchmarks.probe_kinds --write docs/evidence/reference-runs.md   # and into the page

From the long runs in benchmarks/recordings: each simple feature of what was seen at 2, 5 and 10 %
of the steps, as a score for "the run ends well" (`benchmarks.longruns.summary.is_good`), by the
area under its ROC curve; 90 % intervals from resampling data sets. Nothing is fitted, so nothing
needs to be held out.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.longruns.plan import plan
from benchmarks.longruns.store import read_packed
from benchmarks.longruns.summary import goal_of, is_good
from benchmarks.recording.summary import replace_block
from hf_ftrisk.record import RunRecord
from hf_ftrisk.reference.pairs import Pair, pairs_of
from hf_ftrisk.text import percent

DEPTHS = (0.02, 0.05, 0.1)
BLOCK = "probe kinds"
_RESAMPLES = 1000


def probe_record(pair: Pair, kind: str, depth: float) -> RunRecord | None:
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


@dataclass(frozen=True, eq=False)
class Areas:
    """Areas under the ROC curve of one score of one kind of probe at one depth.

    Args:
        value: on all pairs.
        resampled: (n_resamples,) on data sets drawn with replacement, the same draws for all.
    """

    value: float
    resampled: np.ndarray

    def __sub__(self, other: Areas) -> Areas:
        return Areas(self.value - other.value, self.resampled - other.resampled)

    def text(self, sign: str = "") -> str:
        """The value and its 90 % interval."""
        low, high = np.nanquantile(self.resampled, [0.05, 0.95])
        return f"{self.value:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})"


def areas(pairs: Sequence[Pair]) -> dict[tuple[str, str, float], Areas]:
    """(score, kind, depth) -> areas; what had not been evaluated so early is left out."""
    good = np.array([is_good(pair.run) for pair in pairs])
    draws = list(_resampled([pair.run.settings["dataset"] for pair in pairs]))
    by_kind = {}
    for feature, kind, depth in product(FEATURES, KINDS, DEPTHS):
        records = [probe_record(pair, kind, depth) for pair in pairs]
        if any(record is None or record.eval_step.size < 2 for record in records):
            continue
        scores = np.array([FEATURES[feature](record) for record in records if record is not None])
        by_kind[feature, kind, depth] = Areas(
            auc(scores, good), np.array([auc(scores[draw], good[draw]) for draw in draws])
        )
    return by_kind


def _resampled(datasets: Sequence[str]) -> Iterator[np.ndarray]:
    """Positions of the runs of as many data sets, drawn with replacement, time after time."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(datasets):
        groups[name].append(i)
    members = list(groups.values())
    rng = np.random.default_rng(0)
    for _ in range(_RESAMPLES):
        chosen = rng.integers(len(members), size=len(members))
        yield np.concatenate([members[i] for i in chosen])


def markdown(pairs: Sequence[Pair]) -> str:
    """Areas by score and kind, and how much better a jump is; a column for each depth."""
    by_kind = areas(pairs)
    good = sum(is_good(pair.run) for pair in pairs)
    rows = [
        (feature, name, [by_kind.get((feature, kind, depth)) for depth in DEPTHS], "")
        for feature, (kind, name) in product(FEATURES, KINDS.items())
    ]
    rows += [
        (
            feature,
            f"jump less {KINDS[kind]}",
            [_gain(by_kind, feature, kind, d) for d in DEPTHS],
            "+",
        )
        for feature, kind in product(FEATURES, ("beginning", "squeezed"))
    ]
    lines = [
        f"{len(pairs)} runs, {good} end well, "
        f"{len({pair.run.settings['dataset'] for pair in pairs})} data sets.",
        "",
        f"| score | probe | {' | '.join(f'{percent(depth)} of the steps' for depth in DEPTHS)} |",
        f"| --- | --- | {' | '.join('---:' for _ in DEPTHS)} |",
    ]
    for feature, name, values, sign in rows:
        cells = ["" if value is None else value.text(sign) for value in values]
        lines.append(f"| {feature} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _gain(
    by_kind: dict[tuple[str, str, float], Areas], feature: str, kind: str, depth: float
) -> Areas | None:
    jump, other = by_kind.get((feature, "jump", depth)), by_kind.get((feature, kind, depth))
    return None if jump is None or other is None else jump - other


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
