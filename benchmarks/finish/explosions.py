"""Training losses that exploded: how long good runs stayed up, who is ended, how soon.

    python -m benchmarks.finish.explosions

Good are completed public, protein and BERT runs, and reference runs that beat their trivial
baseline. Exploded are reference runs whose loss ended above 1.5 times its beginning, and planted
ones: the log of a good run, from a random step on at 1.6 to 8 times its beginning, with its noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.forecasting.sources import completed
from hf_ftrisk.diagnoses.exploded import ALLOWED, beginning, exploded_loss
from hf_ftrisk.goal import Goal
from hf_ftrisk.record import RunRecord

GOOD_TABLES = ("public", "plm", "bert_seeds", "peft_metamath")
MIN_LOGS = 6
PLANTED = 200
CHECKS = 50


def runs() -> Iterator[tuple[str, RunRecord, bool | None]]:
    """Table, run, and whether it is good; None: neither good nor exploded."""
    seen: set[tuple[str, str]] = set()
    for one in completed():
        steps, loss = one.record.train_curve()
        if (one.table, one.run) in seen or steps.size < MIN_LOGS or loss[0] <= 0:
            continue
        seen.add((one.table, one.run))
        good: bool | None = True if one.table in GOOD_TABLES else None
        if one.table == "reference":
            metric = "eval_accuracy" if "eval_accuracy" in one.record.evals else "eval_loss"
            goal, known = Goal(metric), one.record.baseline(Goal(metric))
            end, start = float(np.median(loss[-5:])), beginning(steps, loss, one.record.max_steps)
            if known is not None and goal.meets(one.record.outcome(goal), known):
                good = True
            elif end > 1.5 * start:
                good = False
        yield one.table, one.record, good


def told_at(record: RunRecord) -> float | None:
    """Step at which a watcher that looks `CHECKS` times ends the run, None if never."""
    steps = record.train_step
    for step in steps[:: max(1, steps.size // CHECKS)].tolist():
        if exploded_loss(record.prefix(step)) is not None:
            return float(step)
    return None


def planted(good: Sequence[RunRecord]) -> Iterator[tuple[RunRecord, float]]:
    """Runs with a blow-up, and the step of it."""
    rng = np.random.default_rng(0)
    fine = [run for run in good if run.train_step.size >= 20]
    for i in rng.choice(len(fine), PLANTED).tolist():
        steps, loss = fine[i].train_curve()
        at = int(rng.integers(2, max(3, int(0.7 * steps.size))))
        level = np.exp(rng.uniform(np.log(1.6), np.log(8.0))) * loss[:2].max()
        noise = loss / np.median(loss[at:])
        changed = np.where(np.arange(loss.size) >= at, level * noise, loss)
        yield (
            replace(fine[i], train_step=steps, train_loss=changed, grad_norm=(), learning_rate=()),
            float(steps[at]),
        )


def main() -> None:
    every = list(runs())
    good = [record for _, record, fine in every if fine]
    exploded = [record for _, record, fine in every if fine is False]
    ended = [record for record in good if told_at(record) is not None]
    print(f"levels and shares allowed: {ALLOWED}")
    print(f"good runs {len(good)}, ended {len(ended)}")
    found = [told_at(record) for record in exploded]
    shares = [f"{at / run.max_steps:.0%}" for at, run in zip(found, exploded, strict=True) if at]
    print(f"exploded reference runs {len(exploded)}, ended at {shares}")
    late = []
    for record, blown in planted(good):
        at = told_at(record)
        late.append(np.inf if at is None else (at - blown) / record.max_steps)
    within = np.mean(np.array(late) <= 0.2)
    print(f"planted {len(late)}, ended within a fifth of the run after the blow-up: {within:.1%}")


if __name__ == "__main__":
    main()
