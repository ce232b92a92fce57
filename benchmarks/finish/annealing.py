"""What cooling down is worth to a run that is ended for want of gain: real runs, to three ends.

    python -m benchmarks.finish.annealing --write docs/evidence/finishing.md

Sound settings of the plan of the long runs, with a seed that is recorded nowhere. Each is trained
to its end, and once more with ``finish="anneal"``; what ``finish="gain"`` leaves is the full run
until the step at which that one begins to cool down. The gain rule is the packaged one, which knows
other seeds of some of these settings: this compares ends, it does not measure the rule.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.longruns.plan import plan
from benchmarks.longruns.setting import LongSetting
from benchmarks.longruns.tasks import build
from benchmarks.longruns.train import bare_trainer
from benchmarks.watched import write_table
from hf_ftrisk import FineTuneRiskCallback

METRIC = "eval_accuracy"
SETTINGS = 10
SEED = 1000  # no planned run has it
SCHEDULES = ("linear", "cosine", "constant_with_warmup")


@dataclass(frozen=True)
class Ends:
    """One run ended in three ways; values of the metric.

    Args:
        setting: the run.
        finished: step at which the rule ends it; None: it does not.
        best: best evaluation until then.
        cooled: best evaluation of the run that was cooled down.
        cooled_step: its last step.
        full: best evaluation of the whole run.
    """

    setting: LongSetting
    finished: int | None
    best: float
    cooled: float
    cooled_step: int
    full: float


def settings() -> list[LongSetting]:
    """Sound full fine-tunes of 500 steps, as many of each schedule, data sets in turn."""
    sound = [
        s
        for s in plan()
        if s.recipe == "sound" and s.kind == "single" and s.method == "full" and s.max_steps == 500
    ]
    sound = [s for s in sound if s.learning_rate >= 5e-5 and s.model.startswith("minilm-2")]
    chosen: list[LongSetting] = []
    for setting in sound:
        schedule = SCHEDULES[len(chosen) % len(SCHEDULES)]
        if setting.dataset not in {s.dataset for s in chosen}:
            chosen.append(replace(setting, seed=SEED, scheduler=schedule))
    return chosen[:SETTINGS]


def _trained(setting: LongSetting, *watching: FineTuneRiskCallback) -> list[tuple[int, float]]:
    """(step, value) of the evaluations of a run, and of its last step."""
    with tempfile.TemporaryDirectory(prefix="annealing-") as folder:
        trainer = bare_trainer(setting, build(setting), folder)
        for callback in watching:
            trainer.add_callback(callback)
        trainer.train()
    log = trainer.state.log_history
    return [(int(entry["step"]), float(entry[METRIC])) for entry in log if METRIC in entry]


def measured() -> Iterator[Ends]:
    """All settings, each run to its ends."""
    torch.set_num_threads(1)
    for setting in settings():
        full = _trained(setting)
        callback = FineTuneRiskCallback(METRIC, finish="anneal", history=None, rule="patience")
        cooled = _trained(setting, callback)
        report = callback.report
        finish = None if report is None else report.finish
        step = setting.max_steps if finish is None else finish.step
        yield Ends(
            setting,
            None if finish is None else finish.step,
            max(value for at, value in full if at <= step),
            max(value for _, value in cooled),
            cooled[-1][0],
            max(value for _, value in full),
        )


def table(rows: Sequence[Ends]) -> str:
    """One row a run, the one that lost most by its end first; means of the ended ones last."""
    lines = [
        "| data set | schedule, rate | ended at | best until then | cooled down until | best then "
        "| best of the whole run |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in sorted(rows, key=lambda row: row.best - row.full):
        s = row.setting
        cells = [s.dataset, f"{s.scheduler}, {s.learning_rate:g}"]
        if row.finished is None:
            cells += ["never", f"{row.best:.3f}", "-", "-"]
        else:
            cells += [f"{row.finished}", f"{row.best:.3f}", f"{row.cooled_step}"]
            cells += [f"{row.cooled:.3f}"]
        lines.append(f"| {' | '.join([*cells, f'{row.full:.3f}'])} |")
    ended = [row for row in rows if row.finished is not None]
    if ended:
        means = [np.mean([getattr(row, name) for row in ended]) for name in ("best", "cooled")]
        steps = [np.mean([getattr(row, name) for row in ended]) for name in _STEPS]
        full = np.mean([row.full for row in ended])
        lines.append(
            f"| mean of the {len(ended)} ended | | {steps[0]:.0f} | {means[0]:.3f} "
            f"| {steps[1]:.0f} | {means[1]:.3f} | {full:.3f} |"
        )
    return "\n".join(lines)


_STEPS = ("finished", "cooled_step")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    text = table(list(measured()))
    print(text)
    if options.write is not None:
        write_table(options.write, "annealing", text)


if __name__ == "__main__":
    main()
