"""Training losses that exploded: how many good runs are ended, who else is, how soon.

    python -m benchmarks.finish.explosions --write docs/evidence/finishing.md

Good are completed public, protein, BERT and PEFT runs, and own runs that beat their trivial
baseline. Exploded are own runs whose loss ended above 1.5 times its beginning, and planted ones:
the log of a good run, from a random step on, or from the first log on, at 1.6 to 8 times its
beginning, with its noise.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.forecasting.sources import completed
from benchmarks.watched import write_table
from hf_ftrisk.diagnoses.exploded import beginning, exploded_loss
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord
from hf_ftrisk.text import percent

GOOD_TABLES = ("public", "plm", "bert_seeds", "peft_metamath")
OWN_TABLES = ("reference", "recordings")
MIN_LOGS = 6
PLANTED = 200
CHECKS = 50
RATIO = 1.5
SOON = 0.2


@dataclass(frozen=True, eq=False)
class Blown:
    """A run whose loss exploded, and the step of it."""

    record: RunRecord
    at: float

    def waited(self) -> float:
        """Share of the run from the blow-up to where it is ended; infinite if never."""
        ended = told_at(self.record)
        return np.inf if ended is None else (ended - self.at) / self.record.max_steps


def runs() -> Iterator[tuple[str, RunRecord]]:
    """Table and run, of the completed runs with training losses."""
    seen: set[tuple[str, str]] = set()
    for one in completed():
        steps, loss = one.record.train_curve()
        is_known = (one.table, one.run) in seen or steps.size < MIN_LOGS or loss[0] <= 0
        if not is_known and one.table in GOOD_TABLES + OWN_TABLES:
            seen.add((one.table, one.run))
            yield one.table, one.record


def is_good(table: str, record: RunRecord) -> bool:
    """Whether a run came to anything."""
    if table in GOOD_TABLES:
        return True
    goal = Goal("eval_accuracy" if "eval_accuracy" in record.evals else "eval_loss")
    baseline = record.baseline(goal)
    return baseline is not None and goal.meets(record.outcome(goal), baseline)


def blown_up(record: RunRecord) -> Blown | None:
    """An own run whose loss ended far above its beginning; None: it did not."""
    steps, loss = record.train_curve()
    start = beginning(steps, loss, record.max_steps)
    if not float(np.median(loss[-5:])) > RATIO * start:
        return None
    below = np.flatnonzero(loss <= RATIO * start)
    return Blown(record, float(steps[min(int(below[-1]) + 1, steps.size - 1)]))


def told_at(record: RunRecord) -> float | None:
    """Step at which a watcher that looks `CHECKS` times ends the run, None if never."""
    steps = record.train_step
    for step in steps[:: max(1, steps.size // CHECKS)].tolist():
        if exploded_loss(record.prefix(step)) is not None:
            return float(step)
    return None


def planted(good: Sequence[RunRecord]) -> Iterator[Blown]:
    """Good runs with a blow-up from a random step on."""
    rng = np.random.default_rng(0)
    fine = [run for run in good if run.train_step.size >= 20]
    for i in rng.choice(len(fine), PLANTED).tolist():
        steps, loss = fine[i].train_curve()
        at = int(rng.integers(2, max(3, int(0.7 * steps.size))))
        level = np.exp(rng.uniform(np.log(1.6), np.log(8.0))) * loss[:2].max()
        noise = loss / np.median(loss[at:])
        changed = np.where(np.arange(loss.size) >= at, level * noise, loss)
        yield Blown(_with_losses(fine[i], steps, changed), float(steps[at]))


def planted_at_start(good: Sequence[RunRecord]) -> Iterator[Blown]:
    """Good runs whose first log is blown up, where the untrained model was evaluated."""
    rng = np.random.default_rng(1)
    fine = [
        run for run in good if run.train_step.size >= 20 and run.curve("eval_loss")[0].size >= 4
    ]
    for i in rng.choice(len(fine), PLANTED).tolist():
        steps, loss = fine[i].train_curve()
        start = float(loss[:2].max())
        level = np.exp(rng.uniform(np.log(1.6), np.log(8.0))) * start
        at, values = fine[i].curve("eval_loss")
        changed = replace(
            _with_losses(fine[i], steps, level * loss / np.median(loss)),
            eval_step=at,
            evals={"eval_loss": level * values / np.median(values)},
            baselines={"eval_loss": start},
        )
        yield Blown(changed, 0.0)


def _with_losses(record: RunRecord, steps: np.ndarray, losses: np.ndarray) -> RunRecord:
    return replace(record, train_step=steps, train_loss=losses, grad_norm=(), learning_rate=())


def table(every: Sequence[tuple[str, RunRecord]]) -> str:
    """Good runs that are ended, and exploded ones that are ended soon."""
    good = [record for name, record in every if is_good(name, record)]
    own = [record for name, record in every if name in OWN_TABLES and not is_good(name, record)]
    really = [one for record in own if (one := blown_up(record)) is not None]
    ended = sum(told_at(record) is not None for record in good)
    lines = [
        "| runs | number | ended | ended within a fifth of the run after the blow-up |",
        "| --- | ---: | ---: | ---: |",
        f"| good | {len(good)} | {ended} | - |",
    ]
    for name, blown in (
        ("own, exploded", really),
        ("planted, from a random step on", list(planted(good))),
        ("planted, from the first log on, untrained loss known", list(planted_at_start(good))),
    ):
        waited = np.array([one.waited() for one in blown])
        lines.append(
            f"| {name} | {waited.size} | {percent(np.isfinite(waited).mean(), '.1f')} "
            f"| {percent((waited <= SOON).mean(), '.1f')} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    text = table(list(runs()))
    print(text)
    if options.write is not None:
        write_table(options.write, "exploded", text)


if __name__ == "__main__":
    main()
